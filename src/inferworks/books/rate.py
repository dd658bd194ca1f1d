"""Rating: what calls earn. Whole picounits; a price per unit never rounds.

A call earns at the price in force when it was opened, and only if its purpose is one that customers pay
for and it was answered, or cut short by its client or by a crash of ours after it had begun: then it
pays for the tokens it was delivered. A refused or failed call pays nothing.

Two steps, so that one machine and many do the same. *Sum*: each call's tokens fall into buckets, each
into exactly one (theorem 4), and are added up by who, what and which day. *Rate*: `rate_sums` turns the
sums of one customer, plan and period into amounts (`books/plans.py`) and hands them back down to the
sums. An engine that has added up the calls itself begins at the second step. The period is the calendar
month, cut to the plan's time in force and to the span: a statement of half a month counts tiers from the
start of that half.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from enum import StrEnum
from typing import NamedTuple

import msgspec

from inferworks.accounts.plan import PerUnit, Price, PricePlan, Terms, plan_at
from inferworks.books.drivers import INPUT, OUTPUT
from inferworks.books.months import day_of, month_of, months
from inferworks.books.plans import discount_pico, period_part, scheme_pico
from inferworks.books.span import Span
from inferworks.errors import BooksError, MoneyError
from inferworks.ids import CallId, CustomerId, KeyId, ModelId, ProjectId
from inferworks.meter.usage import Items, Outcome, Tokens, Usage
from inferworks.money import Key, split
from inferworks.purpose import Purpose
from inferworks.units import Unit

EARNING = frozenset({Purpose.SERVE_PAID, Purpose.CUSTOMER_TRAINING})
PAYING = frozenset({Outcome.ANSWERED, Outcome.CANCELLED, Outcome.CRASHED})

NO_PROJECT, NO_KEY, NO_MODEL = ProjectId("(no project)"), KeyId("(no key)"), ModelId("(no model)")
"""Whom a fee belongs to in a period in which nothing was used."""

DIRECTIONS = {
    Unit.INPUT_TOKENS: INPUT,
    Unit.CACHE_READ_TOKENS: INPUT,
    Unit.CACHE_WRITE_TOKENS: INPUT,
    Unit.CACHE_WRITE_1H_TOKENS: INPUT,
    Unit.INPUT_AUDIO_TOKENS: INPUT,
    Unit.INPUT_IMAGE_TOKENS: INPUT,
    Unit.OUTPUT_TOKENS: OUTPUT,
    Unit.REASONING_TOKENS: OUTPUT,
    Unit.OUTPUT_AUDIO_TOKENS: OUTPUT,
    Unit.OUTPUT_IMAGE_TOKENS: OUTPUT,
}
"""The side of a call that a bucket is part of. (FOCUS TokenDirection) What is not in it is no token."""


class Item(StrEnum):
    """What an amount of revenue is for."""

    USAGE = "usage"
    SUBSCRIPTION = "subscription"
    DISCOUNT = "discount"
    MINIMUM = "minimum"
    BREAKAGE = "breakage"
    """Prepaid credit that expired unused."""


class Label(NamedTuple):
    """Whose revenue it is, what for, and on which day (its midnight, UTC)."""

    customer: CustomerId
    project: ProjectId
    key_id: KeyId
    model: ModelId
    purpose: Purpose
    day_ns: int


class UsageSum(NamedTuple):
    """How much of one unit the calls of one label used."""

    label: Label
    unit: Unit
    quantity: int


class Rated(msgspec.Struct, frozen=True, gc=False):
    """An amount of revenue, and what it was computed from."""

    customer: CustomerId
    project: ProjectId
    key_id: KeyId
    model: ModelId
    purpose: Purpose
    day_ns: int
    item: Item
    unit: Unit | None
    """The bucket that was used; None where the amount is for no unit."""
    effective_ns: int
    """From when the plan was in force."""
    plan_sha256: str
    """The hash of the plan's terms (theorem 14)."""
    pico_per_unit: int | None
    """The price, where it does not depend on what else was used in the period."""
    quantity: int
    amount_pico: int

    @property
    def direction(self) -> str | None:
        """FOCUS's TokenDirection; None for what is no token."""
        return None if self.unit is None else DIRECTIONS.get(self.unit)

    @property
    def label(self) -> Label:
        """Whose it is, what for, and when."""
        return Label(
            self.customer, self.project, self.key_id, self.model, self.purpose, self.day_ns
        )


class Unpriced(NamedTuple):
    """Units that a customer used and its plan gives no price."""

    customer: CustomerId
    model: ModelId
    unit: Unit
    quantity: int


class Prepayment(msgspec.Struct, frozen=True):
    """Credit that a customer bought, or (when `amount_pico` is negative) used. No revenue itself."""

    at_ns: int
    customer: CustomerId
    text: str
    amount_pico: int


class Revenue(msgspec.Struct, frozen=True):
    """What a span earned, and what in it had no price: reported, never silently zero."""

    rated: tuple[Rated, ...]
    unpriced: tuple[tuple[CustomerId, int], ...] = ()
    """Calls without any plan in force, by customer."""
    unpriced_units: tuple[Unpriced, ...] = ()
    """What the plan in force had no price for."""
    prepayments: tuple[Prepayment, ...] = ()
    """How credit moved (`wallet.py`)."""

    @property
    def amount_pico(self) -> int:
        """The whole revenue."""
        return sum(row.amount_pico for row in self.rated)


class BillingPeriod(NamedTuple):
    """A plan and the part of a month in which it is rated."""

    plan: PricePlan
    span: Span
    terms_sha256: str

    @property
    def key(self) -> tuple[CustomerId, int]:
        """Names the period: a customer's never overlap."""
        return self.plan.customer, self.span.start_ns


class CallSum(NamedTuple):
    """Calls of one label under one plan in one month: when one of them was opened, and what they used."""

    label: Label
    opened_ns: int
    calls: int
    used: Iterable[tuple[Unit, int]]


def rate(usages: Iterable[Usage], plans: Sequence[PricePlan], span: Span, currency: str) -> Revenue:
    """What the calls opened in `span` earned, and the fees and minimums of `plans` in it.

    Pure; the order of `usages` and `plans` leaves no trace. MoneyError when a plan that is used is in
    another currency; BooksError when a call's counts contradict themselves.
    """
    earning = (usage for usage in usages if earns(usage, span))
    sums = (CallSum(label_of(u), u.opened_ns, 1, buckets_of(u)) for u in earning)
    return rate_calls(sums, plans, span, currency)


def rate_calls(
    calls: Iterable[CallSum], plans: Sequence[PricePlan], span: Span, currency: str
) -> Revenue:
    """`rate`, for calls that earn and have been added up already."""
    book = PlanBook(plans, span)
    sums: dict[tuple[CustomerId, int], dict[tuple[Label, Unit], int]] = defaultdict(
        lambda: defaultdict(int)
    )
    periods = {period.key: period for period in book.standing()}
    without_plan: dict[CustomerId, int] = defaultdict(int)
    for label, opened_ns, count, used in calls:
        period = book.period(label.customer, opened_ns)
        if period is None:
            without_plan[label.customer] += count
            continue
        meter = sums[period.key]
        periods[period.key] = period
        for unit, quantity in used:
            if quantity:
                meter[label, unit] += quantity
    parts = [
        rate_sums(
            _usage_sums(sums[key]), _in_currency(periods[key].plan, currency), periods[key].span
        )
        for key in sorted(periods)
    ]
    return _joined(parts, tuple(sorted(without_plan.items())))


def rate_sums(sums: Iterable[UsageSum], plan: PricePlan, span: Span) -> Revenue:
    """What the `sums` of one customer come to under `plan` in `span`, which lies within one month.

    Pure, and independent of the order and of the grain of `sums` up to where a largest remainder falls:
    rows of usage at a price per unit are the same at any grain. `sums` may repeat a label.
    """
    totals: dict[tuple[Label, Unit], int] = defaultdict(int)
    for label, unit, quantity in sums:
        if quantity < 0:
            raise BooksError(f"customer {label.customer}: {quantity} {unit} is negative")
        totals[label, unit] += quantity
    meters, unpriced = _metered(totals, plan.terms)
    maker = _Maker(plan, span, month_of(span.start_ns), plan.terms.sha256)
    rows = [row for price, meter in meters.items() for row in maker.usage(price, meter)]
    rows += maker.fee(Item.SUBSCRIPTION, maker.part(plan.terms.subscription_pico), rows)
    subtotal_pico = sum(row.amount_pico for row in rows)
    off_pico = discount_pico(plan.terms.discounts, subtotal_pico, maker.month, span)
    rows += maker.fee(Item.DISCOUNT, -off_pico, rows)
    short_pico = maker.part(plan.terms.minimum_pico) - (subtotal_pico - off_pico)
    rows += maker.fee(Item.MINIMUM, max(0, short_pico), rows)
    return Revenue(tuple(sorted(rows, key=_row_order)), unpriced_units=unpriced)


def rate_again(revenue: Revenue, plans: Sequence[PricePlan], span: Span) -> Revenue:
    """The amounts of `revenue` rated once more, from its quantities and the hash on each row.

    Equal to `revenue.rated` when theorem 14 holds. BooksError when no plan has the hash of a row.
    Breakage is not rated and is left out.
    """
    book = PlanBook(plans, span)
    sums: dict[tuple[CustomerId, int], list[UsageSum]] = defaultdict(list)
    periods: dict[tuple[CustomerId, int], BillingPeriod] = {}
    for row in revenue.rated:
        if row.item is Item.BREAKAGE:
            continue
        period = book.period(row.customer, max(row.day_ns, row.effective_ns, span.start_ns))
        if period is None or period.terms_sha256 != row.plan_sha256:
            raise BooksError(
                f"theorem 14 (provenance): customer {row.customer} has no plan from "
                f"{row.effective_ns} with hash {row.plan_sha256}"
            )
        periods[period.key] = period
        if row.unit is not None:
            sums[period.key].append(UsageSum(row.label, row.unit, row.quantity))
    parts = [rate_sums(sums[key], periods[key].plan, periods[key].span) for key in sorted(periods)]
    return _joined(parts, ())


def by_call(rated: Rated, usages: Iterable[Usage], plans: Sequence[PricePlan]) -> dict[CallId, int]:
    """The amount of one row given back to its calls, by what each used of the row's unit.

    A fee goes by tokens. The parts sum to the row; nothing comes back when no call of it is given.
    """
    quantities: dict[CallId, int] = {}
    for usage in usages:
        if label_of(usage) != rated.label or usage.outcome not in PAYING:
            continue
        plan = plan_at(plans, usage.customer, usage.opened_ns)
        if plan is not None and plan.effective_ns == rated.effective_ns:
            counts = dict(buckets_of(usage))
            tokens = usage.tokens.input + usage.tokens.output
            quantities[usage.call_id] = tokens if rated.unit is None else counts[rated.unit]
    return _spread(rated.amount_pico, quantities)


def earns(usage: Usage, span: Span) -> bool:
    """Whether `usage` was opened in `span` and is one that customers pay for."""
    return span.holds(usage.opened_ns) and usage.purpose in EARNING and usage.outcome in PAYING


def label_of(usage: Usage) -> Label:
    """What the revenue of `usage` is known by."""
    who = (usage.customer, usage.project, usage.key_id)
    return Label(*who, usage.model, usage.purpose, day_of(usage.opened_ns))


def buckets_of(usage: Usage) -> tuple[tuple[Unit, int], ...]:
    """Every unit of `usage`, in exactly one bucket each, and the request itself (theorem 4)."""
    try:
        return (*buckets(usage.tokens), *counted(usage.items), (Unit.REQUESTS, 1))
    except BooksError as error:
        raise BooksError(f"call {usage.call_id}: {error}") from None


def buckets(tokens: Tokens) -> tuple[tuple[Unit, int], ...]:
    """`tokens` by bucket: parts are taken out of the input and output they are in.

    The input buckets sum to `tokens.input`, the output buckets to `tokens.output`. A token read from a
    cache is that whatever its modality was, for so it is priced: where providers count it both ways, a
    modality has what the cache and, for output, reasoning leave. BooksError when a part is negative or
    parts are more than their whole.
    """
    flaw = tokens.flaw()
    if flaw is not None:
        raise BooksError(f"theorem 4 (bucket): {flaw}")
    read, heard, seen = _apart(
        tokens.input - tokens.cache_read - tokens.cache_write,
        tokens.input_audio,
        tokens.input_image,
    )
    said, spoken, drawn = _apart(
        tokens.output - tokens.reasoning, tokens.output_audio, tokens.output_image
    )
    return (
        (Unit.INPUT_TOKENS, read),
        (Unit.CACHE_READ_TOKENS, tokens.cache_read),
        (Unit.CACHE_WRITE_TOKENS, tokens.cache_write - tokens.cache_write_1h),
        (Unit.CACHE_WRITE_1H_TOKENS, tokens.cache_write_1h),
        (Unit.INPUT_AUDIO_TOKENS, heard),
        (Unit.INPUT_IMAGE_TOKENS, seen),
        (Unit.OUTPUT_TOKENS, said),
        (Unit.REASONING_TOKENS, tokens.reasoning),
        (Unit.OUTPUT_AUDIO_TOKENS, spoken),
        (Unit.OUTPUT_IMAGE_TOKENS, drawn),
    )


def counted(items: Items) -> tuple[tuple[Unit, int], ...]:
    """`items` by unit. BooksError when one is negative."""
    if min(items.images, items.audio_ms, items.characters, items.searches) < 0:
        raise BooksError(f"theorem 4 (bucket): a negative count: {items}")
    return (
        (Unit.IMAGES, items.images),
        (Unit.AUDIO_MS, items.audio_ms),
        (Unit.CHARACTERS, items.characters),
        (Unit.SEARCHES, items.searches),
    )


def _apart(whole: int, audio: int, image: int) -> tuple[int, int, int]:
    """`whole` as text, audio and image, of which there are no more than is left."""
    audio = min(audio, whole)
    image = min(image, whole - audio)
    return whole - audio - image, audio, image


class PlanBook:
    """Plans by customer and time, for one span."""

    def __init__(self, plans: Iterable[PricePlan], span: Span) -> None:
        """Keep `plans`; their order leaves no trace."""
        self._span = span
        self._plans: dict[CustomerId, list[PricePlan]] = defaultdict(list)
        for plan in sorted(plans, key=_plan_order):
            self._plans[plan.customer].append(plan)
        self._starts = {
            customer: [plan.effective_ns for plan in plans]
            for customer, plans in self._plans.items()
        }
        self._hashes: dict[PricePlan, str] = {}
        self._known: dict[tuple[CustomerId, int, int], BillingPeriod] = {}

    def period(self, customer: CustomerId, at_ns: int) -> BillingPeriod | None:
        """The plan of `customer` in force at `at_ns`, and the part of its month within the span."""
        number = bisect_right(self._starts.get(customer, ()), at_ns) - 1
        if number < 0:
            return None
        key = (customer, number, day_of(at_ns))
        if key not in self._known:
            inside = self._in_force(customer, number).meet(*self._span)
            self._known[key] = self._period(customer, number, month_of(at_ns).meet(*inside))
        return self._known[key]

    def standing(self) -> Iterable[BillingPeriod]:
        """The periods within the span that cost something even if nothing is used."""
        for customer, plans in self._plans.items():
            for number, plan in enumerate(plans):
                if plan.terms.standing:
                    inside = self._in_force(customer, number).meet(*self._span)
                    for month in months(inside):
                        yield self._period(customer, number, month.meet(*inside))

    def _period(self, customer: CustomerId, number: int, span: Span) -> BillingPeriod:
        plan = self._plans[customer][number]
        if plan not in self._hashes:
            self._hashes[plan] = plan.terms.sha256
        return BillingPeriod(plan, span, self._hashes[plan])

    def _in_force(self, customer: CustomerId, number: int) -> Span:
        starts = self._starts[customer]
        end_ns = starts[number + 1] if number + 1 < len(starts) else 2**63
        return Span(starts[number], end_ns)


class _Maker(NamedTuple):
    """Makes the rows of one plan in one part of a month."""

    plan: PricePlan
    span: Span
    month: Span
    terms_sha256: str

    def part(self, quantity: int) -> int:
        """The part of a month's `quantity` that is in the span."""
        return period_part(quantity, self.month, self.span)

    def usage(self, price: Price, meter: Mapping[tuple[Label, Unit], int]) -> list[Rated]:
        """One row for each label and unit that pays `price`."""
        if isinstance(price.scheme, PerUnit) and not price.included:
            pico = price.scheme.pico_per_unit
            return [
                self._row(Item.USAGE, label, quantity * pico, unit, pico, quantity)
                for (label, unit), quantity in meter.items()
            ]
        counted = max(0, sum(meter.values()) - self.part(price.included))
        parts = _spread(scheme_pico(price.scheme, counted), meter)
        return [
            self._row(Item.USAGE, label, parts[label, unit], unit, None, quantity)
            for (label, unit), quantity in meter.items()
        ]

    def fee(self, item: Item, amount_pico: int, rows: Sequence[Rated]) -> list[Rated]:
        """`amount_pico` spread over the labels of `rows` by amount, else by quantity, else on its own."""
        if not amount_pico:
            return []
        amounts: dict[Label, int] = defaultdict(int)
        quantities: dict[Label, int] = defaultdict(int)
        for row in rows:
            amounts[row.label] += row.amount_pico
            quantities[row.label] += row.quantity
        nobody = Label(
            self.plan.customer, NO_PROJECT, NO_KEY, NO_MODEL, Purpose.SERVE_PAID,
            day_of(self.span.start_ns),
        )  # fmt: skip
        weights = next((w for w in (amounts, quantities) if any(w.values())), {nobody: 1})
        parts = split(amount_pico, weights)
        return [self._row(item, label, pico) for label, pico in parts.items() if pico]

    def _row(
        self,
        item: Item,
        label: Label,
        amount_pico: int,
        unit: Unit | None = None,
        pico_per_unit: int | None = None,
        quantity: int = 0,
    ) -> Rated:
        plan = (self.plan.effective_ns, self.terms_sha256)
        return Rated(*label, item, unit, *plan, pico_per_unit, quantity, amount_pico)


def _metered(
    totals: Mapping[tuple[Label, Unit], int], terms: Terms
) -> tuple[dict[Price, dict[tuple[Label, Unit], int]], tuple[Unpriced, ...]]:
    """`totals` by the price they pay, and what pays none. Requests may go without a price."""
    meters: dict[Price, dict[tuple[Label, Unit], int]] = {}
    meter_of: dict[tuple[Unit, ModelId], dict[tuple[Label, Unit], int] | None] = {}
    unpriced: dict[tuple[CustomerId, ModelId, Unit], int] = defaultdict(int)
    for (label, unit), quantity in totals.items():
        if not quantity:
            continue
        what = (unit, label.model)
        if what not in meter_of:
            price = terms.price_of(*what)
            meter_of[what] = None if price is None else meters.setdefault(price, {})
        meter = meter_of[what]
        if meter is not None:
            meter[label, unit] = quantity
        elif unit is not Unit.REQUESTS:
            unpriced[label.customer, label.model, unit] += quantity
    return meters, tuple(Unpriced(*what, unpriced[what]) for what in sorted(unpriced))


def _spread(amount_pico: int, weights: Mapping[Key, int]) -> dict[Key, int]:
    """`split`, with nothing to split by taken as nothing to split."""
    if not any(weights.values()):
        return dict.fromkeys(weights, 0)
    return split(amount_pico, weights)


def _joined(parts: Iterable[Revenue], without_plan: tuple[tuple[CustomerId, int], ...]) -> Revenue:
    """One revenue of many, in the order of `parts`."""
    rated: list[Rated] = []
    unpriced: dict[tuple[CustomerId, ModelId, Unit], int] = defaultdict(int)
    for part in parts:
        rated += part.rated
        for customer, model, unit, quantity in part.unpriced_units:
            unpriced[customer, model, unit] += quantity
    units = tuple(Unpriced(*what, unpriced[what]) for what in sorted(unpriced))
    return Revenue(tuple(rated), without_plan, units)


def _usage_sums(totals: Mapping[tuple[Label, Unit], int]) -> Iterable[UsageSum]:
    return (UsageSum(label, unit, quantity) for (label, unit), quantity in totals.items())


def _row_order(row: Rated) -> tuple[object, ...]:
    """The same order within a period, whatever order the inputs came in."""
    who = (row.project, row.key_id, row.model, row.purpose, row.day_ns)
    return (*who, row.item, row.unit or "")


def _plan_order(plan: PricePlan) -> tuple[int, str]:
    """Settles which of two plans stands first, whatever order they came in."""
    return plan.effective_ns, plan.terms.sha256


def _in_currency(plan: PricePlan, currency: str) -> PricePlan:
    if plan.currency != currency:
        raise MoneyError(
            f"the price plan of customer {plan.customer!r} is in {plan.currency}, the books are kept "
            f"in {currency}; give the customer a plan in {currency}"
        )
    return plan
