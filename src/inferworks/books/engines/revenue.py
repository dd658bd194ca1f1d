"""Revenue of calls by customer: the second step of `rating.py`, on the use summed in `used.py`."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from decimal import Decimal
from typing import NamedTuple

import ibis
import ibis.expr.types as ir
import pyarrow as pa

from inferworks.accounts.plan import PricePlan, Terms
from inferworks.books.accounting.prepaid import settled
from inferworks.books.calendar.calendars import Calendars
from inferworks.books.calendar.span import Span
from inferworks.books.engines.base import Engine, integers, small_table, total, whole
from inferworks.books.engines.granularity import CUSTOMERS, TARGETS
from inferworks.books.engines.lake import Apart, ByDay, Lake
from inferworks.books.engines.used import UNITS, call_sums, sums_of_calls
from inferworks.books.revenue.rating import Rated, Revenue, Unpriced, rate_calls
from inferworks.books.statement.computation import Inputs
from inferworks.ids import CustomerId, ModelId
from inferworks.meter.archive.schema import DAY_NS
from inferworks.units import Unit

_FOR_EVER_NS = 2**63 - 1


class Earned(NamedTuple):
    """Revenue of each customer's calls, the use without a price, and the number of calls opened."""

    by_customer: Mapping[str, int]
    foreign: Sequence[Rated]
    """The amounts of those who pay in another currency."""
    unrated: Revenue
    """The calls without a plan and the units without a price; no amounts."""
    opened: int

    @property
    def total_pico(self) -> int:
        """The whole revenue."""
        return sum(self.by_customer.values())


def earned(engine: Engine, lake: Lake, inputs: Inputs) -> Earned:
    """Return the revenue of the calls opened in the span by customer, and their credit that expired.

    Customers who pay so much a unit, and nothing else, are rated by a product in the engine; those with
    tiers, fees or discounts by `rate_calls`, on their sums; those who bought credit, or pay in another
    currency, too, by day, for credit is used up in order of time, and rates are those of days.
    """
    span, currency, directory = inputs.span, inputs.currency, inputs.rules.customers
    plans, rating = directory.plans(inputs.plans), inputs.rating
    calls = lake.by_day("calls", span, _cut_days(plans, rating.calendars, span))
    sums = sums_of_calls(engine, calls, plans, span, CUSTOMERS, rating.calendars)

    def rated_apart(sums: ir.Table, customers: AbstractSet[CustomerId]) -> Revenue:
        """Return the revenue of `customers` by their own plans, from the `sums` of their calls."""
        own = [plan for plan in plans if plan.customer in customers]
        before = rating.to_date and [t for t in rating.to_date if t.customer in customers]
        calls = call_sums(engine.fetch(sums))
        return rate_calls(calls, own, span, currency, rating._replace(to_date=before))

    largest = {name: sums[name].max() for name in UNITS}
    [extremes] = engine.fetch(sums.agg(**largest, least=sums.least.min())).to_pylist()
    if (extremes["least"] or 0) < 0:
        for row in engine.fetch(sums.filter(sums.least < 0).limit(1)).to_pylist():
            list(call_sums(pa.Table.from_pylist([row])))  # refuses the negative count (theorem 4)
    units = tuple(name for name in UNITS if extremes[name])
    buyers = {credit.customer for credit in inputs.prepaid.credits}
    buyers |= {merger.survivor for merger in directory.counted()}  # who may have what others bought
    buyers |= {plan.customer for plan in plans if plan.currency != currency}  # a rate is of a day
    special_terms = {terms for terms in {plan.terms for plan in plans} if not terms.is_plain}
    special: set[CustomerId] = set()
    if special_terms:
        special = {plan.customer for plan in plans if plan.terms in special_terms} - buyers
    rated: list[Revenue] = []
    if special:
        rated.append(rated_apart(_of(engine, sums, special), special))
    if buyers:
        calls_of_buyers = ByDay(None, _of(engine, lake.usage, buyers))
        daily = sums_of_calls(engine, calls_of_buyers, plans, span, TARGETS, rating.calendars)
        revenue = rated_apart(daily, buyers)
        rated.append(settled(revenue, inputs.prepaid, span, currency, directory=directory))
    by_customer: dict[str, int] = defaultdict(int)
    for row in (row for revenue in rated for row in revenue.rated):
        by_customer[row.customer] += row.amount_pico
    apart = special | buyers
    if apart:
        sums = sums.anti_join(_names(engine, apart), [("customer", "of_customer")])
    usual = [plan for plan in plans if plan.customer not in apart]
    priced = _priced(engine, sums, usual, units)
    amounts = priced.filter(priced.has_price > 0).group_by("customer").agg(pico=total(priced.pico))
    rows = engine.fetch(amounts)  # once: two fetches may come in two orders
    by_customer.update(zip(rows["customer"].to_pylist(), integers(rows["pico"]), strict=True))
    foreign = [row for revenue in rated for row in revenue.rated if row.owed is not None]
    return Earned(
        dict(by_customer),
        foreign,
        _unrated(engine, priced, rated, units),
        _opened(engine, lake, span),
    )


def _of(engine: Engine, rows: ir.Table, customers: Iterable[str]) -> ir.Table:
    """The `rows` of `customers`."""
    return rows.semi_join(_names(engine, customers), [("customer", "of_customer")])


def _names(engine: Engine, customers: Iterable[str]) -> ir.Table:
    return small_table(engine, {"of_customer": sorted(customers)}, {})


def _priced(
    engine: Engine,
    sums: ir.Table,
    plans: Sequence[PricePlan],
    units: Sequence[str],
) -> ir.Table:
    """`sums` with `list`, the price list in force, its prices, and `pico`, what `units` earn; kept.

    `has_price` counts the units that were used and have one.
    """
    models = engine.fetch(sums.select("model").distinct())["model"].to_pylist()
    terms = {plan.terms for plan in plans}  # many customers share one
    # in the order of their hashes: of two price lists that begin at once, the last is in force
    lists = {own: n for n, own in enumerate(sorted(terms, key=lambda own: own.sha256))}
    in_force = _in_force(engine, plans, lists)
    prices = engine.table(_price_lists(lists, models, units))
    columns = ("customer", "model", "opened_ns", *dict.fromkeys(("calls", *units)))
    rows = sums.select(*columns)
    rows = rows.left_join(
        in_force,
        [
            rows.customer == in_force.of_customer,
            rows.opened_ns >= in_force.from_ns,
            rows.opened_ns < in_force.until_ns,
        ],
    ).drop("of_customer", "from_ns", "until_ns")
    rows = rows.left_join(prices, [("list", "of_list"), ("model", "of_model")])
    rows = rows.mutate(pico=whole(ibis.literal(0)), has_price=ibis.literal(0, "int64"))
    for name in units:
        price = rows[f"price_of_{name}"]
        amount = whole(rows[name] * ibis.coalesce(price, 0))
        used = (rows[name] > 0) & price.notnull()
        rows = rows.mutate(
            pico=whole(rows.pico + amount), has_price=rows.has_price + used.cast("int64")
        )
    return engine.keep(rows.drop("opened_ns", "of_list", "of_model"))


def _in_force(engine: Engine, plans: Sequence[PricePlan], lists: Mapping[Terms, int]) -> ir.Table:
    """Return the spans in which each customer pays by a price list; of two at once, as `PlanBook`."""
    starts = small_table(
        engine,
        {"of_customer": (plan.customer for plan in plans)},
        {
            "from_ns": (plan.effective_ns for plan in plans),
            "list": (lists[plan.terms] for plan in plans),
        },
    )
    starts = starts.group_by(["of_customer", "from_ns"]).agg(list=starts["list"].max())
    following = starts.from_ns.lead().over(group_by="of_customer", order_by="from_ns")
    return engine.keep(starts.mutate(until_ns=ibis.coalesce(following, _FOR_EVER_NS)))


def _price_lists(
    lists: Mapping[Terms, int], models: Sequence[str], units: Iterable[str]
) -> pa.Table:
    """Return the price of each of `units` of each model on each price list; null where it has none."""
    rows = [(terms, number, ModelId(model)) for terms, number in lists.items() for model in models]
    columns: dict[str, pa.Array] = {}
    for name in units:  # ten million of a small currency for one unit are more than 64 bits hold
        prices = [terms.rate_of(UNITS[name], model) for terms, _, model in rows]
        known = [None if price is None else Decimal(price) for price in prices]
        columns[f"price_of_{name}"] = pa.array(known, pa.decimal128(38, 0))
    return pa.table(
        {
            "of_list": pa.array([row[1] for row in rows], pa.int64()),
            "of_model": pa.array([row[2] for row in rows], pa.string()),
            **columns,
        }
    )


def _opened(engine: Engine, lake: Lake, span: Span) -> int:
    """Return the number of calls opened in `span`."""
    sums, rows = lake.by_day("calls", span)
    if rows is not None:
        rows = rows.mutate(calls=ibis.literal(1, "int64"))
    opened = ByDay(sums, rows).united(["opened_ns", "calls"])
    opened = opened.filter((opened.opened_ns >= span.start_ns) & (opened.opened_ns < span.end_ns))
    return int(engine.fetch(opened.agg(calls=total(opened.calls)))["calls"][0].as_py())


def _cut_days(plans: Iterable[PricePlan], calendars: Calendars, span: Span) -> Apart:
    """The customers whose price or month changes amid a day, and those days."""
    edges = {(plan.customer, plan.effective_ns) for plan in plans}
    for customer, clock in calendars.zoned.items():
        edges |= {(customer, edge) for month in clock.months(span) for edge in month}
    pairs = sorted(
        {
            (customer, edge // DAY_NS)
            for customer, edge in edges
            if edge % DAY_NS and span.holds(edge)
        }
    )
    return Apart([customer for customer, _ in pairs], [day for _, day in pairs])


def _unrated(
    engine: Engine, priced: ir.Table, rated: Sequence[Revenue], units_used: Iterable[str]
) -> Revenue:
    """Return the use that earned nothing for want of a plan or a price, in the order of `rate`."""
    nobody = priced.filter(priced.list.isnull())
    nobody = nobody.group_by("customer").agg(calls=total(nobody.calls))
    calls = [
        (CustomerId(row["customer"]), int(row["calls"])) for row in engine.fetch(nobody).to_pylist()
    ]
    units: list[Unpriced] = []
    for name in units_used:
        if UNITS[name] is Unit.REQUESTS:
            continue
        without_price = priced.filter(
            priced.list.notnull() & priced[f"price_of_{name}"].isnull() & (priced[name] > 0)
        )
        sums = without_price.group_by(["customer", "model"])
        for row in engine.fetch(sums.agg(quantity=total(without_price[name]))).to_pylist():
            customer, model = CustomerId(row["customer"]), ModelId(row["model"])
            units.append(Unpriced(customer, model, UNITS[name], int(row["quantity"])))
    calls += [pair for revenue in rated for pair in revenue.unpriced]
    units += [unpriced for revenue in rated for unpriced in revenue.unpriced_units]
    return Revenue((), tuple(sorted(calls)), tuple(sorted(units)))
