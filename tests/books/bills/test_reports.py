"""Usage from files: whatever stands in them, reports or one list of what is wrong."""

from __future__ import annotations

import contextlib
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inferworks.books.bills.base import bill_file, no_progress
from inferworks.books.bills.reports import read_reports
from inferworks.errors import BillError
from inferworks.meter.capacity import Activity
from inferworks.meter.events import Reported
from inferworks.meter.usage import Items, Tokens, Usage

CALL = "id,provider,model,customer,purpose,start,end,input_tokens,cache_read_tokens,outcome\n"
ROW = "1,openai,gpt-5,acme,serve-paid,2026-11-21T09:00:00Z,2026-11-21T09:00:04Z,812,12,answered\n"
JOB = "source,id,node,purpose,start,end,seconds\n"
JOB_ROW = "slurm,1,gpu-3,evaluate,2026-11-21,2026-11-22,2.5\n"
HELD = "bucket,purpose,start,end,bytes,customer\n"
HELD_ROW = "b,evaluate,2026-11-21,2026-11-22,100,\n"
EVENT: dict[str, Any] = {
    "specversion": "1.0",
    "type": "inferworks.activity",
    "source": "s",
    "id": "1",
    "data": {
        "resource": "b",
        "purpose": "evaluate",
        "start_ns": 1,
        "end_ns": 3,
        "quantity": 2,
        "unit": "node_ns",
    },
}


def read(text: str) -> tuple[list[Reported], list[str]]:
    """The reports in a file, and what is wrong with it."""
    reports, problems = read_reports(bill_file("f", text.encode()), "src", no_progress)
    return reports, [str(problem) for problem in problems]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (("812", "8.5"), "column input_tokens: '8.5': must be a whole number, zero or more"),
        (("812", "-1"), "column input_tokens: '-1': must be a whole number, zero or more"),
        (("812", "9" * 17), "column input_tokens: '99999999999999999': must be at most 1000000000"),
        ((",812,12,", ",812,813,"), "cache_read 813 is more than input 812"),
        (("answered", "lost"), "column outcome: 'lost': must be one of answered, refused"),
        (("serve-paid", "fun"), "column purpose"),
        (("acme", ""), "names no customer"),
        (("acme", "a" * 257), "must have at most 256 characters"),
        (("openai", ""), "column provider: '': must not be empty"),
        (("1,", "x" * 257 + ",", 1), "column id"),
        (("09:00:04Z", "08:00:00Z"), "column end"),
    ],
)
def test_what_is_wrong_with_a_call_is_said(change: tuple[Any, ...], reason: str) -> None:
    """The fault is named by file, line and column; the row is not taken in."""
    reports, problems = read(CALL + ROW.replace(*change))
    assert reports == []
    assert any(reason in problem and problem.startswith("f, line 2") for problem in problems), (
        problems
    )


def test_a_call_may_have_whatever_a_bill_is_made_of() -> None:
    """Columns of a call file become tokens by kind, items, and the cost that the provider told."""
    header = CALL.replace("outcome", "cache_write_tokens,images,told_cost,ended_by,end_user")
    reports, problems = read(header + ROW.replace("answered", "300,2,0.0125,drain,ann"))
    assert problems == []
    [usage] = reports
    assert isinstance(usage, Usage)
    [leg] = usage.legs
    assert usage.tokens == leg.tokens == Tokens(input=812, cache_read=12, cache_write=300)
    assert usage.items == leg.items == Items(images=2)
    assert (leg.told_cost_pico, leg.told_currency) == (12_500_000_000, "USD")
    assert (leg.ended_by, usage.end_user) == ("drain", "ann")
    _, problems = read(header + ROW.replace("answered", "300,2,-1,drain,ann"))
    assert problems == ["f, line 2, column told_cost: '-1': must be at least 0"]


def test_more_bytes_than_there_are_is_said() -> None:
    """A day of an exabyte is taken in, though 64 bits do not hold it; more is a mistake."""
    [held], problems = read(HELD + HELD_ROW.replace("100", str(10**18)))
    assert isinstance(held, Activity)
    assert (held.quantity, problems) == (10**18 * 86_400, [])
    reports, [problem] = read(HELD + HELD_ROW.replace("100", "9" * 20))
    assert reports == []
    assert "more than an exabyte" in problem


def test_events_from_a_file_are_events() -> None:
    """The same body as over HTTP; what is wrong with one is said by its line."""
    bad = [
        {**EVENT, "type": "odd"},
        {**EVENT, "specversion": "0.3"},
        {**EVENT, "data": 7},
        {**EVENT, "data": {**EVENT["data"], "unit": "parsec"}},
        {**EVENT, "data": {**EVENT["data"], "end_ns": 0}},
    ]
    reports, problems = read("".join(json.dumps(event) + "\n" for event in (EVENT, *bad)))
    assert [(report.source, report.quantity) for report in reports] == [("s", 2)]  # type: ignore[union-attr]
    assert [problem.split(":")[0] for problem in problems] == [
        "f, line 2, column type",
        "f, line 3, column type",
        "f, line 4, column data",
        "f, line 5, column unit",
        "f, line 6",
    ]


garbage = st.text(alphabet=st.sampled_from(list('1.-eE,"\n NULLT:Z2026{}[]\x00é')), max_size=20)


@pytest.mark.slow
@settings(max_examples=150)
@given(st.data(), st.sampled_from([(CALL, ROW), (JOB, JOB_ROW), (HELD, HELD_ROW)]), garbage)
def test_no_file_makes_the_reader_stumble(
    data: st.DataObject, kind: tuple[str, str], tail: str
) -> None:
    """Any text in a cell or after the last line makes reports, problems or a BillError."""
    header, row = kind
    cells = row.rstrip("\n").split(",")
    cells[data.draw(st.integers(0, len(cells) - 1))] = data.draw(garbage)
    with contextlib.suppress(BillError):
        reports, problems = read(header + row + ",".join(cells) + "\n" + tail)
        assert reports or problems


scalars = st.none() | st.booleans() | st.integers() | st.floats() | garbage
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(garbage, inner, max_size=2),
    max_leaves=5,
)


@pytest.mark.slow
@settings(max_examples=150)
@given(st.sampled_from(sorted({*EVENT, *EVENT["data"]})), values)
def test_no_event_makes_the_reader_stumble(name: str, value: Any) -> None:
    """Any value in an event or in its data makes reports, problems or a BillError."""
    data = EVENT["data"] | ({name: value} if name in EVENT["data"] else {})
    event = {**EVENT, "data": data} | ({name: value} if name in EVENT else {})
    with contextlib.suppress(BillError):
        reports, problems = read(json.dumps(event) + "\n")
        assert len(reports) + bool(problems) >= 1
