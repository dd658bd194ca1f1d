"""The demo's bills: for its span, and labelled."""

from __future__ import annotations

from pathlib import Path

from inferworks.books.bills.base import no_progress, open_bill
from inferworks.books.bills.detect import reader_for
from inferworks.books.calendar.span import Span
from inferworks.books.workspace.importing import readers
from inferworks.demo.bills import (
    CURRENCY,
    DATASETS,
    write_bills,
)
from inferworks.units import NS_PER_SECOND


def test_bills_are_for_the_span_and_labelled(tmp_path: Path) -> None:
    """The importers read them; every line covers the span exactly and says what it is."""
    span = Span(1_750_000_000 * NS_PER_SECOND, 1_750_000_030 * NS_PER_SECOND)
    charges = []
    for bill in map(open_bill, write_bills(tmp_path, span)):
        charges += reader_for(bill, readers()).read(bill, CURRENCY, no_progress)
    assert {(c.period_start_ns, c.period_end_ns) for c in charges} == {span}
    assert all("SYNTHETIC" in charge.description + charge.invoice for charge in charges)
    billed = {charge.resource_id: charge.amount_pico / 10**12 for charge in charges}
    assert billed[DATASETS] == 1.8
    assert len(charges) == 6
