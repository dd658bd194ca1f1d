"""Parts of a delivery: series by file name, and the times that lines cover."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inferworks.books.deliveries.parts import (
    Part,
    are_siblings,
    is_of_its_own,
    meet,
    merged,
    reach,
    series_of,
)

SPANS = st.lists(
    st.tuples(st.integers(0, 30), st.integers(1, 5)).map(lambda drawn: (drawn[0], sum(drawn))),
    max_size=6,
)


def part(number: int = 0, *, spans: tuple[tuple[int, int], ...] = ((0, 10),), series: str = "s",
         place: str = "1", invoices: tuple[str, ...] = ("i",)) -> Part:  # fmt: skip
    """A part of one line."""
    return Part(number, 0, 1, spans, series, place, invoices)


@pytest.mark.parametrize(
    ("name", "place"),
    [
        ("part-0001.csv", "part-0001"),
        ("bill_part2.csv.gz", "part2"),
        ("bill part a.csv", "part a"),
        ("export-00001.csv", "00001"),
        ("000000000012", "000000000012"),
        ("part-00000-1a2b3c4d-1111-2222-3333-123456789abc-c000.snappy.parquet", "part-00000"),
        ("bill.csv", ""),
        ("2026-11.csv", ""),
        ("counterpart.csv", ""),
        ("a-100000.csv", ""),
    ],
)
def test_a_name_tells_the_part(name: str, place: str) -> None:
    """By a number that programs give, and by no date or word that only looks like one."""
    series, found = series_of("folder", name)
    assert found == place
    assert bool(series) == bool(place)


def test_parts_of_one_export_have_one_series() -> None:
    """A series has any number of parts and random text; another folder, beginning or end is another."""
    one, other = (series_of("f", f"bill-part-{number}.csv.gz")[0] for number in (1, 2))
    assert one == other
    assert series_of("f", "bill-part-1.csv")[0] == one
    assert series_of("g", "bill-part-1.csv")[0] != one
    assert series_of("f", "other-part-1.csv")[0] != one
    assert series_of("f", "bill-part-1-eu.csv")[0] != one


@settings(max_examples=20)
@given(SPANS)
def test_merged_times_are_the_same_moments_and_disjoint(spans: list[tuple[int, int]]) -> None:
    """Every moment of one is in the other; what touches is one."""
    found = merged(spans)
    moments = {at for start, end in spans for at in range(start, end)}
    assert {at for start, end in found for at in range(start, end)} == moments
    assert all(one[1] < other[0] for one, other in zip(found, found[1:]))  # noqa: B905, RUF007
    assert merged(found) == found


@settings(max_examples=20)
@given(SPANS, SPANS)
def test_times_meet_where_they_share_a_moment(
    one: list[tuple[int, int]], other: list[tuple[int, int]]
) -> None:
    """And not where one ends as the other begins; whichever is asked."""
    shared = {at for s, e in one for at in range(s, e)} & {
        at for s, e in other for at in range(s, e)
    }
    assert meet(merged(one), merged(other)) == meet(merged(other), merged(one)) == bool(shared)


def test_reach_goes_from_the_first_to_the_last_moment() -> None:
    """Gaps within a part are within its reach; those between parts are not."""
    parts = [part(spans=((0, 2), (8, 10))), part(spans=((20, 25),))]
    assert reach(parts) == ((0, 10), (20, 25))
    assert (parts[0].start_ns, parts[0].end_ns) == (0, 10)


def test_siblings_are_other_parts_of_one_run() -> None:
    """Not the same part again, nor one of another run or of no export."""
    run_1, run_1_too, run_2 = (part(place=place) for place in ("t\nr1\n1", "t\nr1\n2", "t\nr2\n2"))
    assert are_siblings(run_1, run_1_too)
    assert not are_siblings(run_1, run_1)
    assert not are_siblings(run_1, run_2)
    assert not are_siblings(part(series="", place="1"), part(series="", place="2"))
    assert (run_1.run, run_1.ran) == (("t", "r1"), "t")
    assert (part().run, part().ran) == (None, "")


def test_a_part_is_of_its_own_by_its_invoices() -> None:
    """All are numbered, and none is shared; without others, or with a line on none, it cannot be told."""
    mine, theirs = part(invoices=("a", "b")), part(invoices=("c",))
    assert is_of_its_own(mine, [theirs])
    assert not is_of_its_own(mine, [theirs, part(invoices=("b",))])
    assert not is_of_its_own(mine, [part(invoices=("",))])
    assert not is_of_its_own(part(invoices=("", "a")), [theirs])
    assert not is_of_its_own(mine, [])
