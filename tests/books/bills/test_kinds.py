"""Payroll, depreciation, vouchers: what no cloud bills, as charges."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support.own_bills import ASSETS, PAYROLL, READERS, VOUCHERS, file, problems, read

from inferworks.books.bills.detect import reader_for
from inferworks.errors import BillError
from inferworks.testing.books import check_bill_reader


@pytest.mark.parametrize("text", [PAYROLL, ASSETS, VOUCHERS], ids=["payroll", "assets", "vouchers"])
def test_every_reader_keeps_the_promises_of_the_seam(text: str) -> None:
    """The conformance suite that a stranger's reader can run too."""
    check_bill_reader(reader_for(file(text), READERS), file(text), "USD")


@pytest.mark.parametrize("day", ["1970-01-01", "2026-11-01"])
def test_a_span_without_length_is_refused(day: str) -> None:
    """Nothing can be spread over no time, not even at the beginning of all times."""
    text = PAYROLL.replace("2026-11-01", day).replace("2026-12-01", day)
    assert "line 2, column end" in problems(text)[0]


garbage = st.text(alphabet=st.sampled_from(list('1.-eE,"\n NULLT:Z2026=\x00é')), max_size=20)


@settings(max_examples=60)
@given(st.data(), st.sampled_from([PAYROLL, ASSETS, VOUCHERS]), garbage)
def test_no_file_makes_a_reader_stumble(data: st.DataObject, text: str, tail: str) -> None:
    """Any text in a cell or after the last line makes charges, or a BillError."""
    cells = text.splitlines()[1].split(",")
    place = data.draw(st.integers(0, len(cells) - 1))
    cells[place] = data.draw(garbage)
    with contextlib.suppress(BillError):
        read(text + ",".join(cells) + "\n" + tail)
