"""Prepaid credit: money a customer paid ahead. `books/accounting/prepaid.py` accounts for its use."""

from __future__ import annotations

import msgspec

from inferworks.errors import MoneyError, UserError
from inferworks.ids import CustomerId


class Credit(msgspec.Struct, frozen=True):
    """One purchase of `amount_pico` picounits of `currency`, usable until `expires_ns` if that is set.

    A negative amount is a refund of what is left at `bought_ns`. MoneyError when the amount is zero;
    UserError when it would expire before it is bought, or a refund would expire.
    """

    id: str
    customer: CustomerId
    bought_ns: int
    amount_pico: int
    currency: str
    expires_ns: int | None = None
    voided_ns: int | None = None
    """Moment a mistaken credit was voided; it then counts as if it had never been."""
    reason: str = ""
    """Reason of the refund or of the voiding."""

    @property
    def is_refund(self) -> bool:
        """True if money went back to the customer."""
        return self.amount_pico < 0

    def __post_init__(self) -> None:
        if self.amount_pico == 0:
            raise MoneyError("the amount of credit must not be zero")
        if self.is_refund and self.expires_ns is not None:
            raise UserError("a refund does not expire")
        if self.expires_ns is not None and self.expires_ns <= self.bought_ns:
            raise UserError("credit cannot expire before it is bought")
