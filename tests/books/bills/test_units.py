"""Numbers and moments in the units of somebody else's file, in ours."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inferworks.books.bills.mapping import Filled
from inferworks.books.bills.spelling import Spelling
from inferworks.books.bills.units import decimal, in_our_unit, moved, our_moment, written


def amount(
    text: str, unit: str, *, name: str = "BilledCost", sign: int = 1, mark: str = "."
) -> str:
    """`text` in `unit` as our column `name`."""
    return in_our_unit(name, text, Filled(column="x", unit=unit, sign=sign), mark)


@pytest.mark.parametrize(
    ("text", "unit", "name", "ours"),
    [
        ("1234", "cents", "BilledCost", "12.34"),
        ("5", "micro", "BilledCost", "0.000005"),
        ("2", "thousands", "BilledCost", "2000"),
        ("90", "seconds", "minutes", "1.500000000"),
        ("2", "hours", "minutes", "120.000000000"),
        ("1:30:00", "h:mm:ss", "minutes", "90.000000000"),
        ("0:45", "h:mm:ss", "seconds", "2700.000000000"),
        ("1.5", "KiB", "bytes", "1536"),
        ("1", "GB", "bytes", "1000000000"),
        ("7.50", "", "BilledCost", "7.50"),
    ],
)
def test_units(text: str, unit: str, name: str, ours: str) -> None:
    """Money by powers of ten, time in the column's own unit, storage in whole bytes."""
    assert amount(text, unit, name=name) == ours


def test_a_sign_is_turned() -> None:
    """An amount owed that is written with a minus has its sign turned, in any unit."""
    assert amount("-12.50", "", sign=-1) == "12.50"
    assert amount("300", "cents", sign=-1) == "-3.00"


def test_marks_are_read() -> None:
    """A decimal comma and the points of thousands."""
    assert amount("1.234,50", "", mark=",") == "1234.50"


@pytest.mark.parametrize("text", ["1:2:3:4", "1", "a:b", "-1:00", "1:٣0"])
def test_what_is_no_duration_is_refused(text: str) -> None:
    """The message shows how one is written."""
    with pytest.raises(ValueError, match="it is written as in 1:30:00"):
        amount(text, "h:mm:ss", name="minutes")


@pytest.mark.parametrize("text", ["", "x", "1e999999999", "9" * 60, "NaN"])
def test_numbers_that_cannot_be_meant_are_refused(text: str) -> None:
    """Neither words nor sizes at which arithmetic would round."""
    with pytest.raises(ValueError, match="is no number"):
        decimal(text)


@settings(max_examples=15)
@given(st.decimals(-(10**15), 10**15, places=12))
def test_cents_of_cents_lose_nothing(value: Decimal) -> None:
    """A number in cents is a hundredth of it, to the last digit."""
    assert Decimal(amount(written(value), "cents")) * 100 == value


@pytest.mark.parametrize(
    ("text", "unit", "iso"),
    [
        ("0", "unix", "1970-01-01T00:00:00Z"),
        ("1.5", "unix", "1970-01-01T00:00:01.500000000Z"),
        ("1790000000123", "unix_ms", "2026-09-21T14:13:20.123000000Z"),
        ("-1", "unix_ns", "1969-12-31T23:59:59.999999999Z"),
        ("202611", "month", "2026-11-01"),
        ("2026-11", "month", "2026-11-01"),
        ("2026-11-21", "month", "2026-11-01"),
    ],
)
def test_moments(text: str, unit: str, iso: str) -> None:
    """Seconds since 1970 by any power of ten, and months where they begin."""
    assert our_moment(text, Filled(column="x", unit=unit), Spelling()) == iso


@pytest.mark.parametrize(
    ("text", "unit", "reason"),
    [
        ("0.0000000001", "unix", "no moment in that unit"),
        ("1e30", "unix", "no moment in that unit"),
        ("x", "unix_ms", "is no number"),
        ("202613", "month", "is no month"),
        ("November", "month", "is no month"),
    ],
)
def test_what_is_no_moment_in_its_unit_is_refused(text: str, unit: str, reason: str) -> None:
    """Finer than a nanosecond, far beyond the calendar, or no number at all."""
    with pytest.raises(ValueError, match=reason):
        our_moment(text, Filled(column="x", unit=unit), Spelling())


@pytest.mark.parametrize(
    ("iso", "plus", "after"),
    [
        ("2026-11-21", "1 day", "2026-11-22"),
        ("2026-12-01", "1 month", "2027-01-01"),
        ("2026-01-15", "-1 month", "2025-12-15"),
        ("2026-11-21", "1 hour", "2026-11-21T01:00:00Z"),
        ("2026-11-21T23:00:00Z", "60 minutes", "2026-11-22T00:00:00Z"),
        ("2026-11-21T09:00:00.5+01:00", "1 second", "2026-11-21T09:00:01.5+01:00"),
        ("nonsense", "1 day", "nonsense"),
    ],
)
def test_a_span_is_added(iso: str, plus: str, after: str) -> None:
    """A day stays a day where it can; fraction and offset stay; what is no moment is left to its reader."""
    assert moved(iso, plus) == after


@pytest.mark.parametrize(("iso", "plus"), [("2026-01-31", "1 month"), ("9999-12-31", "1 day")])
def test_a_moment_that_is_not_there_is_refused(iso: str, plus: str) -> None:
    """The 31st of February, and a year beyond the calendar."""
    with pytest.raises(ValueError, match=r"month after the 29th|out of range|date value"):
        moved(iso, plus)
