"""Accruals: amounts that suppliers are expected to bill for a month, and have not billed.

Problem. The statement of a month is built, or closed, before its last bill arrives. Without that bill its
cost is too low and the next month's too high; and waiting for the last bill closes no month.

Decision. On the accrual basis a supplier who bills every month (`books.suppliers`) and has not for this
one is *accrued*: charges of the same sort as those of its bills stand for the missing one, so that they
are divided as the bill will be, each with the method in its text. The expected amount follows one of
three methods: *as in its last bill* (the default), *the average* of its last three, or *a stated amount*,
divided as the last bill was. The expected amount is the cost of a month by all recurring lines of the
supplier, not the total of one of its files: a line that reaches over a month's end counts in both. The
cost of the month by lines that are here already is deducted, and so are the estimates from calls at its
API (`api_estimates.py`): a call is never estimated twice. For a supplier who has never billed, only the
estimate of its calls is accrued.

While the month is open an accrual is computed on each request, and is gone when the bill is imported. The
accruals sealed with a closed period stay, and the bill reverses them exactly (`reversals.py`): accrual
and bill are both late for the closed period, and their difference, the *true-up*, corrects the open one
(theorem 12). A bill that will never come is a line of zero for its month.

Rejected. One line for a supplier (it could not be allocated to customers); accruing without a list of
expected suppliers (a former supplier would be accrued for ever); scaling to the days of the month (most
recurring lines are monthly).
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Sequence
from fractions import Fraction
from operator import attrgetter
from typing import NamedTuple, Protocol

import msgspec

from inferworks.books.accounting.basis import COMMITMENT, Basis, on_basis
from inferworks.books.accounting.tax import TAX_NAME, recoverable
from inferworks.books.accruals.api_estimates import IsApiBill
from inferworks.books.accruals.reversals import is_first, with_reversals
from inferworks.books.allocation.billed_usage import COLUMNS as OF_SALES
from inferworks.books.allocation.billed_usage import sale_of
from inferworks.books.calendar.months import month_of
from inferworks.books.calendar.span import Span
from inferworks.books.charge import (
    ACCRUED,
    Charge,
    ChargeId,
    NaturalClass,
    charge_id,
    is_accrual,
    is_provisional,
)
from inferworks.books.lines import unknown
from inferworks.books.period import Period
from inferworks.catalog.billing import Billing
from inferworks.money import format_pico, parse_pico, split

LAST, AVERAGE, NEVER = "last", "average", "never"
"""The methods that have a name: as in the last bill, the average of the last ones, and not at all."""
AVERAGED = 3
"""The bills of which the average is taken."""
_PASSING = frozenset({"Credit", "Adjustment"})
"""Charge categories that are not expected again."""
_TELLING = frozenset(
    {"CommitmentDiscountStatus", "PricingCategory", "SkuMeter", "SkuPriceDetails", "Tags"}
)
"""Columns that say how a line is divided; an accrual has them from the bills that it is made from."""
_TOLD = frozenset({*_TELLING, *OF_SALES, "ChargeFrequency", COMMITMENT, TAX_NAME})
"""All columns that an accrual reads."""


class Expected(NamedTuple):
    """A supplier who bills every month."""

    supplier: str
    method: str = LAST
    """One of the named methods, or an amount for a month as decimal text."""
    since: str = ""
    """The first month that it bills for, as `2026-11`; empty where its first bill says so."""
    department: str = ""
    """Department that bears the cost, where the supplier's bills name none."""
    until: str = ""
    """The last month that it bills for; empty while it bills on."""

    def bills_for(self, month: str) -> bool:
        """Return True if a bill for `month`, as `2026-11`, is expected."""
        return self.since <= month <= (self.until or month)


class Billed(NamedTuple):
    """Bills of a supplier."""

    issuer: str
    """Name of the supplier on its bills."""
    months: Sequence[Period]
    """The months of its bills in force."""
    charges: Sequence[Charge]
    """Its lines in force, of the time around those months that matter."""


class Ground(NamedTuple):
    """Inputs of an accrual beside bills."""

    estimated: Sequence[Charge]
    """Estimates of the cost of calls."""
    is_api_bill: IsApiBill
    billing: Billing
    recoverable_taxes: Sequence[str]
    currency: str


class Accrued(msgspec.Struct, frozen=True):
    """Amount that stands for a bill that has not come. The amount in picounits."""

    supplier: str
    month: str
    how: str
    """The method, in words."""
    amount_pico: int


class Compared(NamedTuple):
    """An accrual beside the bill that it stands or stood for. Amounts in picounits."""

    supplier: str
    month: str
    how: str
    accrued_pico: int
    billed_pico: int | None
    """Billed amount; None while there is no bill."""


class TrueUp(msgspec.Struct, frozen=True):
    """An accrual of a closed period beside the bill that came for it. Amounts in picounits."""

    supplier: str
    month: str
    accrued_pico: int
    billed_pico: int

    @property
    def text(self) -> str:
        """Return the true-up as a sentence."""
        off_pico = self.billed_pico - self.accrued_pico
        more = "more" if off_pico >= 0 else "less"
        return (
            f"True-up of {self.supplier} for {self.month}: {format_pico(self.accrued_pico)} was accrued, "
            f"{format_pico(self.billed_pico)} is billed, {format_pico(abs(off_pico))} {more}."
        )


class Bills(Protocol):
    """The bills in force."""

    @property
    def here(self) -> Collection[tuple[str, str]]:
        """The suppliers and months with a bill, as `key_of` gives them."""
        ...

    def billed(self, supplier: str, month: Period) -> Billed:
        """Return the bills of `supplier` for `month` and the earlier months that an accrual uses."""
        ...


def in_the_books(
    missing: Iterable[tuple[Expected, Period]],
    bills: Bills,
    sealed: Sequence[Charge],
    closed: Sequence[Span],
    ground: Ground,
    span: Span,
) -> list[Charge]:
    """The accruals of `span`: of open months as they stand now, of closed ones as sealed and reversed.

    `missing` are the suppliers without a bill; `sealed` are the accruals posted in the `closed` periods.
    """
    here = bills.here
    charges = list(with_reversals(sealed, lambda charge: key_of(charge) in here))
    done = {key_of(charge) for charge in sealed}
    for expected, month in missing:
        # the end of the month that is not closed, which may be all or nothing of it
        closed_ns = max((s.end_ns for s in closed if s.meet(*month.span).length_ns), default=0)
        open_part = month.span.meet(closed_ns, month.end_ns)
        if (expected.supplier.casefold(), month.name) not in done and open_part.length_ns:
            billed = bills.billed(expected.supplier, month)
            charges += accruals(expected, month, open_part, billed, ground)
    return [c for c in charges if span.meet(c.period_start_ns, c.period_end_ns).length_ns]


def accruals(
    expected: Expected, month: Period, open_part: Span, billed: Billed, ground: Ground
) -> Iterator[Charge]:
    """The charges that stand for the bill of `expected` for `month`, which has not come.

    `open_part` is the time of the month that is not closed. None where it is unknown.
    """
    if expected.method == NEVER or not expected.bills_for(month.name):
        return
    is_stated = expected.method not in (LAST, AVERAGE)
    recent = _before(billed, month)[-AVERAGED if expected.method == AVERAGE else -1 :]
    span = month.span
    lines = [charge for charge in billed.charges if not _lasts(charge, span)]
    here, sums = _costs(lines, span, ground), Costs()
    for recent_month in recent:
        for shape, pico in _costs(lines, recent_month.span, ground).items():
            sums[shape] = sums.get(shape, 0) + pico
    costs = {shape: round(Fraction(pico, len(recent))) for shape, pico in sums.items()}
    calls_pico = _estimated_pico(expected.supplier, lines, span, ground)
    if is_stated:
        here_pico = sum(_costs(billed.charges, span, ground).values()) + (calls_pico or 0)
        left_pico = _left(parse_pico(expected.method), here_pico)
        weights = {_key(shape): pico for shape, pico in costs.items() if pico > 0}
        left = {_plain(billed.issuer, ground.currency): left_pico}
        if weights:  # divided as the last bill was
            shapes = {_key(shape): shape for shape in costs}
            left = {shapes[key]: pico for key, pico in split(left_pico, weights).items()}
        method_text = f"{expected.method} {ground.currency} a month, as stated in books.suppliers"
    else:
        if calls_pico is not None:
            costs = {shape: p for shape, p in costs.items() if not _is_for_calls(shape, ground)}
        left = {shape: _left(pico, here.get(shape, 0)) for shape, pico in costs.items()}
        names = ", ".join(billed_month.name for billed_month in recent)
        is_last = len(recent) == 1
        method_text = (
            f"as in the bill for {names}" if is_last else f"average of the bills for {names}"
        )
    of_bill = _Bill(billed.issuer, expected.department, method_text, month, open_part)
    for shape, pico in left.items():
        charge = _accrual(shape, pico, of_bill)
        if charge.amount_pico:
            yield charge


def condensed(charges: Iterable[Charge]) -> list[Charge]:
    """Return `charges` with those of one shape within one month added up: no accrual tells them apart.

    Each sum stands where the first of its lines stood.
    """
    sums: dict[object, list[int]] = {}
    first: dict[object, Charge] = {}
    for charge in charges:
        month = month_of(charge.period_start_ns)
        period = Span(charge.period_start_ns, charge.period_end_ns)
        is_part = bool(period.length_ns) and period != month and month.meet(*period) == period
        columns = tuple(pair for pair in charge.other if pair[0] in _TOLD)
        key: object = charge.id
        if is_part:
            key = month, charge.effective_pico is None, columns, _looks(charge)
        if key not in first:
            first[key], sums[key] = charge, [0, 0]
        sums[key][0] += charge.amount_pico
        sums[key][1] += charge.effective_pico or 0
    return [
        msgspec.structs.replace(
            charge,
            amount_pico=sums[key][0],
            effective_pico=None if charge.effective_pico is None else sums[key][1],
        )
        for key, charge in first.items()
    ]


_looks = attrgetter(
    "issuer", "provider", "service_category", "service_name", "resource_id", "resource_type",
    "description", "natural_class", "charge_category", "charge_class", "currency", "unit",
    "region_id", "department", "file",
)  # fmt: skip
"""Columns that tell the lines of a supplier apart, beside amount, time and other columns."""


def can_accrue(expected: Expected, month: Period, billed: Billed) -> bool:
    """Return True if `expected` can be accrued for `month`, estimates of calls left aside."""
    if expected.method == NEVER or not expected.bills_for(month.name):
        return False
    return expected.method not in (LAST, AVERAGE) or bool(_before(billed, month))


def is_estimated(expected: Expected, month: Period, billed: Billed, ground: Ground) -> bool:
    """Return True if estimates of calls at its API stand for the bill of `expected`."""
    lines = [charge for charge in billed.charges if not _lasts(charge, month.span)]
    calls_pico = _estimated_pico(expected.supplier, lines, month.span, ground)
    return expected.method != NEVER and calls_pico is not None


def key_of(charge: Charge) -> tuple[str, str]:
    """The supplier and month of an accrual."""
    return charge.issuer.casefold(), charge.invoice.removeprefix(_INVOICE)


def accrued_of(charges: Iterable[Charge]) -> tuple[Accrued, ...]:
    """The accruals among `charges`, by supplier, month and method; none of those that were taken back."""
    sums: dict[tuple[str, str, str], int] = defaultdict(int)
    for charge in filter(is_accrual, charges):
        how = dict(charge.other)[_HOW]
        sums[charge.issuer, charge.invoice.removeprefix(_INVOICE), how] += charge.amount_pico
    return tuple(Accrued(*key, pico) for key, pico in sorted(sums.items()) if pico)


def accrued_pico(charges: Iterable[Charge]) -> int | None:
    """Return the change of accruals for bills by `charges`, in picounits; None if there is none."""
    amounts = [charge.amount_pico for charge in filter(is_accrual, charges)]
    return sum(amounts) if amounts else None


def accrual_notes(charges: Iterable[Charge]) -> Iterator[str]:
    """Yield a note for each missing bill: its supplier, and the amount that stands for it."""
    for accrual in accrued_of(charges):
        yield (
            f"{format_pico(accrual.amount_pico)} of {accrual.supplier} for {accrual.month} is accrued, "
            f"for no bill has come yet: {accrual.how}."
        )


def compared(charges: Iterable[Charge], month: Period) -> tuple[Compared, ...]:
    """Return the accruals for `month`, beside the cost of the bills among `charges` in it."""
    standing: dict[tuple[str, str], int] = defaultdict(int)
    booked: dict[tuple[str, str], int] = defaultdict(int)
    names: dict[tuple[str, str], tuple[str, str]] = {}
    for charge in filter(is_accrual, charges):
        standing[key_of(charge)] += charge.amount_pico
        names[key_of(charge)] = charge.issuer, dict(charge.other)[_HOW]
        if is_first(charge):
            booked[key_of(charge)] += charge.amount_pico
    return tuple(
        Compared(
            names[key][0],
            key[1],
            names[key][1],
            accrued_pico,
            None
            if standing[key]
            else sum(_part_pico(c, month.span) for c in _bills(charges, key[0])),
        )
        for key, accrued_pico in sorted(booked.items())
        if key[1] == month.name
    )


def _bills(charges: Iterable[Charge], issuer: str) -> Iterator[Charge]:
    """The lines of bills of `issuer` among `charges`."""
    for charge in charges:
        if charge.issuer.casefold() == issuer and not (
            is_accrual(charge) or is_provisional(charge)
        ):
            yield charge


def true_ups(sealed: Iterable[Charge], now: Iterable[Charge], span: Span) -> tuple[TrueUp, ...]:
    """The accruals of the closed `span` that bills took back, by what came beside what was `sealed`."""
    late = unknown(now, sealed)
    accrued: dict[tuple[str, str], int] = defaultdict(int)
    names: dict[tuple[str, str], tuple[str, Span]] = {}
    for charge in filter(is_accrual, late):
        accrued[key_of(charge)] -= _part_pico(charge, span)
        names[key_of(charge)] = charge.issuer, Span(charge.period_start_ns, charge.period_end_ns)
    differences: list[TrueUp] = []
    for key, accrued_pico in sorted(accrued.items()):
        issuer, month = names[key]
        inside = span.meet(*month)
        billed_pico = sum(_part_pico(charge, inside) for charge in _bills(late, key[0]))
        differences.append(TrueUp(issuer, key[1], accrued_pico, billed_pico))
    return tuple(differences)


def _part_pico(charge: Charge, span: Span) -> int:
    cost = on_basis(charge, Basis.ACCRUAL)
    return span.part_of(cost.amount_pico, cost.period_start_ns, cost.period_end_ns)


_INVOICE = "accrued "
_HOW = "x_AccrualMethod"
Costs = dict[Charge, int]
"""Picounits by the shape of the lines: lines that are divided alike are of one shape."""


def _before(billed: Billed, month: Period) -> list[Period]:
    """The months before `month` that the supplier billed for, at most a year back, in order."""
    year_ns = 12 * 31 * 86_400 * 10**9
    first_ns = month.start_ns - year_ns
    return sorted(m for m in set(billed.months) if first_ns < m.start_ns < month.start_ns)


def _costs(charges: Iterable[Charge], month: Span, ground: Ground) -> Costs:
    """Return the cost of recurring lines in `month`, by shape: only the columns that decide a division."""
    sums: Costs = defaultdict(int)
    for charge in charges:
        part_pico = _part_pico(charge, month)
        once = dict(charge.other).get("ChargeFrequency") == "One-Time" or charge.charge_class
        if not part_pico or once or charge.charge_category in _PASSING:
            continue
        if recoverable(charge, ground.recoverable_taxes) is not None:
            continue
        shape = msgspec.structs.replace(
            charge,
            id=ChargeId(""),
            invoice="",
            line="",
            file=ACCRUED,
            file_sha256="",
            row=0,
            charge_class=None,
            period_start_ns=0,
            period_end_ns=0,
            amount_pico=0,
            effective_pico=None,
            quantity=None,
            other=tuple(sorted(pair for pair in charge.other if pair[0] in _TELLING)),
            foreign=None,
            exact=None,
        )
        sums[shape] += part_pico
    return dict(sums)


def _left(expected_pico: int, here_pico: int) -> int:
    """Return the part of an expected amount that is still to come; never of the opposite sign."""
    left_pico = expected_pico - here_pico
    return left_pico if left_pico * expected_pico > 0 else 0


def _lasts(charge: Charge, month: Span) -> bool:
    """Return True if `charge`, of an earlier bill, covers all of `month` too: a year of support."""
    return charge.period_start_ns <= month.start_ns and charge.period_end_ns >= month.end_ns


def _is_for_calls(charge: Charge, ground: Ground) -> bool:
    return ground.is_api_bill(charge) and sale_of(charge, ground.billing).is_for_calls


def _estimated_pico(
    supplier: str, charges: Iterable[Charge], month: Span, ground: Ground
) -> int | None:
    """Return the estimated cost of the calls of `month` at the supplier's API; None without an estimate."""
    sellers = set(ground.billing.seller(supplier, supplier, "").providers)
    for charge in charges:
        if _is_for_calls(charge, ground):
            sellers |= sale_of(charge, ground.billing).providers
    mine = [
        charge.amount_pico
        for charge in ground.estimated
        if is_provisional(charge)
        and month.holds(charge.period_start_ns)
        and not sellers.isdisjoint(ground.billing.forms(charge.provider))
    ]
    return sum(mine) if any(mine) else None


def _plain(issuer: str, currency: str) -> Charge:
    """The shape of a bill without any known columns."""
    return Charge(
        id=ChargeId(""),
        issuer=issuer,
        invoice="",
        line="",
        file=ACCRUED,
        file_sha256="",
        row=0,
        provider=issuer,
        service_category="Other",
        service_name="",
        resource_id=None,
        resource_type=None,
        description="",
        natural_class=NaturalClass.OTHER,
        charge_category="Usage",
        charge_class=None,
        period_start_ns=0,
        period_end_ns=0,
        amount_pico=0,
        effective_pico=None,
        currency=currency,
        quantity=None,
        unit=None,
    )


def _key(shape: Charge) -> str:
    return hashlib.sha256(msgspec.json.encode(shape)).hexdigest()[:16]


class _Bill(NamedTuple):
    """A bill that is expected, or a part of it."""

    issuer: str
    department: str
    """Department that bears the cost where its lines name none; empty for none."""
    how: str
    month: Period
    part: Span
    """The time of the month that is accrued."""


def _accrual(shape: Charge, amount_pico: int, bill: _Bill) -> Charge:
    """The charge of one shape of a bill, of which the month costs `amount_pico`.

    Its id comes of the shape as it is in the bills before, so that it stays when a department is named.
    """
    issuer, department, how, month, part = bill
    invoice, line = f"{_INVOICE}{month.name}", _key(shape)
    if part != month.span:
        amount_pico = part.part_of(amount_pico, *month.span)
        line = f"{line}/{part.start_ns}"
    about = f"{shape.description}; " if shape.description else ""
    return msgspec.structs.replace(
        shape,
        id=charge_id(issuer, invoice, line),
        issuer=issuer,
        invoice=invoice,
        line=line,
        description=f"{about}accrued, no bill yet: {how}",
        period_start_ns=part.start_ns,
        period_end_ns=part.end_ns,
        amount_pico=amount_pico,
        department=shape.department or department or None,
        other=(*shape.other, (_HOW, how)),
    )
