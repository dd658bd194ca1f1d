"""What calls at other people's APIs are estimated to have cost, as far as bills have not come."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from inferworks.books.charge import Charge
from inferworks.books.ledger import Ledger, standing
from inferworks.books.papers import INPUTS
from inferworks.books.pools import CostPool, DriverKind, pool_of
from inferworks.books.provisional import (
    Accuracy,
    IsApiBill,
    accuracy,
    estimates,
    is_provisional,
    true_up,
)
from inferworks.books.span import Span
from inferworks.catalog.pins import list_prices
from inferworks.folder import DataFolder
from inferworks.meter.usage import Usage


class Estimated(NamedTuple):
    """The estimates of a span."""

    booked: tuple[Charge, ...]
    """What stands in the books beside the bills."""
    accuracy: tuple[Accuracy, ...]
    """How they compare with the bills."""


def estimated(
    folder: DataFolder,
    bills: Sequence[Charge],
    usages: Sequence[Usage],
    pools: Sequence[CostPool],
    span: Span,
    currency: str,
) -> Estimated:
    """The estimates for what `usages` bought in `span`, set against `bills`."""
    sealed, closed = _sealed(folder, span)
    now = _estimates(folder, usages, span, currency)
    fresh = [c for c in now if not any(span.holds(c.period_start_ns) for span in closed)]
    is_api_bill = _is_api_bill(pools)
    return Estimated(
        booked=true_up(fresh, bills, is_api_bill, sealed),
        accuracy=accuracy([*sealed, *fresh], bills, is_api_bill, span),
    )


def _estimates(
    folder: DataFolder, usages: Sequence[Usage], span: Span, currency: str
) -> tuple[Charge, ...]:
    """Price lists are read only when something was bought."""
    if not any(leg.replica is None for usage in usages for leg in usage.legs):
        return ()
    return estimates(usages, list_prices(folder.price_books), span, currency)


def _sealed(folder: DataFolder, span: Span) -> tuple[list[Charge], list[Span]]:
    """The estimates that closed periods were closed with, as far as they meet `span`; those periods."""
    if not folder.ledger.exists():
        return [], []
    with Ledger(folder.ledger, read_only=True) as ledger:
        closes = [c for c in standing(ledger.records()) if _meets(c.period.span, span)]
        charges = [
            charge for close in closes for charge in ledger.body(close, _CHARGES).rows(Charge)
        ]
    kept = [c for c in charges if is_provisional(c) and span.holds(c.period_start_ns)]
    return kept, [close.period.span for close in closes]


_CHARGES = next(given.part for given in INPUTS if given.kind is Charge)


def _meets(one: Span, other: Span) -> bool:
    return one.meet(*other).length_ns > 0


def _is_api_bill(pools: Sequence[CostPool]) -> IsApiBill:
    def is_api_bill(charge: Charge) -> bool:
        return pool_of(charge, pools, ()).driver is DriverKind.PROVIDER_TOKENS

    return is_api_bill
