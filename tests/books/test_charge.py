"""Charges: their ids, and what kind of line one is."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from inferworks.books.charge import (
    ACCRUED,
    LIST_PRICES,
    REVERSAL,
    TOLD_COSTS,
    charge_id,
    is_accrual,
    is_provisional,
    successor_id,
)
from inferworks.testing.books import a_charge

CHARGE = a_charge("rent", "12.50", (0, 100))
PARTS = st.tuples(st.text(max_size=3), st.text(max_size=3), st.text(max_size=3))


@settings(max_examples=20)
@given(PARTS, PARTS)
def test_two_lines_have_one_id_only_if_they_have_one_name(
    one: tuple[str, str, str], other: tuple[str, str, str]
) -> None:
    """No part runs into the next, whatever stands in them."""
    assert (charge_id(*one) == charge_id(*other)) == (one == other)


def test_an_id_is_for_ever() -> None:
    """Ids of known lines are what they always were: books of long ago have them."""
    assert charge_id("a-cloud", "invoice-1", "rent") == CHARGE.id == "chg_7719dfd863ac469e17c2f3d1"
    assert len(CHARGE.id) == len("chg_") + 24


def test_successors_differ_by_kind_and_from_their_charge() -> None:
    """A reversal is not its replacement, and neither is the line itself."""
    ids = {CHARGE.id, successor_id(CHARGE, REVERSAL), successor_id(CHARGE, "correction")}
    assert len(ids) == 3


def test_an_effective_cost_takes_the_place_of_the_amount() -> None:
    """Zero included; without one the charge is the same."""
    assert CHARGE.effectively() is CHARGE
    assert replace(CHARGE, effective_pico=0).effectively().amount_pico == 0


@pytest.mark.parametrize(
    ("file", "provisional", "accrual"),
    [
        ("bill.csv", False, False),
        (LIST_PRICES, True, False),
        (TOLD_COSTS, True, False),
        (ACCRUED, False, True),
    ],
)
def test_kinds_of_lines(file: str, provisional: bool, accrual: bool) -> None:
    """By where a line comes from: a bill, an estimate of calls, or a bill that has not come."""
    charge = replace(CHARGE, file=file)
    assert (is_provisional(charge), is_accrual(charge)) == (provisional, accrual)


def test_a_line_stands_for_itself() -> None:
    """One amount, one line, its id in entries and its description for people."""
    assert (CHARGE.amounts, CHARGE.lines) == (CHARGE.amount_pico, 1)
    assert (CHARGE.named, CHARGE.title) == (CHARGE.id, CHARGE.description)
