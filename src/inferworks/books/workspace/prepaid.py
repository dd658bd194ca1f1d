"""Inputs of a statement from before its span: credit, and the earlier totals of months."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from typing import NamedTuple

from inferworks.accounts.credit import Credit
from inferworks.accounts.directory import Directory
from inferworks.accounts.plan import PricePlan
from inferworks.books.accounting.prepaid import Prepaid, days_in_parts
from inferworks.books.calendar.calendars import Calendars, calendars_of
from inferworks.books.calendar.span import Span
from inferworks.books.period import Period
from inferworks.books.repository.store import BookStore
from inferworks.books.revenue.customer_currency import DayRate, day_rates
from inferworks.books.revenue.rating import RatingContext, ToDate, rate, to_date_of
from inferworks.books.statement.counted_facts import counted_facts
from inferworks.books.workspace.late_lines import calendar_of
from inferworks.books.workspace.settings import Settings
from inferworks.folder import DataFolder
from inferworks.ids import CustomerId
from inferworks.meter.facts import Facts


def prepaid_of(
    settings: Settings,
    facts_of: Callable[[Span], Facts],
    plans: Sequence[PricePlan],
    span: Span,
    currency: str,
    directory: Directory,
) -> Prepaid:
    """The credit in the data folder, and what came before `span` of it and of customers' months.

    Calls before `span` are read only where something depends on them: where credit is older, or the span
    begins amid a month for which somebody pays by tiers, fees or discounts.
    """
    folder = settings.folder
    if not settings.has_accounts:
        return Prepaid(to_date=())
    plans = directory.plans(plans)
    rates = _Rates(folder, {plan.currency for plan in plans}, currency)

    def counted(past: Span) -> Facts:
        return counted_facts(facts_of(past), directory)

    earlier = _Earlier(counted, plans, span, calendars_of(directory), rates)
    with settings.accounts() as accounts:
        bought = accounts.credits()
    older = [c for c in directory.credits(bought) if c.bought_ns < span.start_ns]
    earned: tuple[tuple[CustomerId, tuple[tuple[int, int], ...]], ...] = ()
    if older:
        heirs = {merge.into for merge in directory.moves()}
        earned = earlier.earned(older, heirs, calendar_of(folder).closed)
    return Prepaid(tuple(bought), earned, earlier.to_date(), rates.of(span))


class _Rates(NamedTuple):
    """The exchange rates in `folder` from the currencies of plans into that of the books."""

    folder: DataFolder
    currencies: Collection[str]
    currency: str

    def of(self, span: Span) -> tuple[DayRate, ...]:
        """Return the rates of the days of `span`; none where all plans are in the currency of the books."""
        if set(self.currencies) <= {self.currency} or not self.folder.books.exists():
            return ()
        with BookStore(self.folder.books, read_only=True) as store:
            return day_rates(store.rates(), self.currencies, self.currency, span)


class _Earlier(NamedTuple):
    """Calls before `span`, and the plans, clocks and exchange rates by which they are rated."""

    facts_of: Callable[[Span], Facts]
    plans: Sequence[PricePlan]
    span: Span
    calendars: Calendars
    rates: _Rates

    def to_date(self) -> tuple[ToDate, ...]:
        """Return the earlier totals of the months in which the span begins."""
        start_ns = self.span.start_ns
        customers = {plan.customer for plan in self.plans if not plan.terms.is_plain}
        before = Span(self.calendars.since_ns(start_ns, customers), start_ns)
        if not before.length_ns or not customers:
            return ()
        own = [plan for plan in self.plans if plan.customer in customers]
        calls = (usage for usage in self.facts_of(before).usages if usage.customer in customers)
        context = RatingContext((), self.calendars, None)
        rated = rate(calls, own, before, self.rates.currency, context).rated
        return to_date_of(rated, own, start_ns, self.calendars)

    def earned(
        self, older: Sequence[Credit], heirs: Collection[CustomerId], closed: Iterable[Period]
    ) -> tuple[tuple[CustomerId, tuple[tuple[int, int], ...]], ...]:
        """Return what customers with credit, their own or an inherited one, owed by day before the span."""
        customers = {*(credit.customer for credit in older), *heirs}
        first_ns = min(credit.bought_ns for credit in older)
        past = Span(self.calendars.since_ns(first_ns, customers), self.span.start_ns)
        calls = (usage for usage in self.facts_of(past).usages if usage.customer in customers)
        own = [plan for plan in self.plans if plan.customer in customers]
        context = RatingContext(calendars=self.calendars, rates=self.rates.of(past))
        days = days_in_parts(
            calls, own, customers, parts_of(past, closed), self.rates.currency, context
        )
        return tuple((name, tuple(sorted(days[name].items()))) for name in sorted(customers))


def parts_of(past: Span, closed: Iterable[Period]) -> list[int]:
    """The edges of the parts in which `past` is rated: those of the periods that are `closed`."""
    edges = {edge for period in closed for edge in period.span if past.holds(edge)}
    return sorted({*past, *edges})
