"""`inferworks books explain`: the way down to bill line and call."""

from __future__ import annotations

import pytest
from tests.support.views import books, document

pytestmark = pytest.mark.usefixtures("november")


def test_an_explanation_reaches_bill_and_call() -> None:
    """The bill's file and line, the ratio and the call stand on the way down."""
    text = books("explain", "customer:acme").output
    for found in ("bill.csv line 2", "node_ns", "call call-1 Input", "5.00"):
        assert found in text
    call = document("explain", "call:call-1")
    assert (call["revenue"]["amount"], call["cost"]["amount"]) == ("14.00", "5.00")


def test_what_is_left_out_of_an_explanation_is_said() -> None:
    """`--width 1` shows one part and the sum of the others."""
    text = books("explain", "pool:machines", "--width", "1", "--depth", "2").output
    assert "and 1 more" in text


def test_a_closed_period_is_explained_from_what_was_sealed() -> None:
    """After a close the views still answer, and the statement is the sealed one."""
    before = document("explain", "customer:acme", "--period", "2026-11")
    assert books("close", "2026-11").exit_code == 0
    closed = {"provisional": False}  # before, that depends on today
    assert document("explain", "customer:acme", "--period", "2026-11") | closed == before | closed
    assert document("bridge", "--period", "2026-11")["revenue"] == "14.00"
    assert document("compare", "gaap", "full", "--period", "2026-11")["moved"] == []
