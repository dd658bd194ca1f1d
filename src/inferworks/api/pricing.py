"""Cost of one call to its caller, as far as one call can be priced.

A customer with a price plan is told its own charge. A customer without one is told the provider's list
price of the call, or the cost that the provider itself reported. No customer is told both: the difference
is the operator's margin.

The amounts are those of the books, to the picounit: a plan's price per unit never rounds (theorem 1), so
the charges of a month's calls add up to its usage in `books/revenue/rating.py`. What a plan has no price
for earns nothing there, and costs nothing here. Prices that a plan sets by the sum of a period (tiers,
packages, included units) give no amount for one call, nor does a plan without any price for the model, nor
usage that no list prices. Then no amount is told, since an estimate would look like a price. A limit on
money must count such calls all the same: it counts each at the dearest that the plan has (`at_dearest`).
Subscriptions, minimums and discounts are of the period and not in it.

A tariff is made once for a customer or a seller and a model, and kept for a minute at most, since list
prices may change by the hour: what is left to do for a call are two multiplications of integers.

Rejected. Rating each call as the books do (ten buckets and an exact fraction each: more time than the
gateway takes for the whole call).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from enum import StrEnum
from fractions import Fraction
from math import lcm
from typing import Final, NamedTuple, Protocol

import msgspec

from inferworks.accounts.directory import directory_of
from inferworks.accounts.plan import PricePlan, plan_at
from inferworks.accounts.stores.base import PriceReads
from inferworks.books.revenue.rating import EARNING
from inferworks.books.token_buckets import buckets, counted
from inferworks.catalog.prices import ListPrice
from inferworks.catalog.units import BILLABLE, DIRECTIONS, INPUT, OUTPUT, PRICED_BY
from inferworks.errors import BooksError
from inferworks.ids import CustomerId, ModelId
from inferworks.meter.reported_usage import ReportedUsage
from inferworks.meter.usage import ITEM_UNITS, NO_ITEMS, NO_TOKENS, Items, Opened, Tokens, Usage
from inferworks.units import NS_PER_SECOND, Unit

_KEPT_NS: Final = 60 * NS_PER_SECOND
"""Longest time that a tariff is kept, in nanoseconds: list prices may change by the hour."""
_LIST_CURRENCY: Final = "USD"
_TEXT: Final = tuple(unit for unit in DIRECTIONS if not BILLABLE[unit].is_modality)
"""Units of a call for text, in the order of the fields of `_Text`."""


class Basis(StrEnum):
    """Source of a price."""

    PLAN = "plan"
    """Price plan of the customer."""
    LIST = "list"
    """List price of the provider."""
    PROVIDER = "provider"
    """Cost that the provider reported for this call."""
    INTERNAL = "internal"
    """No charge, because of the call's purpose."""


class Cost(NamedTuple):
    """Cost of a call, in picounits of `currency`, and by unit where that is known."""

    pico: int
    currency: str
    basis: Basis
    parts: tuple[tuple[Unit, int], ...] = ()


class Rates(msgspec.Struct, frozen=True):
    """Prices of requests with more than `above` input tokens: per unit, times the tariff's denominator."""

    above: int
    rates: Mapping[Unit, int]
    text: _Text | None
    """The same for text, which is all that most calls use; None when not all of it has a price."""
    dearest: Mapping[str, int]
    """The dearest token of each side."""
    has_items: bool
    """True if anything beside tokens has a price here."""


class Most(NamedTuple):
    """Most that a call can cost, in picounits of `currency`."""

    currency: str
    fixed_pico: int
    """Cost of all but the output."""
    output_pico: int
    """Cost of a token of output."""


class _Text(NamedTuple):
    """Rates of what a call for text can use."""

    plain: int
    cache_read: int
    cache_write: int
    cache_write_1h: int
    output: int
    reasoning: int
    request: int

    def scaled(self, tokens: Tokens) -> int | None:
        """Return the scaled cost of `tokens`; None for more than text, or for contradictory counts."""
        if tokens.input_audio or tokens.output_audio or tokens.input_image or tokens.output_image:
            return None
        output, request = tokens.output * self.output, self.request
        read, written, thought = tokens.cache_read, tokens.cache_write, tokens.reasoning
        if not (read or written or thought):
            return tokens.input * self.plain + output + request
        plain, longer = tokens.input - read - written, tokens.cache_write_1h
        if min(plain, read, written - longer, longer, thought, tokens.output - thought) < 0:
            return None
        cached = read * self.cache_read + (written - longer) * self.cache_write
        return (
            plain * self.plain
            + cached
            + longer * self.cache_write_1h
            + (output + thought * (self.reasoning - self.output))
            + request
        )


class CallPricing(msgspec.Struct, frozen=True):
    """Prices per unit of one model."""

    currency: str
    basis: Basis
    steps: tuple[Rates, ...]
    """Prices in rising order of `above`; the first is for all requests."""
    denominator: int = 1
    """Denominator of every rate; list prices need not be whole picounits."""

    def total_pico(self, tokens: Tokens, items: Items = NO_ITEMS) -> int | None:
        """Return the cost of a call in picounits; None when something that it used has no price."""
        step = self.steps[0] if len(self.steps) == 1 else self._step(tokens.input)
        if items is NO_ITEMS and step.text is not None:
            scaled = step.text.scaled(tokens)
            if scaled is not None:
                return scaled if self.denominator == 1 else self._rounded(scaled)
        return self._total(step, tokens, items)

    def most(self, input_tokens: int, items: Items) -> Most:
        """Return the most that a call can cost: at most `input_tokens`, and `items` where they are sold."""
        fixed = output = 0
        for step in self.steps:
            other = step.rates.get(Unit.REQUESTS, 0)
            if step.has_items:
                counted_items = zip(ITEM_UNITS, msgspec.structs.astuple(items), strict=True)
                other += sum(count * step.rates.get(unit, 0) for unit, count in counted_items)
            fixed = max(fixed, input_tokens * step.dearest.get(INPUT, 0) + other)
            output = max(output, step.dearest.get(OUTPUT, 0))
        up = self.denominator - 1
        return Most(
            self.currency, (fixed + up) // self.denominator, (output + up) // self.denominator
        )

    def cost(self, tokens: Tokens, items: Items = NO_ITEMS) -> Cost | None:
        """The same, and what it is made of; None when something that it used has no price."""
        total_pico = self.total_pico(tokens, items)
        if total_pico is None:
            return None
        rates = self._step(tokens.input).rates
        used = ((unit, n * rates.get(unit, 0)) for unit, n in _used(tokens, items) or ())
        parts = tuple((unit, self._rounded(scaled)) for unit, scaled in used if scaled)
        return Cost(total_pico, self.currency, self.basis, parts)

    def _total(self, step: Rates, tokens: Tokens, items: Items) -> int | None:
        used = _used(tokens, items)
        if used is None:
            return None
        scaled = 0
        # lists leave out what is free: requests, and items beside tokens
        are_items_free = self.basis is Basis.LIST and bool(tokens.input or tokens.output)
        for unit, quantity in used:
            rate = step.rates.get(unit)
            is_free = unit is Unit.REQUESTS or (are_items_free and unit in ITEM_UNITS)
            if rate is None and not is_free:
                return None
            scaled += quantity * (rate or 0)
        return self._rounded(scaled)

    def _step(self, input_tokens: int) -> Rates:
        reached = [step for step in self.steps if input_tokens > step.above]
        return reached[-1] if reached else self.steps[0]

    def _rounded(self, scaled: int) -> int:
        return scaled if self.denominator == 1 else round(Fraction(scaled, self.denominator))


class Lists(Protocol):
    """Source of list prices; `catalog.pins.ListPrices` is one."""

    def list_price(self, provider: str, model: str, at_ns: int) -> ListPrice | None:
        """The price of `model` at `provider` at `at_ns`; None when it is not known."""
        ...


class _Kept(NamedTuple):
    """Tariff and the time in which it is valid."""

    from_ns: int
    until_ns: int
    tariff: CallPricing | None
    planned: bool = False
    """True when a plan is in force, though it may have no amounts for single calls."""
    dearest: CallPricing | None = None
    """The tariff of the plan in which a price by the sum of a period is the dearest that it may come to."""


_NEVER: Final = _Kept(0, 0, None)


class PricingTable:
    """The tariff of each call: of its customer's plan, else of its seller's list."""

    def __init__(
        self, accounts: PriceReads, lists: Callable[[], Lists | None] = lambda: None
    ) -> None:
        self._accounts = accounts
        self._lists = lists
        self._version: object = None
        self._plans: Mapping[CustomerId, Sequence[PricePlan]] = {}
        self._planned: dict[tuple[CustomerId, ModelId], _Kept] = {}
        self._listed: dict[tuple[str, ModelId], _Kept] = {}
        self.refresh()

    def refresh(self) -> None:
        """Read the plans again if anything changed. When that fails, those that are known stay."""
        version = self._accounts.prices_version()
        if version != self._version:
            plans: dict[CustomerId, list[PricePlan]] = {}
            directory = directory_of(self._accounts.facts())
            for plan in directory.plans_of_callers(self._accounts.plans()):
                plans.setdefault(plan.customer, []).append(plan)
            self._plans, self._planned, self._version = plans, {}, version

    def plans_of(self, customer: CustomerId) -> Sequence[PricePlan]:
        """Return the price plans of a customer's calls: after a merger, those of who it counts as."""
        return self._plans.get(customer, ())

    def total(
        self,
        opened: Opened | Usage,
        seller: str,
        reported: ReportedUsage,
        *,
        at_dearest: bool = False,
    ) -> tuple[int, str] | None:
        """Return the cost of a call to its caller, in picounits and their currency; None when unknown.

        `seller` is the provider that is paid; empty for own replicas, which have no list price. With
        `at_dearest` a price that a plan sets by the sum of a period is the dearest that it may come to.
        """
        if opened.customer in self._plans:
            kept = self._plan_of(opened)
            if kept.planned:
                tariff = kept.dearest if at_dearest else kept.tariff
                return _total(tariff, reported, free=opened.purpose not in EARNING)
        if reported.cost_pico is not None:
            return reported.cost_pico, reported.currency
        listed = self._list_of(opened, seller)
        return None if listed is None else _total(listed, reported)

    def cost(self, opened: Opened, seller: str, reported: ReportedUsage) -> Cost | None:
        """The same, with what it is made of."""
        kept = self._plan_of(opened)
        if kept.planned and kept.tariff is not None and opened.purpose not in EARNING:
            return Cost(0, kept.tariff.currency, Basis.INTERNAL)
        if not kept.planned and reported.cost_pico is not None:
            return Cost(reported.cost_pico, reported.currency, Basis.PROVIDER)
        tariff = kept.tariff if kept.planned else self._list_of(opened, seller)
        return None if tariff is None else tariff.cost(reported.tokens, reported.items)

    def most(
        self, opened: Opened, sellers: Iterable[str], input_tokens: int, items: Items
    ) -> Most | None:
        """Return the most that a call can cost its caller at any of `sellers`; None when unknown at one."""
        kept = self._plan_of(opened)
        if kept.planned:
            if kept.dearest is None:
                return None
            if opened.purpose not in EARNING:
                return Most(kept.dearest.currency, 0, 0)
            return kept.dearest.most(input_tokens, items)
        found = [self._list_of(opened, seller) for seller in sellers]
        if not found or None in found:
            return None
        every = [tariff.most(input_tokens, items) for tariff in found if tariff is not None]
        fixed, output = max(one.fixed_pico for one in every), max(one.output_pico for one in every)
        return Most(_LIST_CURRENCY, fixed, output)

    def _plan_of(self, opened: Opened | Usage) -> _Kept:
        """The tariff of the plan that is in force for a call, if one is."""
        key, at_ns = (opened.customer, opened.model), opened.opened_ns
        planned = self._planned  # read before the plans, since a refresh replaces it after them
        kept = planned.get(key, _NEVER)
        if kept.from_ns <= at_ns < kept.until_ns:
            return kept
        plans = self._plans.get(opened.customer, ())
        changes = [plan.effective_ns for plan in plans if plan.effective_ns > at_ns]
        plan = plan_at(plans, opened.customer, at_ns)
        until_ns = min([at_ns + _KEPT_NS, *changes])
        kept = _Kept(at_ns, until_ns, None)
        if plan is not None:
            tariff, dearest = plan_pricing(plan, opened.model), dearest_pricing(plan, opened.model)
            kept = _Kept(at_ns, until_ns, tariff, planned=True, dearest=dearest)
        planned[key] = kept
        return kept

    def _list_of(self, opened: Opened | Usage, seller: str) -> CallPricing | None:
        """The tariff of what `seller` lists, if it does."""
        key, at_ns = (seller, opened.model), opened.opened_ns
        kept = self._listed.get(key, _NEVER)
        if not kept.from_ns <= at_ns < kept.until_ns:
            lists = self._lists() if seller else None
            price = None if lists is None else lists.list_price(*key, at_ns)
            tariff = None if price is None else list_pricing(price)
            kept = self._listed[key] = _Kept(at_ns, at_ns + _KEPT_NS, tariff)
        return kept.tariff


def cost_of(
    usage: Usage, tariffs: PricingTable, *, at_dearest: bool = False
) -> tuple[int, str] | None:
    """Return the cost of a finished call to its caller; None when unknown, or when nothing was used.

    `at_dearest` is as for `PricingTable.total`.
    """
    if not usage.legs or (usage.tokens == NO_TOKENS and usage.items == NO_ITEMS):
        return None
    served = usage.legs[-1]
    reported = ReportedUsage(
        usage.tokens, usage.items, cost_pico=served.told_cost_pico, currency=served.told_currency
    )
    seller = "" if served.replica else served.provider
    return tariffs.total(usage, seller, reported, at_dearest=at_dearest)


def _total(
    tariff: CallPricing | None, reported: ReportedUsage, *, free: bool = False
) -> tuple[int, str] | None:
    if tariff is None:
        return None
    pico = 0 if free else tariff.total_pico(reported.tokens, reported.items)
    return None if pico is None else (pico, tariff.currency)


def plan_pricing(plan: PricePlan, model: ModelId) -> CallPricing | None:
    """Return a plan's price for each unit of `model` that costs the same however much is used.

    What has no price there costs nothing. None when each call counts towards a price by the sum of a
    period, or nothing of the model has a price: then no call has an amount.
    """
    priced = {unit for unit in PRICED_BY if plan.terms.price_of(unit, model)}
    rates = {unit: plan.terms.rate_of(unit, model) if unit in priced else 0 for unit in PRICED_BY}
    if not priced or rates[Unit.REQUESTS] is None:
        return None
    fixed = {unit: rate for unit, rate in rates.items() if rate is not None}
    return CallPricing(plan.currency, Basis.PLAN, (_rates(0, fixed),))


def dearest_pricing(plan: PricePlan, model: ModelId) -> CallPricing | None:
    """Return the dearest price of each unit of `model`; None when nothing of it has a price.

    Of calls that are priced at it, the sum is no less than what a period's usage is charged, but for less
    than one package of each unit.
    """
    if not any(plan.terms.price_of(unit, model) for unit in PRICED_BY):
        return None
    rates = {unit: plan.terms.dearest_of(unit, model) for unit in PRICED_BY}
    return CallPricing(plan.currency, Basis.PLAN, (_rates(0, rates),))


def list_pricing(price: ListPrice) -> CallPricing:
    """Return the list price of each unit, by the size of the request."""
    bounds = {tier.above for rate in price.rates.values() for tier in rate.tiers}
    listed: list[tuple[int, dict[Unit, Fraction]]] = []
    for above in sorted({-1, *bounds}):
        found = {unit: price.pico_per_unit(unit, above + 1) for unit in PRICED_BY}
        listed.append((above, {unit: rate for unit, rate in found.items() if rate is not None}))
    denominator = lcm(*(rate.denominator for _, rates in listed for rate in rates.values()))
    steps = tuple(
        _rates(above, {unit: int(rate * denominator) for unit, rate in rates.items()})
        for above, rates in listed
    )
    return CallPricing(_LIST_CURRENCY, Basis.LIST, steps, denominator)


def _rates(above: int, rates: Mapping[Unit, int]) -> Rates:
    dearest: dict[str, int] = {}
    for unit, rate in rates.items():
        if unit in DIRECTIONS:
            side = DIRECTIONS[unit]
            dearest[side] = max(rate, dearest.get(side, 0))
    has_items = any(rates.get(unit) for unit in ITEM_UNITS)
    found = [rates[unit] for unit in _TEXT if unit in rates]
    text = _Text._make([*found, rates.get(Unit.REQUESTS, 0)]) if len(found) == len(_TEXT) else None
    return Rates(above, rates, text, dearest, has_items)


def _used(tokens: Tokens, items: Items) -> list[tuple[Unit, int]] | None:
    """The units of a call in the buckets of the books; None when its counts contradict themselves."""
    try:
        found = (*buckets(tokens), *counted(items), (Unit.REQUESTS, 1))
    except BooksError:
        return None
    return [(unit, quantity) for unit, quantity in found if quantity]
