"""Facts in force: all but reports that were retracted."""

from __future__ import annotations

from inferworks.meter.events import reported_call_id
from inferworks.meter.facts import NO_FACTS, Facts, in_force
from inferworks.meter.record import Retracted
from inferworks.testing.facts import make_activity, make_capacity, make_step, make_usage


def retracted(source: str, id_: str) -> Retracted:
    """The retraction of a report."""
    return Retracted(source, id_, 0, 10, 20, "ann", "twice")


CALL = make_usage(call_id=reported_call_id("part/ner", "a b"))
OWN = make_usage(call_id="call_1")
RUN, OTHER = make_activity(id_="run-1"), make_activity(id_="run-2")
FACTS = Facts((OWN, CALL), (make_step(("call_1", 1, 0, 0)),), (make_capacity(),), (RUN, OTHER))


def test_facts_without_retractions_are_those_in_force() -> None:
    """The same object: nothing is copied where nothing was taken back."""
    assert in_force(FACTS) is FACTS
    assert in_force(NO_FACTS) is NO_FACTS


def test_retracted_reports_are_left_out() -> None:
    """Calls by their encoded name, activities by theirs; machines stay, and so does all else."""
    facts = Facts(
        *(FACTS.usages, FACTS.steps, FACTS.capacity, FACTS.activities),
        (retracted("part/ner", "a b"), retracted("trainer", "run-2")),
    )
    assert in_force(facts) == Facts((OWN,), FACTS.steps, FACTS.capacity, (RUN,))
    assert in_force(in_force(facts)) == in_force(facts)


def test_a_retraction_of_another_source_or_of_nothing_takes_nothing_away() -> None:
    """The name is both, source and id; a call of our own has neither."""
    for one in (retracted("other", "run-1"), retracted("trainer", "x"), retracted("", "call_1")):
        facts = Facts(FACTS.usages, FACTS.steps, FACTS.capacity, FACTS.activities, (one,))
        assert in_force(facts) == FACTS
