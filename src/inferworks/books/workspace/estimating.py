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
    sealed, closed = sealed_charges(folder, span, (LIST_PRICES, TOLD_COSTS))
    sealed = [charge for charge in sealed if span.holds(charge.period_start_ns)]
    fresh: list[Charge] = []
    if any(
        leg.replica is None for usage in usages for leg in usage.legs
    ):  # else no price is needed
        rates = NO_RATES
        if folder.books.exists():
            with BookStore(folder.books, read_only=True) as store:
                rates = store.rates()
        prices = list_prices(folder.price_books)
        fresh = [
            charge
            for charge in estimates(usages, prices, span, currency, rates)
            if not any(
                one.holds(charge.period_start_ns) for one in closed if one.meet(*span).length_ns
            )
        ]
    is_api_bill, billing = is_api_bill_under(rules), billing_of(rules.billing)
    every = [*filter(is_first, sealed), *fresh]  # billed since then or not
    return Estimated(
        booked=true_up(fresh, bills, is_api_bill, sealed, billing),
        accuracy=accuracy(every, bills, is_api_bill, span, billing),
    )


def sealed_charges(
    folder: DataFolder, span: Span, files: Collection[str]
) -> tuple[list[Charge], list[Span]]:
    """The charges of `files`, no bills, that the closed periods which meet `span` stand with.

    Beside them the spans of all closed periods.
    """
    if not folder.ledger.exists():
        return [], []
    with Ledger(folder.ledger, read_only=True) as ledger:
        key = ledger.head(), span
        if key not in _LAST_READ:
            _LAST_READ.clear()
            found: list[Charge] = []
            for charges in charges_in(ledger, span):
                likely = charges.with_any_of(NO_BILLS) if isinstance(charges, Lines) else charges
                found += (charge for charge in likely if charge.file in NO_BILLS)
            _LAST_READ[key] = found
        closed = [period.span for period in ledger.periods().closed]
        return [charge for charge in _LAST_READ[key] if charge.file in files], closed


_LAST_READ: dict[tuple[tuple[int, str], Span], list[Charge]] = {}
"""Last result, by the head of the ledger, which identifies it: it is needed twice."""


def is_api_bill_under(rules: Rules) -> IsApiBill:
    """Return the predicate of a line for API calls: `rules` divide it by a provider's tokens."""

    def is_api_bill(charge: Charge) -> bool:
        pool = pool_of(rules.departments.placed(charge), rules.pools, (), billing_of(rules.billing))
        return pool.driver is DriverKind.PROVIDER_TOKENS

    return is_api_bill
