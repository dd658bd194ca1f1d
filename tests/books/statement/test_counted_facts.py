"""The customers for whom facts count, after mergers."""

from __future__ import annotations

import msgspec

from inferworks.accounts.directory import Directory, Merge
from inferworks.books.statement.counted_facts import counted_facts
from inferworks.ids import CustomerId
from inferworks.meter.facts import NO_FACTS
from inferworks.testing.books import a_usage, an_activity

ACME, BURNS = CustomerId("acme"), CustomerId("burns")
MERGED = Directory(merges=(Merge(BURNS, 100, ACME),))


def test_without_mergers_facts_are_what_they_were() -> None:
    """The very same value: nothing is copied."""
    assert counted_facts(NO_FACTS, Directory()) is NO_FACTS


def test_a_fact_counts_for_who_its_customer_was_when_it_began() -> None:
    """A call by its opening, an activity by its start; nobody's stays nobody's."""
    facts = msgspec.structs.replace(
        NO_FACTS,
        usages=tuple(a_usage(f"call-{at}", customer="burns", opened_ns=at) for at in (99, 100)),
        activities=tuple(
            msgspec.structs.replace(
                an_activity(f"run-{at}", "node-1", (at, at + 50), 50), customer=customer
            )
            for at, customer in ((99, BURNS), (100, BURNS), (100, None))
        ),
    )
    counted = counted_facts(facts, MERGED)
    assert [usage.customer for usage in counted.usages] == [BURNS, ACME]
    assert [activity.customer for activity in counted.activities] == [BURNS, ACME, None]
    assert [usage.call_id for usage in counted.usages] == ["call-99", "call-100"]


def test_those_who_were_not_merged_are_the_same_values() -> None:
    """No call of others is copied."""
    usage = a_usage("call-1", customer="corvid", opened_ns=500)
    [counted] = counted_facts(msgspec.structs.replace(NO_FACTS, usages=(usage,)), MERGED).usages
    assert counted is usage
