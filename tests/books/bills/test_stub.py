"""The reader of bills that ships as a fake."""

from __future__ import annotations

from tests.support.csv_bills import READERS

from inferworks.books.bills.base import bill_file, no_progress
from inferworks.books.bills.detect import reader_for
from inferworks.books.bills.stub import StubBillReader
from inferworks.testing.books import a_charge


def test_the_stub_reads_what_it_was_given() -> None:
    """A fake for the seam ships inside the package."""
    charges = (a_charge("gpu", "1.00", (0, 10)),)
    stub = StubBillReader(charges)
    bill = bill_file("x.csv", b"stub\n")
    assert reader_for(bill, (*READERS, stub)) is stub
    assert stub.read(bill, "USD", no_progress) == charges
