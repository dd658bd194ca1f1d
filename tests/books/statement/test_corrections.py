"""Corrections: reversal and replacement, balanced, and none where nothing differs."""

from __future__ import annotations

from msgspec.structs import replace
from tests.support.closed_books import FIRST_PERIOD, SECOND, Recorded, closed

from inferworks.books.accounting.entries import balances
from inferworks.books.closing.close import (
    statement_of,
)
from inferworks.books.closing.inputs import reference_statement
from inferworks.books.closing.ledger import Ledger
from inferworks.books.statement.corrections import corrected, replacement, reversal
from inferworks.meter.usage import Tokens
from inferworks.testing.books import a_charge, a_usage


def test_corrections_balance_and_name_what_they_reverse(ledger: Ledger) -> None:
    """Every entry of a correction sums to zero, and says of which entry of which period it is."""
    source = Recorded()
    closed(ledger, source, FIRST_PERIOD)
    late = a_usage("call-2", tokens=Tokens(input=5), opened_ns=20)
    source.facts = replace(source.facts, usages=(*source.facts.usages, late))
    [correction] = statement_of(ledger, source, SECOND).corrections
    assert sum(balances(correction.entries).values()) == 0
    texts = [entry.text for entry in correction.entries]
    assert texts == ["reversal of usage acme (p0)", "correction of usage acme (p0)"]


def test_a_charge_is_corrected_by_reversal_and_replacement() -> None:
    """Both are lines of their own, marked as corrections of the same period, and sum to the new amount."""
    charge = a_charge("gpu", "1", (0, 100))
    pair = reversal(charge), replacement(charge, 3)
    assert sum(c.amount_pico for c in (charge, *pair)) == 3
    assert len({c.id for c in (charge, *pair)}) == 3
    for one in pair:
        assert one.charge_class == "Correction"
        assert (one.period_start_ns, one.period_end_ns) == (0, 100)
        assert charge.id in one.description


def test_no_difference_is_no_correction() -> None:
    """A statement corrected to itself has no rows and no entries."""
    statement = reference_statement(Recorded().inputs(FIRST_PERIOD.span))
    assert corrected(FIRST_PERIOD, statement, statement, (), 0).empty
