"""Balances between the billed amount and the cost of a span: as charges imply, and as entries moved.

Theorem 18, at every moment and to the picounit:

    billed = cost + change of prepaid + change of capitalised + tax that comes back
             - change of accrued - change of what staff have earned.

`changes` computes each balance from the charges alone, by their kind and time of billing, without any
entry. `booked` computes it from the entries. A charge on the wrong side of a month's end, in the wrong
account, twice or not at all makes the two differ.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from inferworks.books.accounting.basis import Basis, is_prepaid
from inferworks.books.accounting.entries import (
    ACCRUED,
    CAPITALISED,
    PAYABLE,
    PAYROLL,
    PREPAID,
    RECOVERABLE,
    Entry,
    credited,
    prepaid,
)
from inferworks.books.accounting.tax import Tax
from inferworks.books.accounting.tax import booked as booked_taxes
from inferworks.books.calendar.span import Span
from inferworks.books.charge import Charge


class Balances(NamedTuple):
    """Change of each balance in the books of a span; picounits, liabilities positive."""

    billed: int = 0
    """Amount that suppliers billed, tax included."""
    prepaid: int = 0
    capitalised: int = 0
    """Depreciation of assets, negative."""
    recoverable: int = 0
    """Recoverable tax."""
    accrued: int = 0
    payroll: int = 0
    """Pay that staff have earned and not received."""

    @property
    def cost(self) -> int:
        """Return the cost of the span, in picounits: what was billed, less and plus the other balances."""
        assets = self.prepaid + self.capitalised + self.recoverable
        return self.billed - assets + self.accrued + self.payroll


_ACCOUNTS = {
    PAYABLE: ("billed", -1),
    PREPAID: ("prepaid", 1),
    CAPITALISED: ("capitalised", 1),
    RECOVERABLE: ("recoverable", 1),
    ACCRUED: ("accrued", -1),
    PAYROLL: ("payroll", -1),
}
"""The balance that accounts belong to, by what their names begin with, and the sign of a debit there."""


def changes(
    given: Sequence[Charge],
    charges: Sequence[Charge],
    committed: Iterable[Charge],
    taxes: Iterable[Tax],
    span: Span,
    basis: Basis,
) -> Balances:
    """Return the changes that the charges of `span` imply: `given` whole, `charges` cut to it."""
    sums = dict.fromkeys(Balances._fields, 0)
    for whole, inside in zip(given, charges, strict=True):
        cost_pico = inside.amount_pico
        if prepaid(whole, basis) is None:
            name, debit = _ACCOUNTS[_root(credited(whole, basis))]
            sums[name] -= debit * cost_pico
            continue
        billed_pico = whole.amount_pico if span.holds(whole.period_start_ns) else 0
        sums["billed"] += billed_pico
        sums["prepaid"] += billed_pico - cost_pico
    for charge in committed:
        if is_prepaid(charge, basis) and span.holds(charge.period_start_ns):
            sums["billed"] += charge.amount_pico
            sums["prepaid"] += charge.amount_pico
    for tax in booked_taxes(taxes, span):
        name, debit = _ACCOUNTS[_root(credited(tax.charge))]
        sums[name] -= debit * tax.charge.amount_pico
        sums["recoverable"] += tax.charge.amount_pico
    return Balances(**sums)


def booked(entries: Iterable[Entry]) -> Balances:
    """Return the changes that `entries` make."""
    sums = dict.fromkeys(Balances._fields, 0)
    for entry in entries:
        for side in entry.postings:
            name, debit = _ACCOUNTS.get(_root(side.account), ("", 0))
            if name:
                sums[name] += debit * side.amount_pico
    return Balances(**sums)


def _root(account: str) -> str:
    """Return the first two parts of the name of `account`."""
    return ":".join(account.split(":", 2)[:2])
