"""Use of calls, summed by everything that a price can depend on: the first step of `rating.py`."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from collections.abc import Set as AbstractSet
from functools import reduce
from itertools import pairwise
from operator import sub
from typing import NamedTuple

import ibis
import ibis.expr.types as ir
import pyarrow as pa

from inferworks.accounts.plan import PricePlan
from inferworks.books.calendar.calendars import IN_UTC, Calendars
from inferworks.books.calendar.months import months
from inferworks.books.calendar.span import Span
from inferworks.books.engines.base import Engine, total, whole
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
from inferworks.errors import BooksError
from inferworks.ids import CustomerId, KeyId, ModelId, ProjectId
from inferworks.purpose import Purpose
from inferworks.units import Unit

UNITS = {
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
"""Counts of a call that are parts of another count, and together no more than it."""
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
"""Counts that are zero throughout many books, and the bucket of `UNITS` that each is for."""
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
    zeros = _zeros(engine, calls)
    empty = [_RARE[name] for name in zeros]
    used = [name for name in UNITS if name not in empty]
    of_call = () if grain is CUSTOMERS else ("project", "key_id")
    columns = ("customer", "model", "purpose", "outcome", "opened_ns", "least", *of_call, *used)
    rows = ByDay(
        None if calls.sums is None else _of_sums(calls.sums),
        None if calls.rows is None else _of_rows(calls.rows, zeros),
    ).united(columns)
    rows = _with_era(engine, _earning(rows, span), plans, span)
    rows = with_midnights(engine, rows, calendars, span)
    who: tuple[str, ...] = ("customer", "model", "purpose", "era")
    if calendars.zoned:
        who = (*who, "month")
    if grain is not CUSTOMERS:
        who = (*who, "project", "key_id", "day_ns")
    sums = engine.keep(
        rows.group_by(list(who)).agg(
            opened_ns=rows.opened_ns.min(),
            least=rows.least.min(),
            **{name: total(rows[name]) for name in used},
        )
    )
    return sums.mutate(**{name: whole(ibis.literal(0)) for name in empty})


def _earning(rows: ir.Table, span: Span) -> ir.Table:
    """Return the rows that earn."""
    return rows.filter(
        (rows.opened_ns >= span.start_ns)
        & (rows.opened_ns < span.end_ns)
        & rows.purpose.isin([purpose.value for purpose in sorted(EARNING)])
        & rows.outcome.isin([outcome.value for outcome in sorted(PAYING)])
    )


def _of_sums(sums: ir.Table) -> ir.Table:
    """`sums` of calls with the names that units have here."""
    units = {name: sums[unit.value] for name, unit in UNITS.items() if name != "calls"}
    return sums.mutate(units)


def _of_rows(usage: ir.Table, zeros: AbstractSet[str]) -> ir.Table:
    """Calls with what they used."""
    usage = usage.mutate(**{name: ibis.literal(0, "int64") for name in zeros})
    calls = {"calls": ibis.literal(1, "int64"), "least": _least(usage, zeros)}
    return usage.mutate(**_buckets(usage, zeros), **calls)


def _zeros(engine: Engine, calls: ByDay) -> frozenset[str]:
    """The rare counts that are zero throughout `calls`.

    A column of zeros is quickly looked through; the sums of ten of them are a third of the pass.
    """
    rows = calls.united(list(_RARE))  # sums are zero where all that they are sums of is
    looked = engine.fetch(rows.agg(**{name: (rows[name] != 0).any() for name in _RARE}))
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
