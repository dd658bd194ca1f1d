"""The forecast of a running period: the statement so far, known amounts, and the rest at the rate so far.

Problem. On the sixteenth somebody must estimate the whole month. Doubling the figures so far is wrong:
pay and assets are known to the cent, tiers and minimums are not linear, and bills lag behind calls.

Decision. Each line has three parts, shown side by side.

*So far* is the statement until now. Time without calls counts too: a rate that ends with the last call
would extend four hours with two calls to a month. If calls are recorded days later, the user gives the
moment until which they are complete; a forecast cannot know it, and remarks that it may be so. Less than
a day is no basis for a month, which is remarked too.

*Known* needs no estimate: the rest, by time, of every charge that reaches beyond that moment (pay,
assets, commitments, accruals of expected bills), what is recorded for later days, and subscriptions. Its
functions are those of the same charge so far, else of its pool; else of its department, or unallocated.

*At the rate so far* is the rest. Use is expected to go on: what customers use of each unit is extended by
time and rated together with what they have used, so that tiers, discounts, minimums and a price that
begins later are those of their plans. A supplier's lines of use that are over go on as it billed them
until the end of its last one, not until today; where calls at its API are estimated, they are known until
today. One-time items (a purchase, a credit, an adjustment, a correction of a closed period, credit that
expires) are not extended, nor is a supplier with an accrual, which covers the whole month.

A forecast is provisional as a whole: it is never booked, sealed or kept.

Rejected. Trends and seasons (a month of days shows none above the noise, and better knowledge belongs in
a budget); extending each day of the week by itself (four samples); one factor for everything.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from fractions import Fraction
from typing import Final, NamedTuple

from inferworks.books.allocation.allocate import Allocated, Target
from inferworks.books.allocation.departments import Department
from inferworks.books.allocation.pools import behaviour_of, pool_of
from inferworks.books.analysis.comparatives import CAPTIONS, figures
from inferworks.books.calendar.calendars import calendars_of
from inferworks.books.calendar.span import Span
from inferworks.books.charge import (
    COST_OF_REVENUE,
    Charge,
    Function,
    is_accrual,
    is_provisional,
)
from inferworks.books.revenue.customer_currency import until
from inferworks.books.revenue.rating import CallSum, Item, Rated, RatingContext, rate_calls
from inferworks.books.statement.computation import Computation
from inferworks.books.statement.statement import Statement
from inferworks.errors import BooksError
from inferworks.money import format_pico, split
from inferworks.units import NS_PER_SECOND

DAY_NS: Final = 86_400 * NS_PER_SECOND
METHODS: Final = (
    "So far: the statement until now, or until when all is recorded (--until).",
    "Known: the rest, by time, of charges that reach further: pay, assets, rent.",
    "Known, too: accruals, what is recorded for later days, subscriptions.",
    "At the rate: what customers use, extended by time and rated by their plans.",
    "At the rate, too: a supplier's lines of use, as billed until its last one ends.",
    "What is estimated from calls goes on as it was estimated until now.",
    "What happens once is not extended. A forecast is never booked or kept.",
)
"""Method of a forecast, in sentences."""


class ForecastLine(NamedTuple):
    """One line of the statement, in picounits."""

    name: str
    """Name of the line, as in `CAPTIONS`."""
    so_far_pico: int
    known_pico: int
    rate_pico: int

    @property
    def total_pico(self) -> int:
        """Return the expected total of the period, in picounits."""
        return self.so_far_pico + self.known_pico + self.rate_pico

    def to_json(self) -> dict[str, str]:
        """Return the JSON values; amounts as exact decimal strings."""
        return {
            "line": self.name,
            "so_far": format_pico(self.so_far_pico),
            "known": format_pico(self.known_pico),
            "at_the_rate_so_far": format_pico(self.rate_pico),
            "forecast": format_pico(self.total_pico),
        }


class Forecast(NamedTuple):
    """Expected figures of a running period."""

    span: Span
    """The whole period."""
    at_ns: int
    """End of the time that is recorded completely, in nanoseconds."""
    currency: str
    policy: str
    lines: tuple[ForecastLine, ...]
    notes: tuple[str, ...] = ()
    """Remarks on the rate."""

    def to_json(self) -> dict[str, object]:
        """Return the JSON values."""
        return {
            "provisional": True,
            "start_ns": self.span.start_ns,
            "at_ns": self.at_ns,
            "end_ns": self.span.end_ns,
            "currency": self.currency,
            "policy": self.policy,
            "methods": list(METHODS),
            "lines": [line.to_json() for line in self.lines],
        }


def forecast(
    statement: Statement, computation: Computation, ahead: Sequence[Charge], end_ns: int
) -> Forecast:
    """The forecast of the period that `statement` covers so far and that ends at `end_ns`.

    `computation` is that of `statement`, without corrections; `ahead` are the charges of the rest of the
    period, cut to it. Pure. BooksError when nothing of it has passed, or nothing is left.
    """
    passed = computation.span
    if not passed.start_ns < passed.end_ns < end_ns:
        raise BooksError("a forecast needs a period that has begun and has not ended")
    rest = Span(passed.end_ns, end_ns)
    known, at_rate = _revenue(computation, rest)
    functions = _functions(computation)
    known_costs: dict[Function, int] = defaultdict(int)
    for charge in ahead:
        for function, pico in split(charge.amount_pico, functions(charge)).items():
            known_costs[function] += pico
    so_far = figures(statement)
    coming = _figures(known, known_costs)
    over = _over(computation)
    ongoing = _figures(at_rate, _extended(over, computation, rest))
    notes = [
        f"{issuer} has billed less than a day of it: its rate may be far off."
        for issuer, items in sorted(over.items())
        if _known_until_ns(items, passed) - passed.start_ns < DAY_NS
    ]
    if passed.length_ns < DAY_NS:
        notes = ["Less than a day of it has passed: what stands at the rate may be far off."]
    return Forecast(
        Span(passed.start_ns, end_ns),
        passed.end_ns,
        statement.currency,
        statement.policy,
        tuple(ForecastLine(name, so_far[name], coming[name], ongoing[name]) for name in CAPTIONS),
        tuple(notes),
    )


def _figures(revenue_pico: int, costs: Mapping[Function, int]) -> dict[str, int]:
    """Amounts by the names of `CAPTIONS`, as `comparatives.figures` has them of a statement."""
    cost_pico = sum(costs.get(function, 0) for function in COST_OF_REVENUE)
    below = {
        "research_and_development": costs.get(Function.RESEARCH_AND_DEVELOPMENT, 0),
        "sales_and_marketing": costs.get(Function.SALES_AND_MARKETING, 0),
        "general_and_administrative": costs.get(Function.GENERAL_AND_ADMINISTRATIVE, 0),
    }
    return {
        "revenue": revenue_pico,
        "cost_of_revenue": cost_pico,
        "unused_capacity": costs.get(Function.UNUSED_CAPACITY, 0),
        "gross_margin": revenue_pico - cost_pico,
        **below,
        "operating_result": revenue_pico - cost_pico - sum(below.values()),
    }


def _revenue(computation: Computation, rest: Span) -> tuple[int, int]:
    """Return the coming revenue of subscriptions, and that of use rated together with the use so far."""
    passed, calendars = computation.span, calendars_of(computation.customers)
    rated = [row for row in computation.revenue.rated if row.item is not Item.BREAKAGE]
    used = [row for row in rated if row.item is Item.USAGE and row.unit is not None]
    sums = [
        *_sums(used, lambda row: (row.day_ns, max(row.day_ns, row.effective_ns), row.quantity)),
        *_sums(
            used,
            lambda row: (
                *(calendars.of(row.customer).booked_ns(rest.start_ns), rest.start_ns),
                _part(row.quantity, rest.length_ns, passed.length_ns),
            ),
        ),
    ]
    whole = rate_calls(
        sums,
        computation.plans,
        Span(passed.start_ns, rest.end_ns),
        computation.currency,
        RatingContext(computation.to_date, calendars, until(computation.rates, rest)),
    ).rated
    fees = _fees(whole) - _fees(rated)
    come_pico = sum(row.amount_pico for row in whole) - sum(row.amount_pico for row in rated)
    return fees, come_pico - fees


def _sums(
    rows: Sequence[Rated], when: Callable[[Rated], tuple[int, int, int]]
) -> Iterator[CallSum]:
    """`rows` as calls of a day, opened at a moment, of a quantity."""
    for row in rows:
        if row.unit is not None:
            day_ns, opened_ns, quantity = when(row)
            label = row.label._replace(day_ns=day_ns)
            yield CallSum(label, opened_ns, 0, ((row.unit, quantity),))


def _fees(rows: Sequence[Rated]) -> int:
    return sum(row.amount_pico for row in rows if row.item is Item.SUBSCRIPTION)


def _over(computation: Computation) -> dict[str, list[Allocated]]:
    """The lines of use that are over and go on, by supplier."""
    passed = computation.span
    accrued = {charge.issuer.casefold() for charge in computation.given if is_accrual(charge)}
    ends = {charge.id: charge.period_end_ns for charge in computation.given}
    over: dict[str, list[Allocated]] = defaultdict(list)
    for item in computation.allocated:
        charge = item.charge
        waits = charge.issuer.casefold() in accrued and not is_provisional(charge)
        once = dict(charge.other).get("ChargeFrequency") == "One-Time" or charge.charge_class
        is_use = charge.charge_category == "Usage" and not once
        if is_use and ends[charge.id] <= passed.end_ns and not waits:
            over[charge.issuer].append(item)
    return over


def _extended(
    over: Mapping[str, Sequence[Allocated]], computation: Computation, rest: Span
) -> dict[Function, int]:
    """Return the expected cost of suppliers' use in `rest`, at the rate of the lines that are `over`."""
    passed = computation.span
    sums: dict[Function, int] = defaultdict(int)
    for items in over.values():
        until_ns = _known_until_ns(items, passed)
        parts: dict[Function, int] = defaultdict(int)
        for item in items:
            for function, pico in _by_function(item, computation).items():
                parts[function] += pico
        left_ns, billed_ns = rest.end_ns - until_ns, until_ns - passed.start_ns
        for function, pico in parts.items():
            sums[function] += _part(pico, left_ns, billed_ns)
    return sums


def _known_until_ns(items: Iterable[Allocated], passed: Span) -> int:
    """Return the end of the time with known cost of a supplier's use: of its last line, or of estimates."""
    if any(is_provisional(item.charge) for item in items):
        return passed.end_ns
    return max(item.charge.period_end_ns for item in items)


def _functions(computation: Computation) -> Callable[[Charge], dict[Function, int]]:
    """Return weights of a coming charge's functions: its own so far, its pool's, or the policy's."""
    by_id = {item.charge.id: _by_function(item, computation) for item in computation.allocated}
    by_pool: dict[str, dict[Function, int]] = defaultdict(lambda: defaultdict(int))
    for item in computation.allocated:
        for function, pico in by_id[item.charge.id].items():
            by_pool[item.pool][function] += pico
    drivers, policy = computation.drivers, computation.policy

    def weights(charge: Charge) -> dict[Function, int]:
        pool = pool_of(charge, computation.pools, drivers.nodes, drivers.billing)
        for known in (by_id.get(charge.id, {}), {} if charge.department else by_pool[pool.name]):
            if any(known.values()):
                return {function: abs(pico) for function, pico in known.items()}
        department = Department(charge.department) if charge.department else None
        target = Target(department=department, unallocated=None if department else pool.name)
        behaviour = behaviour_of(charge, pool)
        return {policy.function(target.use, charge.natural_class, behaviour): 1}

    return weights


def _by_function(item: Allocated, computation: Computation) -> dict[Function, int]:
    sums: dict[Function, int] = defaultdict(int)
    for row in item.rows:
        function = computation.policy.function(row.target.use, row.natural_class, row.behaviour)
        sums[function] += row.amount_pico
    return sums


def _part(quantity: int, left_ns: int, passed_ns: int) -> int:
    """Return the quantity in `left_ns` at the rate of `quantity` in `passed_ns`, rounded half to even."""
    return round(Fraction(quantity * left_ns, passed_ns)) if passed_ns > 0 else 0
