"""Recoverable tax: tax on a supplier's bill that an authority repays is a receivable and no cost.

Recovery depends on the country and the buyer, which no bill states. A registered business recovers value
added tax, so its names are the default of `books.recoverable_taxes`; a company that is exempt names none,
and any other tax, such as a sales tax, is a cost. A line of recoverable tax is left out before charges
are divided. It is owed to the supplier and due from the authority as a whole, in the month in which its
charge begins.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from inferworks.books.accounting.entries import RECOVERABLE, Entry, Posting, credited
from inferworks.books.calendar.months import month_of
from inferworks.books.calendar.span import Span
from inferworks.books.charge import Charge
from inferworks.money import format_pico

TAX = "Tax"
"""FOCUS's ChargeCategory of tax."""
TAX_NAME = "x_TaxName"
"""The column that names the tax; without it the line's description does."""
ANY = "*"
"""Stands for every tax, for a company that recovers all of it."""


class Tax(NamedTuple):
    """A line of recoverable tax, and its name among the company's taxes."""

    name: str
    charge: Charge


def is_tax(charge: Charge) -> bool:
    """Return True if `charge` is a line of tax."""
    return charge.charge_category == TAX


def recoverable(charge: Charge, names: Iterable[str]) -> Tax | None:
    """`charge` as the tax that it is among those called `names`; None when it is a cost.

    It is one whose name stands in it as whole words: `VAT 19 %` is VAT.
    """
    if not is_tax(charge):
        return None
    text = dict(charge.other).get(TAX_NAME) or charge.description
    for name in names:
        if name == ANY or re.search(rf"(?<!\w){re.escape(name)}(?!\w)", text, re.IGNORECASE):
            return Tax(name, charge)
    return None


def booked(taxes: Iterable[Tax], span: Span) -> Iterator[Tax]:
    """Yield the taxes that `span` books."""
    return (tax for tax in taxes if span.holds(tax.charge.period_start_ns))


def tax_notes(taxes: Iterable[Tax], span: Span) -> Iterator[str]:
    """Yield a note for each account of recoverable tax: the amount that is no cost."""
    amounts: dict[str, int] = defaultdict(int)
    for tax in booked(taxes, span):
        amounts[account_of(tax)] += tax.charge.amount_pico
    for account, amount_pico in sorted(amounts.items()):
        yield f"{format_pico(amount_pico)} of tax comes back and is no cost; it stands in {account}."


def account_of(tax: Tax) -> str:
    """The receivable account of a tax authority."""
    return f"{RECOVERABLE}:{'other' if tax.name == ANY else tax.name}"


def tax_entries(taxes: Iterable[Tax], currency: str, span: Span) -> Iterator[Entry]:
    """The entries of the tax that `span` books, each in the month in which its charge begins."""
    for tax in booked(taxes, span):
        charge = tax.charge
        yield Entry(
            min(month_of(charge.period_start_ns).end_ns, span.end_ns),
            f"tax {charge.named}",
            (
                Posting(account_of(tax), charge.amount_pico, currency),
                Posting(credited(charge), -charge.amount_pico, currency),
            ),
        )
