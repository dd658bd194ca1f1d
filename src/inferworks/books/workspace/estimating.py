"""Estimates of the cost of calls at external APIs, as far as bills have not come."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import NamedTuple

from inferworks.books.accruals.api_estimates import (
    Accuracy,
    IsApiBill,
    accuracy,
    estimates,
    true_up,
)
from inferworks.books.accruals.reversals import is_first
from inferworks.books.allocation.pools import DriverKind, pool_of
from inferworks.books.calendar.span import Span
from inferworks.books.charge import LIST_PRICES, NO_BILLS, TOLD_COSTS, Charge
from inferworks.books.closing.ledger import Ledger
from inferworks.books.closing.prior_period import charges_in
from inferworks.books.currency import NO_RATES
from inferworks.books.lines import Lines
from inferworks.books.repository.store import BookStore
from inferworks.books.statement.computation import Rules
from inferworks.catalog.billing import billing_of
from inferworks.catalog.pins import list_prices
from inferworks.folder import DataFolder
from inferworks.meter.usage import Usage


class Estimated(NamedTuple):
    """The estimates of a span."""

    booked: tuple[Charge, ...]
    """Charges beside the bills."""
    accuracy: tuple[Accuracy, ...]
    """Accuracy of the estimates against the bills."""


def estimated(
    folder: DataFolder,
    bills: Iterable[Charge],
    usages: Sequence[Usage],
    rules: Rules,
    span: Span,
    currency: str,
) -> Estimated:
    """The estimates for what `usages` bought in `span`, set against `bills`."""
    sealed, closed = _sealed(folder, span)
    now = _estimates(folder, usages, span, currency)
    fresh = [c for c in now if not any(span.holds(c.period_start_ns) for span in closed)]
    is_api_bill, billing = is_api_bill_under(rules), billing_of(rules.billing)
    every = [*filter(is_first, sealed), *fresh]  # billed since then or not
    return Estimated(
        booked=true_up(fresh, bills, is_api_bill, sealed, billing),
        accuracy=accuracy(every, bills, is_api_bill, span, billing),
    )


def _estimates(
    folder: DataFolder, usages: Sequence[Usage], span: Span, currency: str
) -> tuple[Charge, ...]:
    """Price lists are read only when something was bought."""
    if not any(leg.replica is None for usage in usages for leg in usage.legs):
        return ()
    rates = NO_RATES
    if folder.books.exists():
        with BookStore(folder.books, read_only=True) as store:
            rates = store.rates()
    return estimates(usages, list_prices(folder.price_books), span, currency, rates)


def _sealed(folder: DataFolder, span: Span) -> tuple[list[Charge], list[Span]]:
    """The estimates that closed periods stand with, as far as they meet `span`; those periods."""
    if not folder.ledger.exists():
        return [], []
    with Ledger(folder.ledger, read_only=True) as ledger:
        charges = sealed_charges(ledger, span, (LIST_PRICES, TOLD_COSTS))
        closed = [one.span for one in ledger.periods().closed if one.span.meet(*span).length_ns]
    return [c for c in charges if span.holds(c.period_start_ns)], closed


def sealed_charges(ledger: Ledger, span: Span, files: Collection[str]) -> list[Charge]:
    """The charges of `files`, no bills, that the closed periods which meet `span` stand with."""
    key = ledger.head(), span
    if key not in _LAST_READ:
        _LAST_READ.clear()
        found: list[Charge] = []
        for charges in charges_in(ledger, span):
            likely = charges.with_any_of(NO_BILLS) if isinstance(charges, Lines) else charges
            found += (charge for charge in likely if charge.file in NO_BILLS)
        _LAST_READ[key] = found
    return [charge for charge in _LAST_READ[key] if charge.file in files]


_LAST_READ: dict[tuple[tuple[int, str], Span], list[Charge]] = {}
"""Last result, by the head of the ledger, which identifies it: it is needed twice."""


def is_api_bill_under(rules: Rules) -> IsApiBill:
    """Return the predicate of a line for API calls: `rules` divide it by a provider's tokens."""

    def is_api_bill(charge: Charge) -> bool:
        pool = pool_of(rules.departments.placed(charge), rules.pools, (), billing_of(rules.billing))
        return pool.driver is DriverKind.PROVIDER_TOKENS

    return is_api_bill
