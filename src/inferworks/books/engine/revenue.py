"""What calls used, summed by everything that a price can depend on: the first step of `rate.py`."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from typing import NamedTuple

import ibis
import ibis.expr.types as ir
import pyarrow as pa

from inferworks.accounts.plan import PerUnit, PricePlan, Terms
from inferworks.books.engine.base import Engine, total, whole, whole_divide
from inferworks.books.engine.calls import CUSTOMERS, Grain
from inferworks.books.engine.slots import NO_SLOT, Slots
from inferworks.books.months import months
from inferworks.books.rate import EARNING, PAYING, CallSum, Label, Revenue, rate_calls
from inferworks.books.span import Span
from inferworks.errors import BooksError, MoneyError
from inferworks.ids import CustomerId, KeyId, ModelId, ProjectId
from inferworks.meter.lake_schema import DAY_NS
from inferworks.purpose import Purpose
from inferworks.units import Unit

_UNITS = {
    "fresh": Unit.INPUT_TOKENS,
    "cached": Unit.CACHE_READ_TOKENS,
    "plain": Unit.OUTPUT_TOKENS,
    "reasoned": Unit.REASONING_TOKENS,
    "calls": Unit.REQUESTS,
}
_MOST_EDGES = 128
"""Up to here the plans' dates are compared one by one; beyond, each call looks up its own plan."""


def sums_of_calls(
    engine: Engine, usage: ir.Table, plans: Sequence[PricePlan], span: Span, grain: Grain
) -> ir.Table:
    """What the earning calls opened in `span` used, by label and by the plan in force, kept.

    Columns: customer, project, key_id, model, purpose, day, era, opened_ns (the first), and a column of
    each unit. At the grain of customers the project, the key and the day are left out.
    """
    earning = usage.filter(
        (usage.opened_ns >= span.start_ns)
        & (usage.opened_ns < span.end_ns)
        & usage.purpose.isin([purpose.value for purpose in sorted(EARNING)])
        & usage.outcome.isin([outcome.value for outcome in sorted(PAYING)])
    )
    rows = _with_era(engine, earning, plans, span)
    who: tuple[str, ...] = ("customer", "model", "purpose", "era")
    if grain is not CUSTOMERS:
        day = whole_divide(rows.opened_ns, DAY_NS)
        rows = rows.mutate(day=day)
        who = (*who, "project", "key_id", "day")
    sums = rows.group_by(list(who)).agg(
        opened_ns=rows.opened_ns.min(),
        fresh=total(rows.input_tokens - rows.cache_read_tokens),
        cached=total(rows.cache_read_tokens),
        plain=total(rows.output_tokens - rows.reasoning_tokens),
        reasoned=total(rows.reasoning_tokens),
        calls=total(ibis.literal(1, "int64") + rows.status * 0),
        least=ibis.least(
            (rows.input_tokens - rows.cache_read_tokens).min(),
            rows.cache_read_tokens.min(),
            (rows.output_tokens - rows.reasoning_tokens).min(),
            rows.reasoning_tokens.min(),
        ),
    )
    return engine.keep(sums)


def call_sums(rows: pa.Table) -> Iterable[CallSum]:
    """`rows` of `sums_of_calls` for `rate_calls`. BooksError when a count is negative (theorem 4)."""
    for row in rows.to_pylist():
        if row["least"] < 0:
            raise BooksError(
                f"theorem 4 (bucket): customer {row['customer']} has a negative token count, or a part "
                f"above its whole: {row['least']}"
            )
        label = Label(
            CustomerId(row["customer"]),
            ProjectId(row.get("project", "")),
            KeyId(row.get("key_id", "")),
            ModelId(row["model"]),
            Purpose(row["purpose"]),
            row.get("day", row["opened_ns"] // DAY_NS) * DAY_NS,
        )
        used = tuple((unit, int(row[name])) for name, unit in _UNITS.items())
        yield CallSum(label, row["opened_ns"], int(row["calls"]), used)


class _Era(NamedTuple):
    customer: str
    from_ns: int
    until_ns: int
    number: int


def _with_era(engine: Engine, calls: ir.Table, plans: Sequence[PricePlan], span: Span) -> ir.Table:
    """`calls` with a number `era` for the plan and the month in which each was opened."""
    starts = {edge for month in months(span) for edge in month}
    edges = {at_ns for plan in plans if span.holds(at_ns := plan.effective_ns)}
    if len(edges) <= _MOST_EDGES:
        slots = Slots([Span(at, span.end_ns) for at in edges | starts | {span.start_ns}])
        return calls.mutate(era=slots.number(calls.opened_ns))
    own = engine.table(_own_edges(plans, span))
    calls = calls.left_join(
        own,
        [
            calls.customer == own.of_customer,
            calls.opened_ns >= own.from_ns,
            calls.opened_ns < own.until_ns,
        ],
    )
    month = Slots([Span(at, span.end_ns) for at in starts | {span.start_ns}])
    era = ibis.coalesce(calls.number, NO_SLOT) * (len(starts) + 1) + month.number(calls.opened_ns)
    return calls.mutate(era=era)


def _own_edges(plans: Sequence[PricePlan], span: Span) -> pa.Table:
    rows: list[_Era] = []
    by_customer: dict[str, set[int]] = {}
    for plan in plans:
        by_customer.setdefault(plan.customer, set()).add(plan.effective_ns)
    for customer, starts in sorted(by_customer.items()):
        edges = [*sorted(starts), max(span.end_ns, max(starts) + 1)]
        pairs = pairwise(edges)
        rows += (_Era(customer, *pair, number) for number, pair in enumerate(pairs))
    return pa.table(
        {
            "of_customer": pa.array([row.customer for row in rows], pa.string()),
            "from_ns": pa.array([row.from_ns for row in rows], pa.int64()),
            "until_ns": pa.array([row.until_ns for row in rows], pa.int64()),
            "number": pa.array([row.number for row in rows], pa.int64()),
        }
    )


# --- by customer --------------------------------------------------------------------------------------


class Earned(NamedTuple):
    """What each customer's calls earned, what a reader should know, and how many calls were opened."""

    by_customer: Mapping[str, int]
    notes: tuple[str, ...]
    opened: int

    @property
    def total_pico(self) -> int:
        """The whole revenue."""
        return sum(self.by_customer.values())


def earned(
    engine: Engine, usage: ir.Table, plans: Sequence[PricePlan], span: Span, currency: str
) -> Earned:
    """What the calls opened in `span` earned, by customer.

    Customers who pay so much a unit, and nothing else, are rated by a product in the engine; those with
    tiers, fees or discounts by `rate_calls`, on their sums.
    """
    sums = sums_of_calls(engine, usage, plans, span, CUSTOMERS)
    _refuse_negative(engine, sums)
    opened = _opened(engine, usage, span)
    lists: dict[Terms, int] = {}  # many customers share one
    listed = [(plan, lists.setdefault(plan.terms, len(lists))) for plan in plans]
    plain_lists = {number for terms, number in lists.items() if _is_plain(terms)}
    special = {plan.customer for plan, number in listed if number not in plain_lists}
    named = engine.table(pa.table({"of_customer": pa.array(sorted(special), pa.string())}))
    of_special = sums.semi_join(named, [("customer", "of_customer")])
    rated = rate_calls(
        call_sums(engine.fetch(of_special)),
        [p for p in plans if p.customer in special],
        span,
        currency,
    )
    by_customer: dict[str, int] = defaultdict(int)
    for row in rated.rated:
        by_customer[row.customer] += row.amount_pico
    plain = sums.anti_join(named, [("customer", "of_customer")])
    usual = [(plan, number) for plan, number in listed if plan.customer not in special]
    priced = _priced(engine, plain, usual, lists)
    _refuse_foreign(engine, priced, currency)
    amounts = engine.fetch(priced.group_by("customer").agg(pico=total(priced.pico)))
    for customer, pico in zip(*(amounts[n].to_pylist() for n in ("customer", "pico")), strict=True):
        by_customer[customer] += int(pico)
    notes = _notes(engine, priced, rated)
    return Earned(dict(by_customer), notes, opened)


def _is_plain(terms: Terms) -> bool:
    """Whether `terms` are prices per unit and nothing else."""
    prices = all(isinstance(p.scheme, PerUnit) and not p.included for p in terms.prices)
    return prices and not terms.standing and not terms.discounts


def _priced(
    engine: Engine,
    sums: ir.Table,
    plans: Sequence[tuple[PricePlan, int]],
    lists: Mapping[Terms, int],
) -> ir.Table:
    """`sums` with `list`, the price list in force, its prices, and `pico`, what they earn; kept."""
    models = engine.fetch(sums.select("model").distinct())["model"].to_pylist()
    in_force = engine.table(_in_force(plans, _hashes(lists)))
    prices = engine.table(_price_lists(lists, models))
    rows = sums.left_join(
        in_force,
        [
            sums.customer == in_force.of_customer,
            sums.opened_ns >= in_force.from_ns,
            sums.opened_ns < in_force.until_ns,
        ],
    ).drop("of_customer", "from_ns", "until_ns")
    rows = rows.left_join(prices, [("list", "of_list"), ("model", "of_model")])
    rows = rows.mutate(pico=whole(ibis.literal(0)))
    for name in _UNITS:
        amount = whole(rows[name] * ibis.coalesce(rows[f"price_of_{name}"], 0))
        rows = rows.mutate(pico=whole(rows.pico + amount))
    return engine.keep(rows)


def _hashes(lists: Mapping[Terms, int]) -> list[str]:
    """The hash of each price list, by its number."""
    return [terms.sha256 for terms in sorted(lists, key=lists.__getitem__)]


def _in_force(plans: Iterable[tuple[PricePlan, int]], hashes: Sequence[str]) -> pa.Table:
    """From when until when each customer pays by which price list; of two at once, as `PlanBook`."""
    by_customer: dict[str, dict[int, int]] = defaultdict(dict)
    for plan, number in plans:
        starts = by_customer[plan.customer]
        known = starts.get(plan.effective_ns, number)
        starts[plan.effective_ns] = max(number, known, key=hashes.__getitem__)
    customers: list[str] = []
    starts_ns: list[int] = []
    ends_ns: list[int] = []
    numbers: list[int] = []
    for customer, starts in by_customer.items():
        edges = sorted(starts)
        customers += [customer] * len(edges)
        starts_ns += edges
        ends_ns += [*edges[1:], 2**63 - 1]
        numbers += [starts[edge] for edge in edges]
    return pa.table(
        {
            "of_customer": pa.array(customers, pa.string()),
            "from_ns": pa.array(starts_ns, pa.int64()),
            "until_ns": pa.array(ends_ns, pa.int64()),
            "list": pa.array(numbers, pa.int64()),
        }
    )


def _price_lists(lists: Mapping[Terms, int], models: Sequence[str]) -> pa.Table:
    """What a unit of each model costs on each price list; null where it has no price."""
    rows = [(terms, number, ModelId(model)) for terms, number in lists.items() for model in models]
    columns = {
        f"price_of_{name}": pa.array(
            [terms.rate_of(unit, model) for terms, _, model in rows], pa.int64()
        )
        for name, unit in _UNITS.items()
    }
    return pa.table(
        {
            "of_list": pa.array([row[1] for row in rows], pa.int64()),
            "of_model": pa.array([row[2] for row in rows], pa.string()),
            "money": pa.array([row[0].currency for row in rows], pa.string()),
            **columns,
        }
    )


def _opened(engine: Engine, usage: ir.Table, span: Span) -> int:
    """How many calls were opened in `span`."""
    opened = usage.filter((usage.opened_ns >= span.start_ns) & (usage.opened_ns < span.end_ns))
    return int(engine.fetch(opened.agg(calls=opened.count()))["calls"][0].as_py())


def _refuse_negative(engine: Engine, sums: ir.Table) -> None:
    for row in engine.fetch(sums.filter(sums.least < 0).limit(1)).to_pylist():
        list(call_sums(pa.Table.from_pylist([row])))


def _refuse_foreign(engine: Engine, priced: ir.Table, currency: str) -> None:
    foreign = priced.filter(priced.money != currency)
    for row in engine.fetch(foreign.select("customer", "money").limit(1)).to_pylist():
        raise MoneyError(
            f"the price plan of customer {row['customer']!r} is in {row['money']}, the books are kept in "
            f"{currency}; give the customer a plan in {currency}"
        )


def _notes(engine: Engine, priced: ir.Table, rated: Revenue) -> tuple[str, ...]:
    """What earned nothing for want of a plan or a price, by unit: there may be many customers."""
    nobody = priced.filter(priced.list.isnull())
    [row] = engine.fetch(
        nobody.agg(calls=total(nobody.calls), customers=nobody.customer.nunique())
    ).to_pylist()
    calls = int(row["calls"]) + sum(count for _, count in rated.unpriced)
    customers = int(row["customers"]) + len(rated.unpriced)
    notes = [
        f"{calls} calls of {customers} customers had no price plan in force and earned nothing."
    ]
    left: dict[Unit, int] = defaultdict(int)
    for _, _, unit, quantity in rated.unpriced_units:
        left[unit] += quantity
    for name, unit in _UNITS.items():
        if unit is not Unit.REQUESTS:
            without = priced.filter(priced.list.notnull() & priced[f"price_of_{name}"].isnull())
            found = engine.fetch(without.agg(n=total(without[name])))
            left[unit] += int(found["n"][0].as_py())
    notes = notes if calls else []
    notes += [
        f"{n} {unit} had no price in their plan and earned nothing."
        for unit, n in left.items()
        if n
    ]
    return tuple(notes)
