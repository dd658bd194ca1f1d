"""Lines under the month of their usage: billed in another month, each counts once."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest
from msgspec.structs import replace

from inferworks.books.charge import Charge
from inferworks.books.deliveries.arriving import arriving_lines
from inferworks.books.deliveries.canonical import FOCUS, delivery_of, line_of
from inferworks.books.deliveries.elsewhere import counted_once
from inferworks.books.repository.layout import SCHEMA, execute_all
from inferworks.errors import BillError
from inferworks.testing.books import a_charge

DAY_NS = 86_400 * 10**9
IN_FEBRUARY = (("BillingPeriodStart", "1970-02-01"),)


@pytest.fixture(name="db")
def _db() -> Iterator[sqlite3.Connection]:
    """Empty books in memory."""
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as db:
        execute_all(db, SCHEMA)
        yield db


def a_line(day: int, other: tuple[tuple[str, str], ...] = (), **changes: Any) -> Charge:
    """A line of a day of 1970, with the columns of `other`."""
    line = a_charge("", "1", (day * DAY_NS, (day + 1) * DAY_NS), invoice="", **changes)
    return replace(line, file="bill.csv", row=3, other=other)


def enter(db: sqlite3.Connection, line: Charge, state: str = "in force") -> None:
    """Put `line` on record as import 1 of a delivery."""
    delivery = delivery_of(FOCUS, line)
    found = line_of(delivery, line)
    db.execute("INSERT INTO deliveries VALUES (1, ?, ?, ?, ?)", delivery)
    db.execute(
        "INSERT INTO parts VALUES (1, 1, 'a', 'h', '', '', 1, ?, '0', 1, '', '', '', 0, '', '')",
        (state,),
    )
    db.execute("INSERT INTO lines VALUES (1, ?, 'x', ?, '')", (found.name, found.about))


def passed(db: sqlite3.Connection, *lines: Charge, kind: str = FOCUS) -> int:
    """The number of lines that pass."""
    given = list(arriving_lines(kind, lines))
    found = list(counted_once(db, given))
    assert all(one is other for one, other in zip(found, given, strict=True))
    return sum(map(len, found))


def test_lines_pass_where_nothing_is_in_the_books(db: sqlite3.Connection) -> None:
    """Billed in their month or in another, and of an empty file none."""
    assert passed(db) == 0
    assert passed(db, a_line(0), a_line(30, IN_FEBRUARY)) == 2


def test_a_line_in_force_under_the_month_of_its_usage_is_refused(db: sqlite3.Connection) -> None:
    """The refusal names both months and the import that has to be taken back first."""
    enter(db, a_line(30))
    with pytest.raises(BillError) as refused:
        passed(db, a_line(0), a_line(30, IN_FEBRUARY))
    assert str(refused.value) == (
        "bill.csv, line 3: is billed in 1970-02 and stands in the books in 1970-01, the month of its "
        "usage, by an import that knew no better; take that back "
        "(inferworks books imports void 1 --reason ...) and import this file again"
    )


@pytest.mark.parametrize("state", ["superseded", "void", "duplicate", "older"])
def test_a_line_that_is_in_force_no_more_stops_nothing(db: sqlite3.Connection, state: str) -> None:
    """Once the import was taken back, the file passes."""
    enter(db, a_line(30), state)
    assert passed(db, a_line(30, IN_FEBRUARY)) == 1


@pytest.mark.parametrize(
    "other",
    [
        a_line(30, IN_FEBRUARY, resource="vm-2"),
        a_line(29, IN_FEBRUARY),
        a_line(30, IN_FEBRUARY, provider="b-cloud"),
        a_line(30, (*IN_FEBRUARY, ("BillingAccountId", "acct-2"))),
        a_line(30),
        a_line(30, (("BillingPeriodStart", "1970-01-01"),)),
    ],
    ids=["resource", "day", "issuer", "account", "no period", "its own month"],
)
def test_another_line_passes(db: sqlite3.Connection, other: Charge) -> None:
    """Only the same line is looked for, and only if it is billed in another month."""
    enter(db, a_line(30))
    assert passed(db, other) == 1


def test_lines_of_our_own_kinds_are_not_looked_for(db: sqlite3.Connection) -> None:
    """A voucher has no billing period."""
    enter(db, a_line(30))
    assert passed(db, a_line(30, IN_FEBRUARY), kind="voucher") == 1
