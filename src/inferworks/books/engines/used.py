"""Use of calls, summed by everything that a price can depend on: the first step of `rating.py`."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from collections.abc import Set as AbstractSet
from functools import reduce
from itertools import pairwise
from operator import sub
from typing import Any

import ibis
import ibis.expr.types as ir
import pyarrow as pa

from inferworks.accounts.plan import PricePlan
from inferworks.books.calendar.calendars import IN_UTC, Calendars
from inferworks.books.calendar.months import months
from inferworks.books.calendar.span import Span
from inferworks.books.engines.base import Engine, small_table, total, whole
from inferworks.books.engines.granularity import CUSTOMERS, Grain
from inferworks.books.engines.lake import ByDay
from inferworks.books.engines.midnights import with_midnights
from inferworks.books.engines.time_buckets import NO_SLOT, Slots
from inferworks.books.revenue.rating import (
    EARNING,
    PAYING,
    CallSum,
    RatingKey,
)
from inferworks.catalog.units import BILLABLE, PARTS, buckets
from inferworks.errors import BooksError
from inferworks.ids import CustomerId, KeyId, ModelId, ProjectId
from inferworks.purpose import Purpose
from inferworks.units import Unit

UNITS = {"calls" if unit is Unit.REQUESTS else unit.value: unit for unit in BILLABLE}
"""Columns of a call's use, each with its unit."""
_COMMON = frozenset({Unit.INPUT_TOKENS, Unit.OUTPUT_TOKENS, Unit.CACHE_READ_TOKENS, Unit.REQUESTS})
_RARE = tuple(name for name, unit in UNITS.items() if unit not in _COMMON)
"""Counts that are zero throughout many books."""
_MOST_EDGES = 128
"""Largest number of the plans' dates that are compared one by one; beyond, each call looks up its plan."""


def sums_of_calls(
    engine: Engine,
    calls: ByDay,
    plans: Sequence[PricePlan],
    span: Span,
    grain: Grain,
    calendars: Calendars = IN_UTC,
) -> ir.Table:
    """Return the use of the earning calls opened in `span`, by label and plan in force, kept.

    Columns: customer, project, key_id, model, purpose, day_ns, era, opened_ns (the first), and a column of
    each unit. At the grain of customers the project, the key and the day are left out; no other grain has
    sums among its calls.
    """
    # A column of zeros is quickly looked through; the sums of ten of them are a third of the pass.
    rare = calls.united(_RARE)  # sums are zero where all that they are sums of is
    is_used = engine.fetch(rare.agg(**{name: (rare[name] != 0).any() for name in _RARE}))
    zeros = frozenset(name for name in _RARE if not is_used[name][0].as_py())
    used = [name for name in UNITS if name not in zeros]
    of_call = () if grain is CUSTOMERS else ("project", "key_id")
    columns = ("customer", "model", "purpose", "outcome", "opened_ns", "least", *of_call, *used)
    each = calls.rows
    if each is not None:
        counts = {"calls": ibis.literal(1, "int64"), "least": _least(each, zeros)}
        each = each.mutate(**_buckets(each, zeros), **counts)
    rows = ByDay(calls.sums, each).united(columns)
    rows = rows.filter(
        (rows.opened_ns >= span.start_ns)
        & (rows.opened_ns < span.end_ns)
        & rows.purpose.isin([purpose.value for purpose in sorted(EARNING)])
        & rows.outcome.isin([outcome.value for outcome in sorted(PAYING)])
    )
    rows = with_midnights(engine, _with_era(engine, rows, plans, span), calendars, span)
    keys = ["customer", "model", "purpose", "era"]
    keys += ["month"] if calendars.zoned else []
    keys += ["project", "key_id", "day_ns"] if grain is not CUSTOMERS else []
    sums = engine.keep(
        rows.group_by(keys).agg(
            opened_ns=rows.opened_ns.min(),
            least=rows.least.min(),
            **{name: total(rows[name]) for name in used},
        )
    )
    return sums.mutate(**{name: whole(ibis.literal(0)) for name in zeros})


def _buckets(rows: ir.Table, zeros: AbstractSet[str]) -> dict[str, ir.Value]:
    """Return the tokens of a call in exactly one bucket each, as columns; those of `zeros` are left out."""

    def count(unit: Unit) -> Any:
        return None if unit.value in zeros else rows[unit.value]

    def minus(whole: Any, part: Any) -> Any:
        return whole if part is None else (ibis.literal(0) if whole is None else whole) - part

    def least(part: Any, rest: Any) -> Any:
        return None if part is None else ibis.least(part, rest)

    found = buckets(count, minus, least)
    return {unit.value: column for unit, column in found.items() if column is not None}


def _least(rows: ir.Table, zeros: AbstractSet[str]) -> ir.Value:
    """Below zero when the counts of a call contradict themselves, as `Tokens.flaw` has it.

    A whole that is not less than its parts is not negative when they are not; zeros are neither.
    """
    counts = UNITS.keys() - zeros - {"calls"}
    parted = [
        (whole.value, counts.intersection(part.value for part in parts))
        for parts, whole in PARTS.items()
    ]
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
        label = RatingKey(
            CustomerId(row["customer"]),
            ProjectId(row.get("project", "")),
            KeyId(row.get("key_id", "")),
            ModelId(row["model"]),
            Purpose(row["purpose"]),
            row.get("day_ns", row["opened_ns"]),
        )
        used = tuple((unit, int(row[name])) for name, unit in UNITS.items())
        yield CallSum(label, row["opened_ns"], int(row["calls"]), used)


def _with_era(engine: Engine, calls: ir.Table, plans: Sequence[PricePlan], span: Span) -> ir.Table:
    """`calls` with a number `era` for the plan and the month in which each was opened."""
    starts = {edge for month in months(span) for edge in month}
    edges = {at_ns for plan in plans if span.holds(at_ns := plan.effective_ns)}
    if len(edges) <= _MOST_EDGES:
        slots = Slots([Span(at, span.end_ns) for at in edges | starts | {span.start_ns}])
        return calls.mutate(era=slots.number(calls.opened_ns))
    by_customer: dict[str, set[int]] = {}
    for plan in plans:
        by_customer.setdefault(plan.customer, set()).add(plan.effective_ns)
    eras: list[tuple[str, int, int, int]] = []
    for customer, own_starts in sorted(by_customer.items()):
        own_edges = [*sorted(own_starts), max(span.end_ns, max(own_starts) + 1)]
        eras += ((customer, *pair, number) for number, pair in enumerate(pairwise(own_edges)))
    own = small_table(
        engine,
        {"of_customer": (era[0] for era in eras)},
        {
            "from_ns": (era[1] for era in eras),
            "until_ns": (era[2] for era in eras),
            "number": (era[3] for era in eras),
        },
    )
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
