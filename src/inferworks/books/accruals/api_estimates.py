"""Provisional charges for external APIs, until their bills arrive.

Problem. A provider's bill comes days or weeks after its calls. A statement without the cost overstates
the margin; one with an estimate beside the bill counts it twice; and an estimate that was reported for a
closed period must not vanish when the bill comes.

Decision. The legs of calls at other people's APIs, times the list price at their moment, become
*provisional* charges: one for each provider, model and day, labelled, with the hash of the price book. A
bill covers the models of its lines (`billed_usage.py`), on the days of the lines: all models where a line
names none. A line that is not for calls (seats, support, tax, a credit) covers none. For covered calls an
open period drops the estimate; a closed one keeps it, as it was sealed, and gets an exact reversal beside
the bill lines, so that the bill alone counts (theorem 12). Every step is a pure function of the records:
nothing is flagged, so nothing can be left half done.

A cost that a provider itself reports of an attempt is used, in a charge of its own beside those from list
prices; the list price of the same attempts is its FOCUS ListCost.

Use without a list price becomes a charge of zero with a remark: a statement can then show that a cost is
missing. Amounts are exact fractions, rounded once for each charge, half to even. List prices are in US
dollars; books in another currency convert each charge by the rate of its day, as they do a bill.

Rejected. An estimate per call (as many charges as calls); scaling the estimate to the bill (the bill's
own lines say better what it was for).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from fractions import Fraction
from typing import NamedTuple, Protocol

import msgspec

from inferworks.books.accruals.reversals import with_reversals
from inferworks.books.allocation.billed_usage import Sale, Sold, sale_of
from inferworks.books.calendar.months import DAY_NS, date_of, day_of, month_name, month_of, months
from inferworks.books.calendar.span import Span, merged
from inferworks.books.charge import (
    LIST_PRICES,
    REVERSAL,
    TOLD_COSTS,
    Charge,
    NaturalClass,
    charge_id,
    is_provisional,
    successor_id,
)
from inferworks.books.currency import NO_RATES, RateRow, Rates, converted, converted_pico
from inferworks.books.token_buckets import buckets, counted
from inferworks.catalog.billing import Billing, shipped_billing
from inferworks.catalog.prices import ListPrice
from inferworks.ids import ModelId
from inferworks.meter.usage import NO_ITEMS, Leg, Usage
from inferworks.money import format_pico, ten_to
from inferworks.units import Unit

TOKENS, ITEMS = "Tokens", "Items"
"""Units of the quantity of a provisional charge."""
API_CATEGORY = "AI and Machine Learning"
"""The FOCUS ServiceCategory of API calls."""
LIST_CURRENCY = "USD"
NO_RATE = f"listed in {LIST_CURRENCY}, without an exchange rate for the day"
"""Reason given with a charge of zero whose list price cannot be converted."""

IsApiBill = Callable[[Charge], bool]
"""Predicate of a bill line: it is for API calls, so its pool is divided by a provider's tokens."""


class Prices(Protocol):
    """Source of list prices; `catalog.pins.ListPrices` is one."""

    def list_price(self, provider: str, model: str, at_ns: int) -> ListPrice | None:
        """The price of `model` at `provider` at `at_ns`; None when it is not known."""
        ...


class Accuracy(msgspec.Struct, frozen=True):
    """Accuracy of the estimate of a provider's month against its bill. Amounts in picounits."""

    provider: str
    month: str
    estimated_pico: int
    """Estimate for the billed days and models; 0 before a bill."""
    billed_pico: int | None
    """Billed amount; None before a bill."""
    waiting_pico: int
    """Estimate that is not billed yet."""
    unpriced_tokens: int
    """Number of tokens without a known list price."""

    @property
    def difference_pico(self) -> int | None:
        """Estimate less bill; None without a bill."""
        return None if self.billed_pico is None else self.estimated_pico - self.billed_pico

    @property
    def percent(self) -> str | None:
        """The difference in percent of the bill, rounded half to even at four decimals; None of none."""
        if not self.billed_pico or self.difference_pico is None:
            return None
        share = Fraction(self.difference_pico * 100, self.billed_pico)
        units = round(abs(share) * ten_to(4))
        whole, fraction = divmod(units, ten_to(4))
        return f"{'-' if share < 0 and units else ''}{whole}.{fraction:04d}"


class _Key(NamedTuple):
    provider: str
    model: ModelId
    day_ns: int
    reported_currency: str
    """The currency in which the provider reported the cost of each; empty where it did not."""


class _Sum:
    """Sums of the legs of one key so far."""

    def __init__(self) -> None:
        self.pico = Fraction(0)
        self.told_pico = 0
        self.priced_tokens = self.unpriced_tokens = self.unpriced_items = 0
        self.is_listed = False
        self.book_sha256 = ""

    def add(self, leg: Leg, price: ListPrice | None) -> None:
        """Count one leg. An item without a price is missing from it only where there are no tokens."""
        self.told_pico += leg.told_cost_pico or 0
        for unit, quantity in buckets(leg.tokens):
            if self._cost(price, unit, leg, quantity):
                self.priced_tokens += quantity
            else:
                self.unpriced_tokens += quantity
        for unit, quantity in counted(leg.items):
            if not self._cost(price, unit, leg, quantity) and not _has_tokens(leg):
                self.unpriced_items += quantity
        if price is not None:
            self._cost(price, Unit.REQUESTS, leg, 1)
            self.book_sha256 = price.book_sha256

    def _cost(self, price: ListPrice | None, unit: Unit, leg: Leg, quantity: int) -> bool:
        """Add the cost of `quantity` of `unit`; return True if it has a price."""
        rate = None if price is None else price.pico_per_unit(unit, leg.tokens.input)
        self.pico += 0 if rate is None else rate * quantity
        return rate is not None


def _has_tokens(leg: Leg) -> bool:
    return bool(leg.tokens.input or leg.tokens.output)


class _Money(NamedTuple):
    """The currency of the books, and the exchange rates of others."""

    currency: str
    rates: Rates

    def takes(self, currency: str, day_ns: int) -> bool:
        """Return True if an amount in `currency` on a day can be converted to that of the books."""
        return currency == self.currency or self._row(currency, day_ns) is not None

    def pico(self, amount_pico: int, currency: str, day_ns: int) -> int:
        """An amount that the books take, in their currency."""
        row = self._row(currency, day_ns)
        return amount_pico if row is None else converted_pico(amount_pico, row)

    def charge(self, charge: Charge) -> Charge:
        """A charge that the books take, in their currency."""
        return converted(charge, self.currency, self.rates)

    def _row(self, currency: str, day_ns: int) -> RateRow | None:
        if currency == self.currency:
            return None
        return self.rates.on(date_of(day_ns), currency, self.currency)


def estimates(
    usages: Iterable[Usage], prices: Prices, span: Span, currency: str, rates: Rates = NO_RATES
) -> tuple[Charge, ...]:
    """Provisional charges for every leg at somebody else's API that began in `span`, bill or no bill.

    List prices are in US dollars: where `rates` have none for the day, what has no reported cost is
    without a price. The order of `usages` leaves no trace. BooksError when counts contradict themselves.
    """
    sums: dict[_Key, _Sum] = defaultdict(_Sum)
    money = _Money(currency, rates)
    for usage in usages:
        for leg in usage.legs:
            is_used = _has_tokens(leg) or leg.items != NO_ITEMS or leg.told_cost_pico is not None
            if leg.replica is None and is_used and span.holds(leg.started_ns):
                day_ns = day_of(leg.started_ns)
                price = prices.list_price(leg.provider, usage.model, leg.started_ns)
                is_reported = leg.told_cost_pico is not None and money.takes(
                    leg.told_currency, day_ns
                )
                reported_currency = leg.told_currency if is_reported else ""
                key = _Key(leg.provider, usage.model, day_ns, reported_currency)
                sums[key].is_listed |= price is not None
                sums[key].add(leg, price if money.takes(LIST_CURRENCY, day_ns) else None)
    return tuple(c for key in sorted(sums) for c in _charges(key, sums[key], span, money))


def is_unpriced(charge: Charge) -> bool:
    """Return True if `charge` stands for tokens or items of unknown price."""
    return charge.file == LIST_PRICES and not charge.file_sha256


def true_up(
    estimated: Iterable[Charge],
    bills: Iterable[Charge],
    is_api_bill: IsApiBill,
    sealed: Sequence[Charge] = (),
    billing: Billing | None = None,
) -> tuple[Charge, ...]:
    """The provisional charges that belong in the books beside `bills`.

    Of what is `estimated` now, outside closed periods: what no bill speaks for yet. Of what was `sealed`
    with closed periods, reversals too: all of it, and a reversal of each that a bill has come for since.
    """
    estimated = tuple(estimated)
    kept = [charge for charge in sealed if is_provisional(charge)]
    billed = _Billed([*estimated, *kept], bills, is_api_bill, billing or shipped_billing())
    fresh = (charge for charge in estimated if not billed.covers(charge))
    done = with_reversals(kept, billed.covers)
    return tuple(sorted((*fresh, *done), key=lambda charge: charge.id))


def accuracy(
    estimated: Iterable[Charge],
    bills: Iterable[Charge],
    is_api_bill: IsApiBill,
    span: Span,
    billing: Billing | None = None,
) -> tuple[Accuracy, ...]:
    """Return the accuracy of the estimates of `span`, by provider and month.

    `estimated` are the estimates as they were or would have been booked, without reversals; a bill
    counts with the part that falls into the month and the span.
    """
    estimated = tuple(estimated)
    billed = _Billed(estimated, bills, is_api_bill, billing or shipped_billing())
    groups: dict[tuple[str, Span], list[Charge]] = defaultdict(list)
    for charge in estimated:
        groups[charge.provider, month_of(charge.period_start_ns)].append(charge)
    rows: list[Accuracy] = []
    for (provider, month), charges in sorted(groups.items()):
        covered_pico = sum(c.amount_pico for c in charges if billed.covers(c))
        unpriced = (c for c in charges if is_unpriced(c) and c.unit == TOKENS)
        rows.append(
            Accuracy(
                provider=provider,
                month=month_name(month),
                estimated_pico=covered_pico,
                billed_pico=billed.pico(provider, month.meet(*span)),
                waiting_pico=sum(c.amount_pico for c in charges) - covered_pico,
                unpriced_tokens=sum(int(c.quantity or 0) for c in unpriced),
            )
        )
    return tuple(rows)


def _charges(key: _Key, total: _Sum, span: Span, money: _Money) -> Iterable[Charge]:
    """Yield the charges of one provider, model and day, of each kind that has an amount or a quantity."""
    day = Span(key.day_ns, key.day_ns + DAY_NS).meet(*span)
    invoice = f"provisional {month_name(month_of(day.start_ns))}"
    line = f"{key.model}/{day.start_ns}/{day.end_ns}"
    unpriced = Charge(
        id=charge_id(key.provider, invoice, line),
        issuer=key.provider,
        invoice=invoice,
        line=line,
        file=LIST_PRICES,
        file_sha256="",
        row=0,
        provider=key.provider,
        service_category=API_CATEGORY,
        service_name="API calls (estimate)",
        resource_id=key.model,
        resource_type="Model",
        description="no list price is known",
        natural_class=NaturalClass.PURCHASED_COMPUTE,
        charge_category="Usage",
        charge_class=None,
        period_start_ns=day.start_ns,
        period_end_ns=day.end_ns,
        amount_pico=0,
        effective_pico=None,
        currency=money.currency,
        quantity=None,
        unit=TOKENS,
    )

    def charge(kind: str, quantity: int) -> Charge:
        """Return the charge of one kind, which ends the name of its line, without an amount."""
        name = f"{line}/{kind}"
        id_ = charge_id(key.provider, invoice, name)
        return msgspec.structs.replace(unpriced, id=id_, line=name, quantity=str(quantity))

    amount_pico, book_sha256 = round(total.pico), total.book_sha256
    if key.reported_currency:
        listed_pico = money.pico(amount_pico, LIST_CURRENCY, key.day_ns)
        reported = msgspec.structs.replace(
            charge("told", total.priced_tokens + total.unpriced_tokens),
            file=TOLD_COSTS,
            file_sha256=book_sha256,
            description="as the provider told, call by call",
            amount_pico=total.told_pico,
            currency=key.reported_currency,
            other=(("ListCost", format_pico(listed_pico)),) if book_sha256 else (),
        )
        yield money.charge(reported)
        return
    if total.priced_tokens or total.pico:
        priced = msgspec.structs.replace(
            charge("priced", total.priced_tokens),
            file_sha256=book_sha256,
            description="estimated from list prices",
            amount_pico=amount_pico,
            currency=LIST_CURRENCY,
        )
        yield money.charge(priced)
    if not money.takes(LIST_CURRENCY, key.day_ns) and total.is_listed:
        unpriced = msgspec.structs.replace(unpriced, description=NO_RATE)
    if total.unpriced_tokens:
        yield charge("unpriced", total.unpriced_tokens)
    if total.unpriced_items:
        items = charge("unpriced-items", total.unpriced_items)
        yield msgspec.structs.replace(items, unit=ITEMS)


class _Billed:
    """Spans, providers and models that bills cover."""

    def __init__(
        self,
        estimated: Iterable[Charge],
        bills: Iterable[Charge],
        is_api_bill: IsApiBill,
        billing: Billing,
    ) -> None:
        sold = {_sold(charge) for charge in estimated}
        spans: dict[Sold, set[Span]] = defaultdict(set)
        covered: dict[Sale, frozenset[Sold]] = {}
        self._lines = _lines_for_calls(bills, is_api_bill, billing)
        self._billing = billing
        for bill, sale in self._lines:
            if sale not in covered:
                levels = sale.levels(sold, billing)
                covered[sale] = levels[0].sold if levels else frozenset()
            for pair in covered[sale]:
                spans[pair].add(Span(bill.period_start_ns, bill.period_end_ns))
        self._spans = {pair: merged(own) for pair, own in spans.items()}

    def covers(self, charge: Charge) -> bool:
        """Return True if a bill covers the time of an estimate, or a part of it."""
        spans = self._spans.get(_sold(charge), ())
        return any(span.meet(*_period(charge)).length_ns for span in spans)

    def pico(self, provider: str, inside: Span) -> int | None:
        """Return the picounits that `provider` billed for calls within a span; None before a bill."""
        names = self._billing.forms(provider)
        parts = [
            inside.part_of(bill.amount_pico, *_period(bill))
            for bill, sale in self._lines
            if not sale.providers.isdisjoint(names) and inside.meet(*_period(bill)).length_ns
        ]
        return sum(parts) if parts else None


def _lines_for_calls(
    bills: Iterable[Charge], is_api_bill: IsApiBill, billing: Billing
) -> list[tuple[Charge, Sale]]:
    """The lines that stand for calls.

    Beside lines of the same seller and month that say they do, a line that says nothing stands for none;
    nor does one that was taken back after its time was closed, whose reversal is here too.
    """
    bills = [bill for bill in bills if not is_provisional(bill) and is_api_bill(bill)]
    known = {bill.id for bill in bills}
    lines = [
        (bill, sale)
        for bill in bills
        if successor_id(bill, REVERSAL) not in known
        for sale in [sale_of(bill, billing)]
        if sale.is_for_calls
    ]
    named = {
        (name, month)
        for bill, sale in lines
        if sale.says_so
        for month in months(Span(*_period(bill)))
        for name in sale.providers
    }
    return [
        (bill, sale)
        for bill, sale in lines
        if sale.says_so
        or named.isdisjoint((name, month_of(bill.period_start_ns)) for name in sale.providers)
    ]


def _sold(charge: Charge) -> Sold:
    return charge.provider, charge.resource_id or ""


def _period(charge: Charge) -> tuple[int, int]:
    return charge.period_start_ns, charge.period_end_ns
