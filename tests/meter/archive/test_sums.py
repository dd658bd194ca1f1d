"""Sums of a segment: what its rows come to, exactly, or none at all."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from inferworks.books.token_buckets import buckets
from inferworks.meter.archive.manifest import Segment
from inferworks.meter.archive.schema import DAY_NS, LAKE_TABLES, Fact, batch_of
from inferworks.meter.archive.seal import make_segment
from inferworks.meter.archive.sums import (
    ITEMS,
    KINDS,
    TOKENS,
    TooLargeError,
    kinds_of,
    make_sums,
    same_sums,
    segment_of,
)
from inferworks.meter.capacity import Capacity, State
from inferworks.meter.usage import Items, Leg, Outcome, Tokens, Usage
from inferworks.testing.books import token_counts
from inferworks.testing.facts import make_capacity, make_leg, make_usage

DAY = 3
START_NS = DAY * DAY_NS


def file_of(table: str, facts: Sequence[Fact]) -> pq.ParquetFile:
    """A Parquet file of these rows."""
    sink = io.BytesIO()
    pq.write_table(pa.Table.from_batches([batch_of(LAKE_TABLES[table], facts)]), sink)
    sink.seek(0)
    return pq.ParquetFile(sink)


def sums_of(kind: str, *facts: Fact) -> list[dict[str, Any]]:
    """The rows of the sums of a file with these rows, all of the day."""
    rows: list[dict[str, Any]] = (
        KINDS[kind].sums_of(file_of(KINDS[kind].table, facts), DAY).to_pylist()
    )
    assert all(row.pop("utc_day", DAY) == DAY for row in rows)
    return rows


def a_call(
    name: str = "call", *, at_ns: int = 5, legs: Sequence[Leg] = (), **changes: Any
) -> Usage:
    """A call opened on the day, with `changes` of fields."""
    usage = make_usage(call_id=name, opened_ns=START_NS + at_ns, legs=legs, tokens=Tokens())
    return replace(usage, **changes)


def a_leg(start_ns: int, end_ns: int, tokens: Tokens, **changes: Any) -> Leg:
    """An attempt between two moments of the day."""
    span = {"started_ns": START_NS + start_ns, "ended_ns": START_NS + end_ns}
    return make_leg(tokens=tokens, **span, **changes)


def test_kinds_belong_to_their_tables() -> None:
    """Steps and activities have none: nothing sums them by day."""
    assert {table: list(kinds_of(table)) for table in LAKE_TABLES} == {
        "usage": ["calls", "attempts"],
        "capacity": ["intervals"],
        "step": [],
        "activity": [],
        "retracted": [],
    }
    assert [kind.name for kind in KINDS.values()] == list(KINDS)


@pytest.mark.parametrize("kind", KINDS)
def test_no_rows_have_no_sums(kind: str) -> None:
    """A file without rows still has the columns of its sums."""
    table = KINDS[kind].sums_of(file_of(KINDS[kind].table, []), DAY)
    assert table.num_rows == 0
    assert table.num_columns > 4


def test_calls_are_summed_by_customer_purpose_model_and_outcome() -> None:
    """Their number, bytes, items, and each token in one bucket; in the order of the keys."""
    told = Tokens(100, 20, cache_read=30, reasoning=5)
    rows = sums_of(
        "calls",
        a_call("a", tokens=told, request_bytes=3, response_bytes=4),
        a_call("b", tokens=told, request_bytes=1, response_bytes=1, items=Items(images=2)),
        a_call("c", outcome=Outcome.FAILED),
        a_call("d", customer="aaa"),
    )
    assert [(row["customer"], row["outcome"], row["calls"]) for row in rows] == [
        ("aaa", "answered", 1),
        ("acme", "answered", 2),
        ("acme", "failed", 1),
    ]
    both = rows[1]
    assert (both["request_bytes"], both["response_bytes"], both["images"]) == (4, 5, 2)
    assert {unit: both[unit] for unit in TOKENS if both[unit]} == {
        "input_tokens": 140,
        "cache_read_tokens": 60,
        "output_tokens": 30,
        "reasoning_tokens": 10,
    }
    assert {row["least"] for row in rows} == {0}


@pytest.mark.parametrize(
    ("changes", "least"),
    [
        ({"tokens": Tokens(10, cache_read=12)}, -2),
        ({"tokens": Tokens(10, 5, cache_read=6, cache_write=5)}, -1),
        ({"tokens": Tokens(-4)}, -4),
        ({"items": Items(searches=-3)}, -3),
    ],
)
def test_counts_that_contradict_themselves_are_told(changes: dict[str, Any], least: int) -> None:
    """By how much, so that whoever uses the sums refuses what the rows would refuse."""
    [row] = sums_of("calls", a_call("a"), a_call("b", **changes))
    assert row["least"] == least


@settings(max_examples=15)
@given(st.lists(token_counts(), min_size=1, max_size=5))
def test_sums_of_buckets_are_those_of_each_call(counts: list[Tokens]) -> None:
    """Columns are put into buckets as the books put each call's tokens."""
    [row] = sums_of("calls", *(a_call(f"{n}", tokens=one) for n, one in enumerate(counts)))
    wanted = dict.fromkeys(TOKENS, 0)
    for one in counts:
        for unit, quantity in buckets(one):
            wanted[unit] += quantity
    assert {name: row[name] for name in TOKENS} == wanted
    assert all(row[name] == 0 for name in ITEMS)


def test_attempts_are_summed_by_place() -> None:
    """Our replicas by name, others by their provider; computed is input that no cache had."""
    told = Tokens(100, 20, cache_read=30)
    rows = sums_of(
        "attempts",
        a_call("a", legs=[a_leg(0, 5, told), a_leg(5, 9, told, replica=None)]),
        a_call("b", legs=[a_leg(0, 5, told)]),
        a_call("c", legs=[]),
    )
    assert [(row["place"], row["bought"], row["computed"], row["produced"]) for row in rows] == [
        ("openai", True, 70, 20),
        ("replica-1", False, 140, 40),
    ]
    assert {(row["started_ns"], row["ended_ns"]) for row in rows} == {(None, None)}
    assert rows[1]["cache_read_tokens"] == 60


@pytest.mark.parametrize(
    ("start_ns", "end_ns", "is_within"),
    [
        (0, DAY_NS, True),
        (0, DAY_NS + 1, False),
        (-1, 5, False),
        (DAY_NS - 1, DAY_NS, True),
        (DAY_NS, DAY_NS, False),
        (DAY_NS - 1, DAY_NS - 9, True),
        (5, 5, True),
    ],
)
def test_an_attempt_that_reaches_out_of_the_day_stands_by_itself(
    start_ns: int, end_ns: int, is_within: bool
) -> None:
    """With its times, to be divided at an edge; one that ends before it starts is a moment."""
    inner = a_leg(10, 20, Tokens(1, 1))
    odd = a_leg(start_ns, end_ns, Tokens(2, 2))
    rows = sums_of("attempts", a_call("a", legs=[inner]), a_call("b", legs=[odd]))
    if is_within:
        assert [(row["computed"], row["started_ns"]) for row in rows] == [(3, None)]
    else:
        assert [(row["computed"], row["started_ns"], row["ended_ns"]) for row in rows] == [
            (1, None, None),
            (2, START_NS + start_ns, START_NS + end_ns),
        ]


def an_interval(
    start_ns: int, end_ns: int, replica: str = "replica-1", **states: int
) -> list[Capacity]:
    """The rows of an interval of the day, by state; all of it idle where none is given."""
    shares = states or {"idle": end_ns - start_ns}
    return [
        make_capacity(
            replica=replica,
            state=State(state),
            start_ns=START_NS + start_ns,
            end_ns=START_NS + end_ns,
            duration_ns=duration_ns,
        )
        for state, duration_ns in shares.items()
    ]


def intervals(*rows: Capacity) -> list[tuple[str, str, int, int, int]]:
    """Replica, state, start, end and duration of the merged rows."""
    return [
        (row["replica"], row["state"], row["start_ns"] - START_NS, row["end_ns"] - START_NS,
         row["duration_ns"])
        for row in sums_of("intervals", *rows)
    ]  # fmt: skip


def test_intervals_that_follow_each_other_become_one() -> None:
    """State by state, in any order of the rows; a gap begins another."""
    rows = [
        *an_interval(0, 10, active=4, idle=6),
        *an_interval(10, 30, active=20),
        *an_interval(30, 31, loading=1),
        *an_interval(40, 50),
    ]
    wanted = [
        ("replica-1", "active", 0, 31, 24),
        ("replica-1", "idle", 0, 31, 6),
        ("replica-1", "loading", 0, 31, 1),
        ("replica-1", "idle", 40, 50, 10),
    ]
    assert intervals(*rows) == wanted
    assert intervals(*rows[::-1]) == wanted


def test_intervals_of_other_machines_are_not_put_together() -> None:
    """Another replica, and the same on another node."""
    moved = make_capacity(node="node-2", start_ns=START_NS + 10, end_ns=START_NS + 20)
    rows = [*an_interval(0, 10), *an_interval(10, 20, "replica-2"), moved]
    assert intervals(*rows) == [
        ("replica-1", "idle", 0, 10, 10),
        ("replica-1", "idle", 10, 20, 10),
        ("replica-2", "idle", 10, 20, 10),
    ]


@pytest.mark.parametrize(
    "odd",
    [
        an_interval(10, 20, idle=9),
        an_interval(10, 20, idle=11, active=-1),
        an_interval(10, DAY_NS + 1),
    ],
    ids=["not filled", "below zero", "out of the day"],
)
def test_intervals_that_are_not_sound_are_left_as_they_are(odd: list[Capacity]) -> None:
    """Neither those before nor those after are put together with them."""
    end_ns = odd[0].end_ns - START_NS
    rows = [*an_interval(0, 10), *odd, *an_interval(end_ns, end_ns + 5)]
    assert len(intervals(*rows)) == len(rows)


def test_a_machine_with_intervals_that_overlap_is_left_as_it_is() -> None:
    """Whole intervals of it too; another machine's are put together."""
    rows = [*an_interval(0, 10), *an_interval(5, 15), *an_interval(15, 20), *an_interval(20, 30)]
    other = [*an_interval(0, 10, "replica-2"), *an_interval(10, 20, "replica-2")]
    assert [row[2:] for row in intervals(*rows, *other)] == [
        (0, 10, 10), (5, 15, 10), (15, 20, 5), (20, 30, 10), (0, 20, 20),
    ]  # fmt: skip


@settings(max_examples=12)
@given(st.lists(st.tuples(st.integers(0, 3), st.integers(1, 9), st.integers(0, 9)), max_size=6))
def test_merged_intervals_keep_every_nanosecond(drawn: list[tuple[int, int, int]]) -> None:
    """Gap, length and active part of each: time by state is the same, and merged rows do not grow."""
    rows: list[Capacity] = []
    at_ns = 0
    for gap_ns, length_ns, active_ns in drawn:
        active_ns = min(active_ns, length_ns)
        at_ns += gap_ns
        rows += an_interval(at_ns, at_ns + length_ns, active=active_ns, idle=length_ns - active_ns)
        at_ns += length_ns
    found = intervals(*rows)
    for state in ("active", "idle"):
        assert sum(row[4] for row in found if row[1] == state) == sum(
            row.duration_ns for row in rows if row.state == state
        )
    assert len(found) <= len(rows)


def a_segment(facts: list[Fact], table: str = "usage") -> tuple[Segment, pq.ParquetFile]:
    """A segment of the day, with its file."""
    made = make_segment(LAKE_TABLES[table], DAY, iter(facts), "own")
    assert made is not None
    return made[0], pq.ParquetFile(pa.BufferReader(made[1]))


def test_sums_name_their_segment() -> None:
    """In the manifest's entry and within the file; the name is made of the content."""
    segment, file = a_segment([a_call("a"), a_call("b")])
    made = list(make_sums(segment, file))
    assert [sums.kind for sums, _ in made] == ["calls", "attempts"]
    for sums, data in made:
        found = pq.ParquetFile(pa.BufferReader(data))
        assert segment_of(found) == sums.of == segment.name
        assert (sums.rows, sums.bytes) == (found.metadata.num_rows, len(data))
        assert sums.name == f"sums/{sums.kind}/day=1970-01-04/{sums.sha256[:32]}.parquet"
    assert segment_of(file) == ""
    assert list(make_sums(segment, file)) == made


def test_sums_are_held_against_their_rows() -> None:
    """The same sums are the same; those of other rows are not."""
    segment, file = a_segment([a_call("a", tokens=Tokens(5))])
    other = a_segment([a_call("a", tokens=Tokens(6))])[1]
    found = KINDS["calls"].sums_of(file, DAY)
    assert same_sums(segment, file, "calls", found)
    assert not same_sums(segment, other, "calls", found)


def test_sums_that_might_leave_64_bits_are_none() -> None:
    """Two calls of half of that: the kind is left out, and the other kind is there."""
    large = [a_call(name, tokens=Tokens(2**62)) for name in ("a", "b")]
    segment, file = a_segment(list(large))
    with pytest.raises(TooLargeError):
        KINDS["calls"].sums_of(file, DAY)
    assert [sums.kind for sums, _ in make_sums(segment, file)] == ["attempts"]
    assert not same_sums(segment, file, "calls", pa.table({}))
    [row] = sums_of("calls", a_call("a", tokens=Tokens(2**62)))
    assert row["input_tokens"] == 2**62
