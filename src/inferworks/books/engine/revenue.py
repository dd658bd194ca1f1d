"""What calls used, summed by everything that a price can depend on: the first step of `rate.py`."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from functools import reduce
from itertools import pairwise
from operator import sub
from typing import NamedTuple

import ibis
import ibis.expr.types as ir
import pyarrow as pa

from inferworks.accounts.directory import ALONE, Directory
from inferworks.accounts.plan import PricePlan, Terms
from inferworks.books.calendars import IN_UTC, Calendars, calendars_of
from inferworks.books.engine.base import Engine, integers, total, whole
from inferworks.books.engine.grain import CUSTOMERS, TARGETS, Grain
from inferworks.books.engine.midnights import with_midnights
from inferworks.books.engine.slots import NO_SLOT, Slots
from inferworks.books.months import months
from inferworks.books.rate import (
    EARNING,
    PAYING,
    CallSum,
    Label,
    Rated,
    Revenue,
    Unpriced,
    rate_calls,
)
from inferworks.books.span import Span
from inferworks.books.wallet import NOTHING_PREPAID, Prepaid, settled
from inferworks.errors import BooksError
from inferworks.ids import CustomerId, KeyId, ModelId, ProjectId
from inferworks.purpose import Purpose
from inferworks.units import Unit

_UNITS = {
    "fresh": Unit.INPUT_TOKENS,
    "cached": Unit.CACHE_READ_TOKENS,
    "kept": Unit.CACHE_WRITE_TOKENS,
    "kept_1h": Unit.CACHE_WRITE_1H_TOKENS,
    "heard": Unit.INPUT_AUDIO_TOKENS,
    "seen": Unit.INPUT_IMAGE_TOKENS,
    "plain": Unit.OUTPUT_TOKENS,
    "reasoned": Unit.REASONING_TOKENS,
    "spoken": Unit.OUTPUT_AUDIO_TOKENS,
    "drawn": Unit.OUTPUT_IMAGE_TOKENS,
    "images": Unit.IMAGES,
    "audio_ms": Unit.AUDIO_MS,
    "characters": Unit.CHARACTERS,
    "searches": Unit.SEARCHES,
    "calls": Unit.REQUESTS,
}
_PARTS = {
    ("cache_read_tokens", "cache_write_tokens"): "input_tokens",
    ("cache_write_1h_tokens",): "cache_write_tokens",
    ("input_audio_tokens", "input_image_tokens"): "input_tokens",
    ("reasoning_tokens",): "output_tokens",
    ("output_audio_tokens", "output_image_tokens"): "output_tokens",
}
"""Which counts of a call are parts of which, and cannot be more together."""
_RARE = {
    "reasoning_tokens": "reasoned",
    "cache_write_tokens": "kept",
    "cache_write_1h_tokens": "kept_1h",
    "input_audio_tokens": "heard",
    "input_image_tokens": "seen",
    "output_audio_tokens": "spoken",
    "output_image_tokens": "drawn",
    "images": "images",
    "audio_ms": "audio_ms",
    "characters": "characters",
    "searches": "searches",
}
"""Counts that are zero throughout many books, and the bucket of `_UNITS` that each is for."""
_FOR_EVER_NS = 2**63 - 1
_MOST_EDGES = 128
"""Up to here the plans' dates are compared one by one; beyond, each call looks up its own plan."""


def sums_of_calls(
    engine: Engine,
    usage: ir.Table,
    plans: Sequence[PricePlan],
    span: Span,
    grain: Grain,
    calendars: Calendars = IN_UTC,
) -> ir.Table:
    """What the earning calls opened in `span` used, by label and by the plan in force, kept.

    Columns: customer, project, key_id, model, purpose, day_ns, era, opened_ns (the first), and a column of
    each unit. At the grain of customers the project, the key and the day are left out.
    """
    zeros = _zeros(engine, usage)
    usage = usage.mutate(**{name: ibis.literal(0, "int64") for name in zeros})
    earning = usage.filter(
        (usage.opened_ns >= span.start_ns)
        & (usage.opened_ns < span.end_ns)
        & usage.purpose.isin([purpose.value for purpose in sorted(EARNING)])
        & usage.outcome.isin([outcome.value for outcome in sorted(PAYING)])
    )
    rows = with_midnights(engine, _with_era(engine, earning, plans, span), calendars, span)
    who: tuple[str, ...] = ("customer", "model", "purpose", "era")
    if calendars.zoned:
        who = (*who, "month")
    if grain is not CUSTOMERS:
        who = (*who, "project", "key_id", "day_ns")
    empty = [_RARE[name] for name in zeros]
    rows = rows.mutate(**_buckets(rows, zeros), least=_least(rows, zeros))
    sums = engine.keep(
        rows.group_by(list(who)).agg(
            opened_ns=rows.opened_ns.min(),
            least=rows.least.min(),
            calls=whole(rows.count()),
            **{name: total(rows[name]) for name in _UNITS if name not in ("calls", *empty)},
        )
    )
    return sums.mutate(**{name: whole(ibis.literal(0)) for name in empty})


def _zeros(engine: Engine, usage: ir.Table) -> frozenset[str]:
    """The rare counts that are zero throughout `usage`.

    A column of zeros is quickly looked through; the sums of ten of them are a third of the pass.
    """
    looked = engine.fetch(usage.agg(**{name: (usage[name] != 0).any() for name in _RARE}))
    return frozenset(name for name in _RARE if not looked[name][0].as_py())


def _buckets(rows: ir.Table, zeros: AbstractSet[str]) -> dict[str, ir.Value]:
    """Every unit of a call, in exactly one bucket each: `rate.buckets_of` as columns."""

    def part(name: str, of: ir.Value) -> ir.Value:
        return rows[name] if name in zeros else ibis.least(rows[name], of)

    uncached = rows.input_tokens - rows.cache_read_tokens - rows.cache_write_tokens
    heard = part("input_audio_tokens", uncached)
    seen = part("input_image_tokens", uncached - heard)
    said = rows.output_tokens - rows.reasoning_tokens
    spoken = part("output_audio_tokens", said)
    drawn = part("output_image_tokens", said - spoken)
    return {
        "fresh": uncached - heard - seen,
        "cached": rows.cache_read_tokens,
        "kept": rows.cache_write_tokens - rows.cache_write_1h_tokens,
        "kept_1h": rows.cache_write_1h_tokens,
        "heard": heard,
        "seen": seen,
        "plain": said - spoken - drawn,
        "reasoned": rows.reasoning_tokens,
        "spoken": spoken,
        "drawn": drawn,
    }


def _least(rows: ir.Table, zeros: AbstractSet[str]) -> ir.Value:
    """Below zero when the counts of a call contradict themselves, as `Tokens.flaw` has it.

    A whole that is not less than its parts is not negative when they are not; zeros are neither.
    """
    counts = {"input_tokens", "output_tokens", "cache_read_tokens", *_RARE} - zeros
    parted = [(of, counts.intersection(parts)) for parts, of in _PARTS.items()]
    rests = [
        reduce(sub, (rows[name] for name in sorted(parts)), rows[of])
        for of, parts in parted
        if parts
    ]
    single = counts - {of for of, parts in parted if parts}
    return ibis.least(*rests, *(rows[name] for name in sorted(single)))


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
            row.get("day_ns", row["opened_ns"]),
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
    """What each customer's calls earned, what of them had no price, and how many calls were opened."""

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


def earned(
    engine: Engine,
    usage: ir.Table,
    plans: Sequence[PricePlan],
    span: Span,
    currency: str,
    prepaid: Prepaid = NOTHING_PREPAID,
    directory: Directory = ALONE,
) -> Earned:
    """What the calls opened in `span` earned, by customer, and what expired of their credit.

    Customers who pay so much a unit, and nothing else, are rated by a product in the engine; those with
    tiers, fees or discounts by `rate_calls`, on their sums; those who bought credit, or pay in another
    currency, too, by day, for credit is used up in order of time, and rates are those of days.
    """
    calendars = calendars_of(directory)
    sums = sums_of_calls(engine, usage, plans, span, CUSTOMERS, calendars)

    def rated_apart(sums: ir.Table, customers: AbstractSet[CustomerId]) -> Revenue:
        """What `customers`, whose calls came to `sums`, are to pay by the plans that are their own."""
        own = [plan for plan in plans if plan.customer in customers]
        before = prepaid.to_date and [one for one in prepaid.to_date if one.customer in customers]
        calls = call_sums(engine.fetch(sums))
        return rate_calls(calls, own, span, currency, before, calendars, prepaid.rates)

    units = _used(engine, sums)
    buyers = {credit.customer for credit in prepaid.credits}
    buyers |= {one.survivor for one in directory.counted()}  # who may have what others bought
    buyers |= {plan.customer for plan in plans if plan.currency != currency}  # a rate is of a day
    special = _not_plain(plans) - buyers
    rated: list[Revenue] = []
    if special:
        own = _of(engine, sums, special)
        rated.append(rated_apart(own, special))
    if buyers:
        daily = sums_of_calls(engine, _of(engine, usage, buyers), plans, span, TARGETS, calendars)
        apart = rated_apart(daily, buyers)
        rated.append(settled(apart, prepaid, span, currency, directory=directory))
    by_customer: dict[str, int] = defaultdict(int)
    for row in (row for revenue in rated for row in revenue.rated):
        by_customer[row.customer] += row.amount_pico
    apart_names = special | buyers
    plain = _others(engine, sums, apart_names) if apart_names else sums
    usual = [plan for plan in plans if plan.customer not in apart_names]
    priced = _priced(engine, plain, usual, units)
    by_customer.update(_amounts(engine, priced))
    foreign = [row for revenue in rated for row in revenue.rated if row.owed is not None]
    return Earned(
        dict(by_customer),
        foreign,
        _unrated(engine, priced, rated, units),
        _opened(engine, usage, span),
    )


def _amounts(engine: Engine, priced: ir.Table) -> Iterable[tuple[str, int]]:
    """What each customer's calls earned, of those for which there was a price at all."""
    sums = priced.filter(priced.has_price > 0).group_by("customer").agg(pico=total(priced.pico))
    rows = engine.fetch(sums)  # once: two fetches may come in two orders
    return zip(rows["customer"].to_pylist(), integers(rows["pico"]), strict=True)


def _of(engine: Engine, rows: ir.Table, customers: Iterable[str]) -> ir.Table:
    """The `rows` of `customers`."""
    return rows.semi_join(_names(engine, customers), [("customer", "of_customer")])


def _others(engine: Engine, rows: ir.Table, customers: Iterable[str]) -> ir.Table:
    """The `rows` of all but `customers`."""
    return rows.anti_join(_names(engine, customers), [("customer", "of_customer")])


def _names(engine: Engine, customers: Iterable[str]) -> ir.Table:
    return engine.table(pa.table({"of_customer": pa.array(sorted(customers), pa.string())}))


def _used(engine: Engine, sums: ir.Table) -> tuple[str, ...]:
    """The columns of the units that were used at all. BooksError when a count is negative (theorem 4)."""
    used = {name: sums[name].max() for name in _UNITS}
    [most] = engine.fetch(sums.agg(**used, least=sums.least.min())).to_pylist()
    if (most["least"] or 0) < 0:
        _refuse_negative(engine, sums)
    return tuple(name for name in _UNITS if most[name])


def _not_plain(plans: Sequence[PricePlan]) -> AbstractSet[CustomerId]:
    """The customers who pay by more than prices per unit, at some time."""
    terms = {terms for terms in {plan.terms for plan in plans} if not terms.is_plain}
    return {plan.customer for plan in plans if plan.terms in terms} if terms else frozenset()


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
    lists = _numbered({plan.terms for plan in plans})  # many customers share one
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


def _numbered(lists: Iterable[Terms]) -> Mapping[Terms, int]:
    """`lists` in the order of their hashes: of two that begin at once, the last is in force."""
    return {terms: n for n, terms in enumerate(sorted(lists, key=lambda terms: terms.sha256))}


def _in_force(engine: Engine, plans: Sequence[PricePlan], lists: Mapping[Terms, int]) -> ir.Table:
    """From when until when each customer pays by which price list; of two at once, as `PlanBook`."""
    given = engine.table(
        pa.table(
            {
                "of_customer": pa.array([plan.customer for plan in plans], pa.string()),
                "from_ns": pa.array([plan.effective_ns for plan in plans], pa.int64()),
                "list": pa.array([lists[plan.terms] for plan in plans], pa.int64()),
            }
        )
    )
    starts = given.group_by(["of_customer", "from_ns"]).agg(list=given["list"].max())
    following = starts.from_ns.lead().over(group_by="of_customer", order_by="from_ns")
    return engine.keep(starts.mutate(until_ns=ibis.coalesce(following, _FOR_EVER_NS)))


def _price_lists(
    lists: Mapping[Terms, int], models: Sequence[str], units: Iterable[str]
) -> pa.Table:
    """What each of `units` of each model costs on each price list; null where it has no price."""
    rows = [(terms, number, ModelId(model)) for terms, number in lists.items() for model in models]
    columns = {
        f"price_of_{name}": pa.array(
            [terms.rate_of(_UNITS[name], model) for terms, _, model in rows], pa.int64()
        )
        for name in units
    }
    return pa.table(
        {
            "of_list": pa.array([row[1] for row in rows], pa.int64()),
            "of_model": pa.array([row[2] for row in rows], pa.string()),
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


def _unrated(
    engine: Engine, priced: ir.Table, rated: Sequence[Revenue], units_used: Iterable[str]
) -> Revenue:
    """What earned nothing for want of a plan or a price, in the order of `rate`."""
    nobody = priced.filter(priced.list.isnull())
    nobody = nobody.group_by("customer").agg(calls=total(nobody.calls))
    calls = [
        (CustomerId(row["customer"]), int(row["calls"])) for row in engine.fetch(nobody).to_pylist()
    ]
    units = [
        Unpriced(CustomerId(row["customer"]), ModelId(row["model"]), unit, int(row["quantity"]))
        for name in units_used
        if (unit := _UNITS[name]) is not Unit.REQUESTS
        for row in engine.fetch(_without_price(priced, name)).to_pylist()
    ]
    calls += [pair for revenue in rated for pair in revenue.unpriced]
    units += [one for revenue in rated for one in revenue.unpriced_units]
    return Revenue((), tuple(sorted(calls)), tuple(sorted(units)))


def _without_price(priced: ir.Table, name: str) -> ir.Table:
    """The quantities of the unit called `name` that no price was listed for, by customer and model."""
    rows = priced.filter(
        priced.list.notnull() & priced[f"price_of_{name}"].isnull() & (priced[name] > 0)
    )
    return rows.group_by(["customer", "model"]).agg(quantity=total(rows[name]))
