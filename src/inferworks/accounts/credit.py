"""Prepaid credit: money a customer paid ahead. What becomes of it is in `books/wallet.py`."""

from __future__ import annotations

import msgspec

from inferworks.errors import MoneyError, UserError
from inferworks.ids import CustomerId


class Credit(msgspec.Struct, frozen=True):
    """One purchase of `amount_pico` picounits of `currency`, usable until `expires_ns` if that is set.

    MoneyError when the amount is not positive; UserError when it would expire before it is bought.
    """

    id: str
    customer: CustomerId
    bought_ns: int
    amount_pico: int
    currency: str
    expires_ns: int | None = None

    def __post_init__(self) -> None:
        if self.amount_pico <= 0:
            raise MoneyError("credit must be more than nothing")
        if self.expires_ns is not None and self.expires_ns <= self.bought_ns:
            raise UserError("credit cannot expire before it is bought")
