"""Rating: the revenue of calls. Whole picounits; a price per unit never rounds.

A call earns at the price in force when it was opened, and only if its purpose is one that customers pay
for and it was answered, or cut short by its client or by a crash of ours after it had begun: then it
pays for the tokens it was delivered. A refused or failed call pays nothing.

Two steps, so that one machine and many do the same. *Sum*: each call's tokens fall into buckets, each
into exactly one (theorem 4), and are added up by rating key (customer, project, key, model, purpose, day)
and unit. *Rate*: `rate_calls` turns the sums of one customer, plan and period into amounts
(`books/revenue/price_schemes.py`) and hands them back down to the sums. An engine that has added up the
calls itself begins at the second step. The period is the month by the customer's own clock
(`calendars.py`), cut to the plan's time in force. A price that a new plan keeps continues with its
quantity so far: a discount that is added amid a month does not start tiers anew. A span that begins amid
a month is rated on top of the month's earlier totals (`ToDate`).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from enum import StrEnum
from typing import NamedTuple

import msgspec

from inferworks.accounts.plan import PerUnit, Price, PricePlan, Terms, plan_at
from inferworks.books.calendar.calendars import IN_UTC, Calendar, Calendars
from inferworks.books.calendar.span import Span
from inferworks.books.revenue.customer_currency import Conversion, DayRate, Owed
from inferworks.books.revenue.plan_book import BillingPeriod, PeriodKey, PlanBook
from inferworks.books.revenue.price_schemes import SoFar, discount_pico, period_part, usage_pico
from inferworks.books.token_buckets import buckets_of
from inferworks.catalog.units import DIRECTIONS
from inferworks.errors import BooksError
from inferworks.ids import CallId, CustomerId, KeyId, ModelId, ProjectId
from inferworks.meter.usage import Outcome, Usage
from inferworks.money import Key, split
from inferworks.purpose import Purpose
from inferworks.units import Unit

EARNING = frozenset({Purpose.SERVE_PAID, Purpose.CUSTOMER_TRAINING})
PAYING = frozenset({Outcome.ANSWERED, Outcome.CANCELLED, Outcome.CRASHED})

NO_PROJECT, NO_KEY, NO_MODEL = ProjectId("(no project)"), KeyId("(no key)"), ModelId("(no model)")
"""Keys that a fee belongs to in a period without use."""


class Item(StrEnum):
    """Kind of an amount of revenue."""

    USAGE = "usage"
    SUBSCRIPTION = "subscription"
    DISCOUNT = "discount"
    MINIMUM = "minimum"
    BREAKAGE = "breakage"
    """Prepaid credit that expired unused."""


class RatingKey(NamedTuple):
    """Key of an amount of revenue: customer, project, key, model, purpose and day (its midnight)."""

    customer: CustomerId
    project: ProjectId
    key_id: KeyId
    model: ModelId
    purpose: Purpose
    day_ns: int


class Rated(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """An amount of revenue, and what it was computed from."""

    customer: CustomerId
    project: ProjectId
    key_id: KeyId
    model: ModelId
    purpose: Purpose
    day_ns: int
    item: Item
    unit: Unit | None
    """Unit that was used; None where the amount is for no unit."""
    effective_ns: int
    """Start of the plan's time in force."""
    plan_sha256: str
    """The hash of the plan's terms (theorem 14)."""
    pico_per_unit: int | None
    """The plan's price, where it does not depend on what else was used in the period."""
    quantity: int
    amount_pico: int
    owed: Owed | None = None
    """The amount as the customer owes it, where its plan is in another currency than the books."""

    @property
    def owed_pico(self) -> int:
        """The amount in the currency of the plan."""
        return self.amount_pico if self.owed is None else self.owed.amount_pico

    @property
    def direction(self) -> str | None:
        """FOCUS's TokenDirection; None for units other than tokens."""
        return None if self.unit is None else DIRECTIONS.get(self.unit)

    @property
    def label(self) -> RatingKey:
        """Key of the amount."""
        return RatingKey(
            self.customer, self.project, self.key_id, self.model, self.purpose, self.day_ns
        )


class ToDate(msgspec.Struct, frozen=True):
    """Use and amount that part of a month had come to before a span, in the plan's currency."""

    customer: CustomerId
    effective_ns: int
    plan_sha256: str
    item: Item
    unit: Unit | None
    model: ModelId
    quantity: int
    amount_pico: int


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
    into: CustomerId | None = None
    """Customer that owns the credit from then on, where one was merged with another."""


class Revenue(msgspec.Struct, frozen=True):
    """Revenue of a span, and the use in it that had no price: reported, never silently zero."""

    rated: tuple[Rated, ...]
    unpriced: tuple[tuple[CustomerId, int], ...] = ()
    """Calls without any plan in force, by customer."""
    unpriced_units: tuple[Unpriced, ...] = ()
    """Use for which the plan in force had no price."""
    prepayments: tuple[Prepayment, ...] = ()
    """Movements of prepaid credit (`prepaid.py`)."""

    @property
    def amount_pico(self) -> int:
        """The whole revenue."""
        return sum(row.amount_pico for row in self.rated)


class CallSum(NamedTuple):
    """Calls of one label under one plan in one month: when one of them was opened, and what they used."""

    label: RatingKey
    opened_ns: int
    calls: int
    used: Iterable[tuple[Unit, int]]


class RatingContext(NamedTuple):
    """Earlier totals, clocks and exchange rates by which the calls of a span are rated."""

    to_date: Sequence[ToDate] | None = None
    """Earlier totals of the months in which the span begins; nothing if it begins them. None rates each
    part of a month on its own, as books that were closed before there were such totals."""
    calendars: Calendars = IN_UTC
    rates: Sequence[DayRate] | None = ()
    """Exchange rates of the currencies of plans on the days of the span. None leaves amounts in the
    currencies of their plans, all that `to_date_of` needs."""


DEFAULT_CONTEXT = RatingContext()


def rate(
    usages: Iterable[Usage],
    plans: Sequence[PricePlan],
    span: Span,
    currency: str,
    context: RatingContext = DEFAULT_CONTEXT,
) -> Revenue:
    """Return the revenue of the calls opened in `span`, with the fees and minimums of `plans` in it.

    Pure; the order of `usages` and `plans` leaves no trace. NoRateError when a plan that is used is in
    another currency and the rates lack a day; BooksError when a call's counts contradict themselves.
    """
    sums = (
        CallSum(rating_key(usage, context.calendars), usage.opened_ns, 1, buckets_of(usage))
        for usage in usages
        if earns(usage, span)
    )
    return rate_calls(sums, plans, span, currency, context)


def rate_calls(
    calls: Iterable[CallSum],
    plans: Sequence[PricePlan],
    span: Span,
    currency: str,
    context: RatingContext = DEFAULT_CONTEXT,
) -> Revenue:
    """`rate`, for calls that earn and have been added up already."""
    book = PlanBook(plans, span, context.calendars, alone=context.to_date is None)
    periods = {period.key: period for period in book.standing()}
    used: dict[PeriodKey, dict[tuple[RatingKey, Unit], int]] = defaultdict(lambda: defaultdict(int))
    without_plan: dict[CustomerId, int] = defaultdict(int)
    for label, opened_ns, count, units in calls:
        period = book.period(label.customer, opened_ns)
        if period is None:
            without_plan[label.customer] += count
            continue
        periods[period.key] = period
        meter = used[period.key]
        for unit, quantity in units:
            if quantity:
                meter[label, unit] += quantity
    months = _rated_months(book, periods.values(), used, currency, context)
    return _joined(months, tuple(sorted(without_plan.items())))


def rate_again(
    revenue: Revenue,
    plans: Sequence[PricePlan],
    span: Span,
    currency: str,
    context: RatingContext = DEFAULT_CONTEXT,
) -> Revenue:
    """The amounts of `revenue` rated once more, from its quantities and the hash on each row.

    Equal to the `rated` of `revenue` when theorem 14 holds. BooksError when no plan has the hash of a row.
    Breakage is not rated and is left out.
    """
    book = PlanBook(plans, span, context.calendars, alone=context.to_date is None)
    used: dict[PeriodKey, dict[tuple[RatingKey, Unit], int]] = defaultdict(lambda: defaultdict(int))
    periods: dict[PeriodKey, BillingPeriod] = {}
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
            if row.quantity < 0:
                raise BooksError(f"customer {row.customer}: {row.quantity} {row.unit} is negative")
            used[period.key][row.label, row.unit] += row.quantity
    return _joined(_rated_months(book, periods.values(), used, currency, context), ())


def to_date_of(
    rows: Iterable[Rated],
    plans: Iterable[PricePlan],
    at_ns: int,
    calendars: Calendars = IN_UTC,
    earlier: Iterable[ToDate] = (),
) -> tuple[ToDate, ...]:
    """Return the totals that each customer's month holding `at_ns` had reached before, in a fixed order.

    On top of the `earlier` totals, before the first of `rows`. Items that change nothing afterwards are
    left out: prices per unit alone, breakage, plans that count no more.
    """
    hashes = {terms.sha256 for terms in {plan.terms for plan in plans} if not terms.is_plain}
    sums: dict[tuple[str | int, ...], ToDate] = {_total_key(total): total for total in earlier}
    for row in rows:
        if row.plan_sha256 not in hashes:
            continue
        since_ns = calendars.of(row.customer).month(at_ns).start_ns
        if since_ns <= row.day_ns < at_ns:
            key = _total_key(row)
            quantity, amount_pico = row.quantity, row.owed_pico
            if key in sums:
                quantity, amount_pico = (
                    quantity + sums[key].quantity,
                    amount_pico + sums[key].amount_pico,
                )
            sums[key] = ToDate(
                customer=row.customer,
                effective_ns=row.effective_ns,
                plan_sha256=row.plan_sha256,
                item=row.item,
                unit=row.unit,
                model=row.model if row.unit else NO_MODEL,
                quantity=quantity,
                amount_pico=amount_pico,
            )
    return tuple(sums[key] for key in sorted(sums))


def _total_key(row: Rated | ToDate) -> tuple[str | int, ...]:
    """Return the key by which parts of a month are summed to one `ToDate`."""
    plan = (row.customer, row.effective_ns, row.plan_sha256)
    return (*plan, row.item, row.unit or "", row.model if row.unit else "")


def by_call(
    rated: Rated,
    usages: Iterable[Usage],
    plans: Sequence[PricePlan],
    calendars: Calendars = IN_UTC,
) -> dict[CallId, int]:
    """The amount of one row given back to its calls, by what each used of the row's unit.

    A fee goes by tokens. The parts sum to the row; nothing comes back when no call of it is given.
    """
    quantities: dict[CallId, int] = {}
    for usage in usages:
        if rating_key(usage, calendars) != rated.label or usage.outcome not in PAYING:
            continue
        plan = plan_at(plans, usage.customer, usage.opened_ns)
        if plan is not None and plan.effective_ns == rated.effective_ns:
            counts = dict(buckets_of(usage))
            tokens = usage.tokens.input + usage.tokens.output
            quantities[usage.call_id] = tokens if rated.unit is None else counts[rated.unit]
    return _spread(rated.amount_pico, quantities)


def earns(usage: Usage, span: Span) -> bool:
    """Return True if `usage` was opened in `span` and is one that customers pay for."""
    return span.holds(usage.opened_ns) and usage.purpose in EARNING and usage.outcome in PAYING


def rating_key(usage: Usage, calendars: Calendars = IN_UTC) -> RatingKey:
    """Return the rating key of `usage`."""
    caller = (usage.customer, usage.project, usage.key_id)
    booked_ns = calendars.of(usage.customer).booked_ns(usage.opened_ns)
    return RatingKey(*caller, usage.model, usage.purpose, booked_ns)


def _rated_months(
    book: PlanBook,
    periods: Iterable[BillingPeriod],
    used: Mapping[PeriodKey, Mapping[tuple[RatingKey, Unit], int]],
    currency: str,
    context: RatingContext,
) -> Iterator[Revenue]:
    """Yield the revenue of the use in `periods`: each month in order, every price carried on in it."""
    conversion = None if context.rates is None else Conversion(currency, context.rates)
    earlier: dict[tuple[CustomerId, int, str], list[ToDate]] = defaultdict(list)
    for total in context.to_date or ():
        earlier[total.customer, total.effective_ns, total.plan_sha256].append(total)
    for month in book.months([*periods, *book.begun(earlier)]):
        so_far: dict[Price, SoFar] = {}
        own = month[0].plan.currency
        for period in month:
            if book.alone or period.plan.currency != own:
                so_far.clear()
            own = period.plan.currency
            key = (period.plan.customer, period.plan.effective_ns, period.terms_sha256)
            begins = period.times.month.holds(period.times.rated.start_ns)
            before = earlier.get(key, ()) if begins else ()
            calendar = book.calendars.of(period.plan.customer)
            revenue = _rated(used.get(period.key, {}), period, so_far, before, calendar)
            if conversion is not None and own != currency:
                rows: list[Rated] = []
                for row in revenue.rated:
                    booked_pico, owed = conversion.converted(
                        row.customer, row.day_ns, row.amount_pico, own
                    )
                    rows.append(msgspec.structs.replace(row, amount_pico=booked_pico, owed=owed))
                revenue = msgspec.structs.replace(revenue, rated=tuple(rows))
            yield revenue


def _rated(
    totals: Mapping[tuple[RatingKey, Unit], int],
    period: BillingPeriod,
    so_far: dict[Price, SoFar],
    before: Iterable[ToDate],
    calendar: Calendar,
) -> Revenue:
    """Return the revenue of `totals` in `period`, after what came `before` in it.

    `so_far` is what the prices of the plan before have counted in the month; it is brought up to date.
    """
    terms, times = period.plan.terms, period.times
    meters, unpriced = _metered(totals, terms)
    fees: dict[Item, int] = defaultdict(int)
    used_before: dict[Price, SoFar] = {}
    for price in terms.prices:
        used_before[price] = so_far.get(price, SoFar(times.in_force.start_ns))
    for total in before:
        price_paid = None if total.unit is None else terms.price_of(total.unit, total.model)
        if price_paid is None:
            fees[total.item] += total.amount_pico
        else:
            since_ns, quantity, amount_pico = used_before[price_paid]
            used_before[price_paid] = SoFar(
                since_ns, quantity + total.quantity, amount_pico + total.amount_pico
            )
            fees[Item.USAGE] += total.amount_pico
    maker = _Maker(period, calendar)
    rows: list[Rated] = []
    so_far.clear()
    for price in terms.prices:
        meter, begun = meters.get(price, {}), used_before[price]
        made = maker.usage(price, meter, begun) if times.is_rated else []
        rows += made
        so_far[price] = SoFar(
            begun.since_ns,
            begun.quantity + sum(meter.values()),
            begun.amount_pico + sum(row.amount_pico for row in made),
        )
    if not times.is_rated:
        return Revenue(())
    fee_pico = period_part(terms.subscription_pico, times.month, times.fees_rated)
    rows += maker.fee(Item.SUBSCRIPTION, fee_pico, rows)
    now_pico = sum(row.amount_pico for row in rows)
    subtotal_pico = fees[Item.USAGE] + fees[Item.SUBSCRIPTION] + now_pico
    off_pico = discount_pico(terms.discounts, subtotal_pico, times.month, times.fees_so_far)
    rows += maker.fee(Item.DISCOUNT, -off_pico - fees[Item.DISCOUNT], rows)
    least_pico = period_part(terms.minimum_pico, times.month, times.fees_so_far)
    short_pico = max(0, least_pico - (subtotal_pico - off_pico))
    rows += maker.fee(Item.MINIMUM, short_pico - fees[Item.MINIMUM], rows)
    # in an order that does not depend on that of the inputs; all are of one customer
    rows.sort(
        key=lambda r: (r.project, r.key_id, r.model, r.purpose, r.day_ns, r.item, r.unit or "")
    )
    return Revenue(tuple(rows), unpriced_units=unpriced)


class _Maker(NamedTuple):
    """Makes the rows of one plan in one part of a month."""

    period: BillingPeriod
    calendar: Calendar

    def usage(
        self, price: Price, meter: Mapping[tuple[RatingKey, Unit], int], before: SoFar
    ) -> list[Rated]:
        """One row for each label and unit that pays `price`."""
        if isinstance(price.scheme, PerUnit) and not price.included:
            pico = price.scheme.pico_per_unit
            return [
                self._row(Item.USAGE, label, quantity * pico, unit, pico, quantity)
                for (label, unit), quantity in meter.items()
            ]
        amount_pico = usage_pico(price, sum(meter.values()), before, self.period.times)
        if not meter:  # what came before was rated otherwise, or by other times
            made = [self._row(Item.USAGE, self._nobody(), amount_pico, price.unit)]
            return made if amount_pico else []
        parts = _spread(amount_pico, meter)
        return [
            self._row(Item.USAGE, label, parts[label, unit], unit, None, quantity)
            for (label, unit), quantity in meter.items()
        ]

    def fee(self, item: Item, amount_pico: int, rows: Sequence[Rated]) -> list[Rated]:
        """`amount_pico` spread over the labels of `rows` by amount, else by quantity, else on its own."""
        if not amount_pico:
            return []
        amounts: dict[RatingKey, int] = defaultdict(int)
        quantities: dict[RatingKey, int] = defaultdict(int)
        for row in rows:
            amounts[row.label] += row.amount_pico
            quantities[row.label] += row.quantity
        candidates = (w for w in (amounts, quantities) if any(w.values()) and min(w.values()) >= 0)
        parts = split(amount_pico, next(candidates, {self._nobody(): 1}))
        return [self._row(item, label, pico) for label, pico in parts.items() if pico]

    def _nobody(self) -> RatingKey:
        """Return the key of an amount that no use of the period brought about."""
        times = self.period.times
        within = times.fees_rated if times.fees_rated.length_ns else times.in_force
        day_ns = self.calendar.booked_ns(max(within.start_ns, times.rated.start_ns))
        customer = self.period.plan.customer
        return RatingKey(customer, NO_PROJECT, NO_KEY, NO_MODEL, Purpose.SERVE_PAID, day_ns)

    def _row(
        self,
        item: Item,
        label: RatingKey,
        amount_pico: int,
        unit: Unit | None = None,
        pico_per_unit: int | None = None,
        quantity: int = 0,
    ) -> Rated:
        plan = (self.period.plan.effective_ns, self.period.terms_sha256)
        return Rated(*label, item, unit, *plan, pico_per_unit, quantity, amount_pico)


def _metered(
    totals: Mapping[tuple[RatingKey, Unit], int], terms: Terms
) -> tuple[dict[Price, dict[tuple[RatingKey, Unit], int]], tuple[Unpriced, ...]]:
    """Return `totals` by price, and those without one. Requests may go without a price."""
    meters: dict[Price, dict[tuple[RatingKey, Unit], int]] = {}
    meter_of: dict[tuple[Unit, ModelId], dict[tuple[RatingKey, Unit], int] | None] = {}
    unpriced: dict[tuple[CustomerId, ModelId, Unit], int] = defaultdict(int)
    for (label, unit), quantity in totals.items():
        if not quantity:
            continue
        unit_of_model = (unit, label.model)
        if unit_of_model not in meter_of:
            price = terms.price_of(*unit_of_model)
            meter_of[unit_of_model] = None if price is None else meters.setdefault(price, {})
        meter = meter_of[unit_of_model]
        if meter is not None:
            meter[label, unit] = quantity
        elif unit is not Unit.REQUESTS:
            unpriced[label.customer, label.model, unit] += quantity
    return meters, tuple(Unpriced(*key, unpriced[key]) for key in sorted(unpriced))


def _spread(amount_pico: int, weights: Mapping[Key, int]) -> dict[Key, int]:
    """Return `split` of the amount; without weights, nothing."""
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
    units = tuple(Unpriced(*key, unpriced[key]) for key in sorted(unpriced))
    return Revenue(tuple(rated), without_plan, units)
