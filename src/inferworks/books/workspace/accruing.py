"""Estimates and accruals for bills that are expected and have not come."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing

from inferworks.books.accruals.expected_bills import (
    AVERAGED,
    Billed,
    Expected,
    Ground,
    can_accrue,
    condensed,
    in_the_books,
    is_estimated,
)
from inferworks.books.calendar.months import month_name, month_of, months
from inferworks.books.calendar.span import Span
from inferworks.books.charge import ACCRUED, Charge
from inferworks.books.deliveries.canonical import FOCUS
from inferworks.books.deliveries.record import Import, State
from inferworks.books.period import Period, Periods
from inferworks.books.repository.store import BookStore
from inferworks.books.statement.computation import Rules
from inferworks.books.workspace.estimating import estimated, is_api_bill_under, sealed_charges
from inferworks.books.workspace.settings import Settings
from inferworks.catalog.billing import billing_of
from inferworks.folder import DataFolder
from inferworks.meter.usage import Usage


def unbilled(
    settings: Settings,
    bills: Iterable[Charge],
    usages: Sequence[Usage],
    rules: Rules,
    span: Span,
    currency: str,
) -> list[Charge]:
    """Return the charges beside `bills` in `span`: estimates of calls, and accruals."""
    folder = settings.folder
    booked = estimated(folder, bills, usages, rules, span, currency).booked
    return [*booked, *accrued(settings, booked, rules, span, currency)]


def accrued(
    settings: Settings, booked: Sequence[Charge], rules: Rules, span: Span, currency: str
) -> list[Charge]:
    """The accruals of `span`: of open months as they stand now, of closed ones as sealed and reversed.

    `booked` is what calls are estimated to cost, which is not accrued again.
    """
    folder = settings.folder
    expected = settings.suppliers
    last_ns = max(span.start_ns, span.end_ns - 1)
    whole_months = Span(month_of(span.start_ns).start_ns, month_of(last_ns).end_ns)
    sealed, closed = sealed_charges(folder, whole_months, (ACCRUED,))
    if not expected and not sealed:
        return []
    bills = _Bills(folder)
    ground = _ground(booked, rules, currency)
    return in_the_books(_missing(settings, bills, span), bills, sealed, closed, ground, span)


def _ground(booked: Sequence[Charge], rules: Rules, currency: str) -> Ground:
    is_api_bill, billing = is_api_bill_under(rules), billing_of(rules.billing)
    return Ground(booked, is_api_bill, billing, rules.recoverable_taxes, currency)


def not_billed(
    settings: Settings,
    span: Span,
    rules: Rules,
    booked: Callable[[], Sequence[Charge]],
    *,
    accrues: bool,
) -> Iterator[tuple[str, str]]:
    """The expected bills for months that end in `span` which are not here, and nothing stands for them.

    Where the basis `accrues`, those are left of which nothing is known to accrue them from: neither a bill
    before, nor an amount, nor what calls at the supplier's API are estimated to cost. `booked` is what is
    estimated, asked for only where nothing else is known.
    """
    expected = settings.suppliers
    if not expected:
        return
    bills = _Bills(settings.folder)
    ground: Ground | None = None
    for supplier, month in _missing(settings, bills, span):
        if month.end_ns > span.end_ns:
            continue
        billed = bills.billed(supplier.supplier, month)
        if accrues and can_accrue(supplier, month, billed):
            continue
        ground = ground or _ground(booked(), rules, settings.currency)
        if not (accrues and is_estimated(supplier, month, billed, ground)):
            yield supplier.supplier, month.name


class _Bills:
    """The bills in the books of `folder`."""

    def __init__(self, folder: DataFolder) -> None:
        self._path = folder.books
        imports: list[Import] = []
        if self._path.exists():
            with BookStore(self._path, read_only=True) as store:
                imports = store.imports()
        self._in_force = [
            one for one in imports if one.state is State.IN_FORCE and one.delivery.kind == FOCUS
        ]
        self.here = {
            (one.delivery.issuer.casefold(), one.delivery.period[:7]) for one in self._in_force
        }
        """Of whom and for which month there is a bill."""

    def billed(self, supplier: str, month: Period) -> Billed:
        """Return the bills of `supplier` that an accrual for `month` uses."""
        mine = [
            one for one in self._in_force if one.delivery.issuer.casefold() == supplier.casefold()
        ]
        if not mine:
            return Billed(supplier, (), ())
        named = sorted({one.delivery.period[:7] for one in mine})
        before = [_month(name) for name in named if name < month.name][-AVERAGED:]
        issuers = sorted({one.delivery.issuer for one in mine})
        start_ns = before[0].start_ns if before else month.start_ns
        with (
            BookStore(self._path, read_only=True) as store,
            closing(store.charges_from(issuers, start_ns, month.end_ns)) as lines,
        ):
            charges = condensed(lines)
        return Billed(issuers[-1], before, charges)


def _missing(settings: Settings, bills: _Bills, span: Span) -> Iterator[tuple[Expected, Period]]:
    """Yield the suppliers without a bill for a month that meets `span` and has begun, with the month."""
    now_ns, expected = settings.clock.now_ns(), settings.suppliers
    first = Span(max(0, span.start_ns), min(span.end_ns, now_ns))
    wanted = [_month(month_name(month)) for month in months(first)] if expected else []
    for supplier in expected:
        for month in wanted:
            billed = (supplier.supplier.casefold(), month.name) in bills.here
            if supplier.bills_for(month.name) and not billed:
                yield supplier, month


def _month(name: str) -> Period:
    return Periods().named(name)
