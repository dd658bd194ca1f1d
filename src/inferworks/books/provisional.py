"""What other people's APIs will have cost, until their bills arrive.

Problem. A provider's bill comes days or weeks after its calls. A statement without the cost overstates
the margin; one with an estimate beside the bill counts it twice; and an estimate that was reported for a
closed period must not vanish when the bill comes.

Decision. The legs of calls at other people's APIs, times the list price at their moment, become
*provisional* charges: one for each provider, model and day, labelled, with the hash of the price book.
A bill speaks for its provider's month up to the end of its latest line. For what it speaks for, an open
period drops the estimate; a closed one keeps it, as it was sealed, and gets an exact reversal beside the
bill lines, so that the bill alone counts (theorem 12). Every step is a pure function of what is
recorded: nothing is flagged, nothing can be forgotten half way.

Where a provider itself says what an attempt cost, that is taken, in a charge of its own beside those from
list prices; what the list says of the same attempts stands beside it as its FOCUS ListCost.

What has no list price becomes a charge of nothing that says so: a statement can then tell its reader
that a cost is missing. Amounts are exact fractions, rounded once for each charge, half to even.

Rejected. An estimate per call (as many charges as calls); scaling the estimate to the bill (the bill's
own lines say better what it was for).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from fractions import Fraction
from typing import NamedTuple, Protocol

import msgspec

from inferworks.books.charge import Charge, NaturalClass, charge_id
from inferworks.books.drivers import short_names
from inferworks.books.months import DAY_NS, day_of, month_name, month_of
from inferworks.books.rate import buckets, counted
from inferworks.books.span import Span
from inferworks.catalog.prices import ListPrice
from inferworks.ids import ModelId
from inferworks.meter.usage import NO_ITEMS, Leg, Usage
from inferworks.money import format_pico, ten_to
from inferworks.units import Unit

LIST_PRICES = "(list prices)"
"""The file that a provisional charge names in place of a bill; its hash is the price book's."""
TOLD_COSTS = "(told by the provider)"
"""The same, where the provider told the cost of each call."""
TOKENS, ITEMS = "Tokens", "Items"
"""What the quantity of a provisional charge counts."""
REVERSED = "reversed"
API_CATEGORY = "AI and Machine Learning"
"""The FOCUS ServiceCategory of API calls."""
LIST_CURRENCY = "USD"

IsApiBill = Callable[[Charge], bool]
"""Whether a bill line is for API calls: whether its pool is divided by a provider's tokens."""


class Prices(Protocol):
    """Where list prices come from; `catalog.pins.ListPrices` is one."""

    def list_price(self, provider: str, model: str, at_ns: int) -> ListPrice | None:
        """The price of `model` at `provider` at `at_ns`; None when it is not known."""
        ...


class Accuracy(msgspec.Struct, frozen=True):
    """How the estimate of a provider's month compares with its bill. Amounts in picounits."""

    provider: str
    month: str
    estimated_pico: int
    """Of the part that the bill speaks for; 0 when there is no bill yet."""
    billed_pico: int | None
    """None when there is no bill yet."""
    waiting_pico: int
    """Estimated, and not billed yet."""
    unpriced_tokens: int
    """Tokens that no list price is known for."""

    @property
    def difference_pico(self) -> int | None:
        """Estimate less bill; None without a bill."""
        return None if self.billed_pico is None else self.estimated_pico - self.billed_pico

    @property
    def percent(self) -> str | None:
        """The difference in percent of the bill, rounded half to even at four decimals; None of none."""
        if not self.billed_pico or self.difference_pico is None:
            return None
        return _decimal(Fraction(self.difference_pico * 100, self.billed_pico), 4)


class _Key(NamedTuple):
    provider: str
    model: ModelId
    day_ns: int
    told: bool
    """Whether the provider told the cost of each."""


class _Sum:
    """What the legs of one key come to so far."""

    def __init__(self) -> None:
        self.pico = Fraction(0)
        self.told_pico = 0
        self.priced_tokens = self.unpriced_tokens = self.unpriced_items = 0
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
        """Add what `quantity` of `unit` costs; whether it has a price."""
        rate = None if price is None else price.pico_per_unit(unit, leg.tokens.input)
        self.pico += 0 if rate is None else rate * quantity
        return rate is not None


def _has_tokens(leg: Leg) -> bool:
    return bool(leg.tokens.input or leg.tokens.output)


def estimates(
    usages: Iterable[Usage], prices: Prices, span: Span, currency: str
) -> tuple[Charge, ...]:
    """Provisional charges for every leg at somebody else's API that began in `span`, bill or no bill.

    List prices are in US dollars; in books of another currency what has no told cost in that currency is
    without a price. The order of `usages` leaves no trace. BooksError when counts contradict themselves.
    """
    sums: dict[_Key, _Sum] = defaultdict(_Sum)
    for usage in usages:
        for leg in usage.legs:
            if _is_bought(leg) and span.holds(leg.started_ns):
                price = prices.list_price(leg.provider, usage.model, leg.started_ns)
                told = leg.told_cost_pico is not None and leg.told_currency == currency
                key = _Key(leg.provider, usage.model, day_of(leg.started_ns), told)
                sums[key].add(leg, price if currency == LIST_CURRENCY else None)
    return tuple(c for key in sorted(sums) for c in _charges(key, sums[key], span, currency))


def _is_bought(leg: Leg) -> bool:
    """Whether somebody else will bill `leg`: it used something, or has a cost that was told."""
    used = _has_tokens(leg) or leg.items != NO_ITEMS or leg.told_cost_pico is not None
    return leg.replica is None and used


def is_provisional(charge: Charge) -> bool:
    """Whether `charge` is an estimate, or the reversal of one, and no line of a bill."""
    return charge.file in (LIST_PRICES, TOLD_COSTS)


def is_unpriced(charge: Charge) -> bool:
    """Whether `charge` stands for tokens or items that no price is known for."""
    return charge.file == LIST_PRICES and not charge.file_sha256


def true_up(
    estimated: Iterable[Charge],
    bills: Sequence[Charge],
    is_api_bill: IsApiBill,
    sealed: Sequence[Charge] = (),
) -> tuple[Charge, ...]:
    """The provisional charges that belong in the books beside `bills`.

    Of what is `estimated` now, outside closed periods: what no bill speaks for yet. Of what was `sealed`
    with closed periods: all of it, and a reversal of each that a bill has come for since.
    """
    through = _billed_through(bills, is_api_bill)
    fresh = (charge for charge in estimated if not _billed(charge, through))
    kept = [c for c in sealed if is_provisional(c) and not _is_reversal(c)]
    gone = (reversal(charge) for charge in kept if _billed(charge, through))
    return tuple(sorted((*fresh, *kept, *gone), key=lambda charge: charge.id))


def reversal(charge: Charge) -> Charge:
    """The exact opposite of an estimate, under a name of its own."""
    line = f"{charge.line}/{REVERSED}"
    return msgspec.structs.replace(
        charge,
        id=charge_id(charge.issuer, charge.invoice, line),
        line=line,
        description=f"{charge.description}; reversed, for the bill has arrived",
        amount_pico=-charge.amount_pico,
        quantity=str(-int(charge.quantity or 0)),
    )


def accuracy(
    estimated: Iterable[Charge], bills: Sequence[Charge], is_api_bill: IsApiBill, span: Span
) -> tuple[Accuracy, ...]:
    """How good the estimates of `span` were, by provider and month.

    `estimated` are the estimates as they were or would have been booked, without reversals; a bill
    counts with the part that falls into the month and the span.
    """
    through = _billed_through(bills, is_api_bill)
    groups: dict[tuple[str, Span], list[Charge]] = defaultdict(list)
    for charge in estimated:
        groups[charge.provider, month_of(charge.period_start_ns)].append(charge)
    return tuple(
        _accuracy(
            provider, month, charges, _bill_of(provider, month, bills, is_api_bill, span), through
        )
        for (provider, month), charges in sorted(groups.items())
    )


def _charges(key: _Key, total: _Sum, span: Span, currency: str) -> Iterable[Charge]:
    day = Span(key.day_ns, key.day_ns + DAY_NS).meet(*span)
    amount_pico, tokens = round(total.pico), total.priced_tokens
    if key.told:
        listed = (("ListCost", format_pico(amount_pico)),) if total.book_sha256 else ()
        tokens += total.unpriced_tokens
        yield _charge(key, day, currency, _TOLD, total.told_pico, tokens, total.book_sha256, listed)
        return
    if total.priced_tokens or total.pico:
        yield _charge(key, day, currency, _LISTED, amount_pico, tokens, total.book_sha256)
    if total.unpriced_tokens:
        yield _charge(key, day, currency, _UNPRICED, 0, total.unpriced_tokens)
    if total.unpriced_items:
        yield _charge(key, day, currency, _UNPRICED_ITEMS, 0, total.unpriced_items)


class _Kind(NamedTuple):
    """A kind of provisional charge: the end of its line's name, its file, its text, what it counts."""

    name: str
    file: str
    description: str
    unit: str = TOKENS


_TOLD = _Kind("told", TOLD_COSTS, "as the provider told, call by call")
_LISTED = _Kind("priced", LIST_PRICES, "estimated from list prices")
_UNPRICED = _Kind("unpriced", LIST_PRICES, "no list price is known")
_UNPRICED_ITEMS = _Kind("unpriced-items", LIST_PRICES, "no list price is known", ITEMS)


def _charge(
    key: _Key,
    day: Span,
    currency: str,
    kind: _Kind,
    amount_pico: int,
    quantity: int,
    book_sha256: str = "",
    other: tuple[tuple[str, str], ...] = (),
) -> Charge:
    invoice = f"provisional {month_name(month_of(day.start_ns))}"
    line = f"{key.model}/{day.start_ns}/{day.end_ns}/{kind.name}"
    return Charge(
        id=charge_id(key.provider, invoice, line),
        issuer=key.provider,
        invoice=invoice,
        line=line,
        file=kind.file,
        file_sha256=book_sha256,
        row=0,
        provider=key.provider,
        service_category=API_CATEGORY,
        service_name="API calls (estimate)",
        resource_id=key.model,
        resource_type="Model",
        description=kind.description,
        natural_class=NaturalClass.PURCHASED_COMPUTE,
        charge_category="Usage",
        charge_class=None,
        period_start_ns=day.start_ns,
        period_end_ns=day.end_ns,
        amount_pico=amount_pico,
        effective_pico=None,
        currency=currency,
        quantity=str(quantity),
        unit=kind.unit,
        other=other,
    )


def _billed_through(
    bills: Iterable[Charge], is_api_bill: IsApiBill
) -> Mapping[tuple[str, Span], int]:
    """Up to when bills speak for a provider's month, by each of the provider's names."""
    through: dict[tuple[str, Span], int] = defaultdict(int)
    for bill in bills:
        if is_provisional(bill) or not is_api_bill(bill):
            continue
        last_ns = bill.period_end_ns
        month = month_of(bill.period_start_ns)
        while month.start_ns < last_ns:
            for name in _names(bill):
                end_ns = min(last_ns, month.end_ns)
                through[name, month] = max(through[name, month], end_ns)
            month = month_of(month.end_ns)
    return through


def _billed(charge: Charge, through: Mapping[tuple[str, Span], int]) -> bool:
    key = (charge.provider.casefold(), month_of(charge.period_start_ns))
    return charge.period_start_ns < through.get(key, 0)


def _bill_of(
    provider: str, month: Span, bills: Iterable[Charge], is_api_bill: IsApiBill, span: Span
) -> int | None:
    """What `provider` billed for the part of `month` in `span`; None when it did not bill yet."""
    inside = month.meet(*span)
    parts = [
        inside.part_of(bill.amount_pico, bill.period_start_ns, bill.period_end_ns)
        for bill in bills
        if not is_provisional(bill)
        and is_api_bill(bill)
        and provider.casefold() in _names(bill)
        and inside.meet(bill.period_start_ns, bill.period_end_ns).length_ns
    ]
    return sum(parts) if parts else None


def _accuracy(
    provider: str,
    month: Span,
    estimated: Sequence[Charge],
    billed_pico: int | None,
    through: Mapping[tuple[str, Span], int],
) -> Accuracy:
    replaced = sum(c.amount_pico for c in estimated if _billed(c, through))
    return Accuracy(
        provider=provider,
        month=month_name(month),
        estimated_pico=replaced,
        billed_pico=billed_pico,
        waiting_pico=sum(c.amount_pico for c in estimated) - replaced,
        unpriced_tokens=sum(
            int(c.quantity or 0) for c in estimated if is_unpriced(c) and c.unit == TOKENS
        ),
    )


def _names(bill: Charge) -> frozenset[str]:
    """What the drivers of calls may call the provider of `bill`."""
    given = (bill.provider, bill.issuer, bill.service_name)
    return frozenset(short for name in given for short in short_names(name))


def _is_reversal(charge: Charge) -> bool:
    return charge.line.endswith(f"/{REVERSED}")


def _decimal(value: Fraction, places: int) -> str:
    """`value` as decimal text, rounded half to even at `places` decimals."""
    units = round(abs(value) * ten_to(places))
    whole, fraction = divmod(units, ten_to(places))
    return f"{'-' if value < 0 and units else ''}{whole}.{fraction:0{places}d}"
