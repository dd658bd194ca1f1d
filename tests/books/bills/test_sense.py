"""Plausibility of the times of lines: refused, noted, or neither."""

from __future__ import annotations

import contextlib

import pytest
from msgspec.structs import replace
from tests.support.own_bills import VOUCHERS, file, read

from inferworks.books.bills.base import no_progress
from inferworks.books.bills.sense import Doubts, after_tomorrow_ns
from inferworks.books.bills.timesheet import TimesheetReader
from inferworks.books.calendar.moments import parse_moment_ns
from inferworks.errors import BillError

SHEET_HEAD = "person,start,end,minutes,node,activity,pay,currency,sheet\n"


@pytest.mark.parametrize(
    ("minutes", "is_noted"),
    [("60", False), ("75", False), ("75.1", True), ("600", True), ("0", False)],
)
def test_who_works_longer_than_it_lasts_is_noted(minutes: str, *, is_noted: bool) -> None:
    """More minutes than a shift lasts are noted, but for those that programs round up to."""
    text = f"{SHEET_HEAD}ann,2026-11-21T09:00Z,2026-11-21T10:00Z,{minutes},,support,9,USD,s\n"
    doubts = Doubts(parse_moment_ns("2026-11-30"))
    for charge in TimesheetReader().read(file(text), "USD", no_progress):
        doubts.look_at(charge)
    told = f"1 line has more minutes than there are from start to end, such as {minutes} of ann, support"
    assert [text.startswith(told) for text in doubts.texts()] == [True] * is_noted


def test_work_is_done_before_it_is_written_down() -> None:
    """Work that begins after tomorrow is refused; work that goes on until then is not."""
    day_ns = 86_400 * 10**9
    until_ns = after_tomorrow_ns(parse_moment_ns("2026-11-30T15:00:00Z"))
    assert until_ns == parse_moment_ns("2026-12-02")
    for day, is_refused in ((1, False), (2, True)):
        text = f"{SHEET_HEAD}ann,2026-12-0{day},2026-12-09,60,,support,9,USD,s\n"
        reader = TimesheetReader(until_ns=until_ns)
        refusal = pytest.raises(BillError, match="begins after tomorrow")
        with refusal if is_refused else contextlib.nullcontext():
            reader.read(file(text), "USD", no_progress)
    assert after_tomorrow_ns(until_ns) == until_ns + 2 * day_ns


def test_what_is_doubts_is_noted() -> None:
    """Terms that are paid in advance and corrections are not; nor is what an asset loses."""
    near = read(VOUCHERS)[0]

    def texts(*starts: str) -> list[str]:
        doubts = Doubts(parse_moment_ns("2026-11-30"))
        moments = [parse_moment_ns(start) for start in starts]
        charges = [replace(near, period_start_ns=at, period_end_ns=at + 10**9) for at in moments]
        for charge in charges:
            doubts.look_at(charge)
        return list(doubts.texts())

    assert texts("2017-01-01", "2027-11-01") == []
    assert texts("1900-01-01", "2031-05-01", "2031-06-01") == [
        "1 line is for a time that is more than ten years ago (1900-01); is the year right?",
        "2 lines are for a time that begins more than a year ahead (2031-06); is the year right?",
    ]
