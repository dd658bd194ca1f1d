"""The price plans of customers over time: the plan in force at a moment, the part of a month it rates."""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterable
from typing import NamedTuple, TypeAlias

from inferworks.accounts.plan import PricePlan
from inferworks.books.calendar.calendars import IN_UTC, Calendars
from inferworks.books.calendar.span import Span
from inferworks.books.revenue.price_schemes import Times
from inferworks.ids import CustomerId

_FOR_EVER_NS = 2**63


class BillingPeriod(NamedTuple):
    """A plan and the part of a month in which it is rated."""

    plan: PricePlan
    number: int
    """Number of the plan among its customer's, in order of time."""
    times: Times
    terms_sha256: str

    @property
    def month(self) -> tuple[CustomerId, int]:
        """Key of the customer's month that it is part of."""
        return self.plan.customer, self.times.month.start_ns

    @property
    def key(self) -> tuple[CustomerId, int, int]:
        """Key of the period; sorts in order of time."""
        return self.plan.customer, self.times.month.start_ns, self.number


PeriodKey: TypeAlias = tuple[CustomerId, int, int]
"""A customer, the first moment of a month, and the number of a plan."""


class PlanBook:
    """Plans by customer and time, for one span."""

    def __init__(
        self,
        plans: Iterable[PricePlan],
        span: Span,
        calendars: Calendars = IN_UTC,
        *,
        alone: bool = False,
    ) -> None:
        """Keep `plans`; their order leaves no trace. `alone` cuts all their times to the span."""
        self._span = span
        self.calendars = calendars
        self.alone = alone
        self._plans: dict[CustomerId, list[PricePlan]] = defaultdict(list)
        for plan in sorted(plans, key=lambda plan: (plan.effective_ns, plan.terms.sha256)):
            self._plans[plan.customer].append(plan)
        self._starts = {
            customer: [plan.effective_ns for plan in plans]
            for customer, plans in self._plans.items()
        }
        self._hashes: dict[PricePlan, str] = {}
        self._known: dict[PeriodKey, BillingPeriod] = {}

    def period(self, customer: CustomerId, at_ns: int) -> BillingPeriod | None:
        """The plan of `customer` in force at `at_ns`, and the part of its month within the span."""
        number = bisect_right(self._starts.get(customer, ()), at_ns) - 1
        if number < 0:
            return None
        month = self.calendars.of(customer).month(at_ns)
        key = (customer, month.start_ns, number)
        if key not in self._known:
            self._known[key] = self._period(customer, number, month)
        return self._known[key]

    def standing(self) -> Iterable[BillingPeriod]:
        """The periods within the span that cost something even if nothing is used."""
        for customer, plans in self._plans.items():
            calendar = self.calendars.of(customer)
            for number, plan in enumerate(plans):
                if plan.terms.standing:
                    for month in calendar.months(self._fees(customer, number).meet(*self._span)):
                        yield self._period(customer, number, month)

    def begun(self, names: Iterable[tuple[CustomerId, int, str]]) -> Iterable[BillingPeriod]:
        """Yield the periods of `names` (customer, effective, hash) in the month that the span begins in."""
        for customer, effective_ns, terms_sha256 in names:
            period = self.period(customer, max(effective_ns, self._span.start_ns))
            if period is not None and period.terms_sha256 == terms_sha256:
                yield period

    def months(self, periods: Iterable[BillingPeriod]) -> Iterable[list[BillingPeriod]]:
        """By customer and month, in order: `periods` and those before the last of them in its month."""
        last: dict[tuple[CustomerId, int], BillingPeriod] = {}
        for period in periods:
            known = last.get(period.month, period)
            last[period.month] = period if period.number >= known.number else known
        for key in sorted(last):
            customer, until = key[0], last[key]
            first = max(0, bisect_right(self._starts[customer], key[1]) - 1)
            yield [
                self._period(customer, number, until.times.month)
                for number in range(min(first, until.number), until.number + 1)
            ]

    def _period(self, customer: CustomerId, number: int, month: Span) -> BillingPeriod:
        plan = self._plans[customer][number]
        if plan not in self._hashes:
            self._hashes[plan] = plan.terms.sha256
        in_force = self._in_force(customer, number).meet(*month)
        times = Times(month, in_force, self._fees(customer, number).meet(*month), self._span)
        if self.alone:
            inside = in_force.meet(*self._span)
            times = Times(month, inside, inside, inside)
        return BillingPeriod(plan, number, times, self._hashes[plan])

    def _in_force(self, customer: CustomerId, number: int) -> Span:
        starts = self._starts[customer]
        end_ns = starts[number + 1] if number + 1 < len(starts) else _FOR_EVER_NS
        return Span(starts[number], end_ns)

    def _fees(self, customer: CustomerId, number: int) -> Span:
        """The days whose fees are those of a plan: the day of a change is the new one's."""
        start_ns, end_ns = self._in_force(customer, number)
        if self.alone:
            return Span(start_ns, end_ns)
        calendar, is_last = self.calendars.of(customer), end_ns == _FOR_EVER_NS
        return Span(
            start_ns if number == 0 else calendar.day(start_ns).start_ns,
            end_ns if is_last else calendar.day(end_ns).start_ns,
        )
