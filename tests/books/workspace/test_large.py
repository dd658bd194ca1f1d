"""Inputs too large for the reference: counted with everything that would have to be read."""

from __future__ import annotations

import pytest
from msgspec.structs import replace
from tests.support.closed_books import Recorded

from inferworks.books.allocation.pools import Method
from inferworks.books.calendar.span import Span
from inferworks.books.workspace import engine_choice
from inferworks.books.workspace.large import is_large, many
from inferworks.meter.archive.manifest import Segment
from inferworks.meter.facts import NO_FACTS, Facts
from inferworks.meter.record import Retracted
from inferworks.testing.facts import make_activity, make_capacity, make_step, make_usage


@pytest.fixture(autouse=True)
def _few(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let ten facts be many."""
    monkeypatch.setattr(engine_choice, "MANY_FACTS", 10)


def a_segment(rows: int) -> Segment:
    """A segment of so many rows."""
    return Segment("s", "usage", "1970-01-01", rows, 9, "0" * 64, 0, 1, ("a",), ("a",), "own")


ONE_EACH = Facts(
    (make_usage(),), (make_step(),), (make_capacity(),), (make_activity(),),
    (Retracted("s", "i", 0, 1, 2, "ann", "why"),),
)  # fmt: skip


@pytest.mark.parametrize(
    ("rows", "facts", "wanted"),
    [
        ((), NO_FACTS, False),
        ((9,), NO_FACTS, False),
        ((10,), NO_FACTS, True),
        ((4, 6), NO_FACTS, True),
        ((5,), ONE_EACH, False),
        ((6,), ONE_EACH, True),
    ],
)
def test_many_are_rows_of_segments_and_facts_at_hand(
    rows: tuple[int, ...], facts: Facts, wanted: bool
) -> None:
    """From the bound on; retractions are no facts of their own."""
    assert many(list(map(a_segment, rows)), facts) is wanted


def test_inputs_are_large_where_relations_can_compute_them() -> None:
    """A method that samples orders of calls is left to the reference, however many there are."""
    inputs = Recorded().inputs(Span(0, 100))
    large = replace(inputs, segments=(a_segment(10),))
    assert not is_large(inputs)
    assert is_large(large)
    sampled = tuple(
        replace(pool, method=Method.SHAPLEY) if pool.name == "machines" else pool
        for pool in inputs.rules.pools
    )
    assert not is_large(replace(large, rules=replace(inputs.rules, pools=sampled)))
