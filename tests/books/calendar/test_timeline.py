"""Things that last, found by the span that they meet."""

from __future__ import annotations

import random

from hypothesis import given, settings
from hypothesis import strategies as st

from inferworks.books.calendar.span import Span
from inferworks.books.calendar.timeline import Timeline

Thing = tuple[int, int, str]
THINGS = st.lists(
    st.tuples(st.integers(0, 50), st.integers(0, 20), st.sampled_from("abc")).map(
        lambda drawn: (drawn[0], drawn[0] + drawn[1], drawn[2])
    ),
    max_size=12,
)


def timeline(things: list[Thing]) -> Timeline[Thing]:
    """The timeline of `things`, which are called by their third part."""
    return Timeline(things, lambda thing: thing[:2], lambda thing: (thing[2],))


@settings(max_examples=15)
@given(THINGS, st.integers(0, 60), st.integers(0, 20))
def test_none_that_overlaps_is_missing(things: list[Thing], start_ns: int, length_ns: int) -> None:
    """Everything that shares a nanosecond with the span is found, in order."""
    span = Span(start_ns, start_ns + length_ns)
    found = timeline(things).meeting(span)
    overlapping = [one for one in sorted(things) if span.meet(one[0], one[1]).length_ns]
    assert [one for one in found if one in overlapping] == overlapping
    assert found == sorted(found)


@settings(max_examples=15)
@given(THINGS, st.randoms(use_true_random=False))
def test_the_order_of_arrival_leaves_no_trace(things: list[Thing], chance: random.Random) -> None:
    """The same things in another order make the same timeline."""
    mixed = things[:]
    chance.shuffle(mixed)
    assert timeline(mixed).things == timeline(things).things


def test_what_is_far_from_the_span_is_not_looked_at() -> None:
    """Of a thousand things in a row a span finds its own, and the neighbours that touch it."""
    rows = timeline([(at, at + 1, "a") for at in range(1000)])
    assert [thing[0] for thing in rows.meeting(Span(500, 502))] == [499, 500, 501, 502]


def test_nothing_is_found_in_nothing() -> None:
    """A timeline without things meets no span."""
    assert timeline([]).meeting(Span(0, 10**18)) == []
