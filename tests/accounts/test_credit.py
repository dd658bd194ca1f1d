"""Prepaid credit: purchases and refunds that can be meant."""

from __future__ import annotations

import pytest

from inferworks.accounts.credit import Credit
from inferworks.errors import MoneyError, UserError
from inferworks.ids import CustomerId


def credit(amount_pico: int, expires_ns: int | None = None) -> Credit:
    """A purchase at the moment 100."""
    return Credit("c1", CustomerId("acme"), 100, amount_pico, "USD", expires_ns)


def test_a_purchase_and_a_refund() -> None:
    """The sign tells them apart."""
    assert not credit(5, expires_ns=101).is_refund
    assert credit(-5).is_refund


def test_nothing_is_neither_bought_nor_paid_back() -> None:
    """An amount of zero is a mistake."""
    with pytest.raises(MoneyError, match="must not be zero"):
        credit(0)


@pytest.mark.parametrize("expires_ns", [100, 99])
def test_credit_is_usable_for_some_time(expires_ns: int) -> None:
    """Credit cannot expire as it is bought, nor before."""
    with pytest.raises(UserError, match="cannot expire before it is bought"):
        credit(5, expires_ns)


def test_a_refund_does_not_expire() -> None:
    """Money that went back is gone for good."""
    with pytest.raises(UserError, match="a refund does not expire"):
        credit(-5, expires_ns=200)
