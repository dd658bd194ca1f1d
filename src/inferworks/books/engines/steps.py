"""Nanoseconds by the steps that calls were in: method M2 as relations.

A replica's step is a few milliseconds in which it worked for several calls at once. Each step's time is
divided among the sides of its calls by largest remainder, exactly as `drivers.Drivers.step_shares` does.
"""

from __future__ import annotations

from collections.abc import Sequence

import ibis
import ibis.expr.types as ir
import pyarrow as pa

from inferworks.books.allocation.allocate import UNKNOWN_CALL
from inferworks.books.engines.apportion import split
from inferworks.books.engines.base import total, whole
from inferworks.books.engines.call_dimensions import PLACE, CallDimensions, ints
from inferworks.books.engines.calls import Stay
from inferworks.books.engines.granularity import FIRST, nothing, unallocated
from inferworks.catalog.load import ANY_MODEL
from inferworks.catalog.units import INPUT, OUTPUT

UNKNOWN = unallocated(UNKNOWN_CALL)


class Steps:
    """The steps of a lake, and the calls in them."""

    def __init__(self, dimensions: CallDimensions) -> None:
        self._dimensions, self._engine, self._grain = (
            dimensions,
            dimensions.engine,
            dimensions.grain,
        )

    def pieces(self, stays: Sequence[Stay]) -> ir.Table:
        """Each step's nanoseconds `inside_ns` within each of `stays`; a stay may have several spans."""
        asked = self._engine.table(
            pa.table(
                {
                    "question": ints(stay.number for stay in stays),
                    "asked_server": pa.array([stay.replica for stay in stays], pa.string()),
                    "from_ns": ints(stay.start_ns for stay in stays),
                    "until_ns": ints(stay.end_ns for stay in stays),
                }
            )
        )
        step = self._dimensions.lake.step
        pieces = step.mutate(stop_ns=step.start_ns + step.duration_ns).join(
            asked, [("replica", "asked_server")]
        )
        pieces = pieces.mutate(
            inside_ns=ibis.least(pieces.stop_ns, pieces.until_ns)
            - ibis.greatest(pieces.start_ns, pieces.from_ns)
        )
        return pieces.filter(pieces.inside_ns > 0)

    def shares(self, stays: Sequence[Stay]) -> ir.Table:
        """Nanoseconds of each of `stays` by the calls in its steps: method M2 (theorem 6).

        Parties have their names still.
        """
        piece = ("question", "from_ns", "replica", "start_ns", "seq")
        pieces = self.pieces(stays).filter(lambda rows: rows.calls.length() > 0)
        parts = pieces.mutate(part=pieces.calls.unnest())
        parts = parts.mutate(
            call_id=parts.part.call_id,
            prefill=parts.part.prefill_tokens,
            decode=parts.part.decode_tokens,
            context=parts.part.context_tokens,
        ).select(*piece, "inside_ns", "call_id", "prefill", "decode", "context")
        usage = self._dimensions.calls(self._dimensions.lake.usage, None)
        usage = usage.mutate(known=True, of=usage.call_id, named=self._dimensions.lake.usage.model)
        known = ("known", "of", "named", "opened_ns", *self._columns_of_call())
        parts = parts.left_join(usage.select(*known), [("call_id", "of")])
        parts = parts.mutate(
            named=ibis.coalesce(parts.named, ANY_MODEL),
            era=self._dimensions.eras.number(ibis.coalesce(parts.opened_ns, parts.start_ns)),
        )
        parts = parts.join(self._dimensions.weights(), [("named", "of_model"), ("era", "of_era")])
        leaves = self._sides(parts, (*piece, "inside_ns", "call_id", "known"))
        weighty = leaves.mutate(all_=whole(leaves.by.sum().over(group_by=list(piece))))
        weighty = weighty.filter(weighty.all_ > 0).drop("all_")
        weighty = weighty.mutate(
            amount=whole(weighty.inside_ns), kind=ibis.ifelse(weighty.known.isnull(), 1, 0)
        )
        shared = split(weighty, piece, ("kind", "call_id", "side"), by="by")
        if self._grain.rest:  # has the direction, and the place of the replica
            shared = shared.mutate(direction=shared.side)
            places = self._dimensions.places().rename(of_replica="replica")
            shared = shared.left_join(places, [("replica", "of_replica")]).mutate(
                **{name: ibis.coalesce(ibis._[name], "") for name in PLACE}
            )
        label = ibis.ifelse(shared.known.isnull(), UNKNOWN, shared.label)
        known_only = {
            name: ibis.ifelse(shared.known.isnull(), nothing(name), shared[name])
            for name in (*FIRST[1:], *self._grain.rest)
        }
        shared = shared.mutate(label=label, **known_only, weight=shared.part)
        return self._dimensions.by_question(shared, self._grain.columns)

    def _sides(self, parts: ir.Table, keys: tuple[str, ...]) -> ir.Table:
        """The input and output sides of the calls of a step, each with its weight, merged by call."""
        sides = []
        for side, tokens, linear, context in (
            (INPUT, parts.prefill, parts.prefill_weight, parts.prefill_context),
            (OUTPUT, parts.decode, parts.decode_weight, parts.decode_context),
        ):
            weight = whole(tokens) * (linear + context * parts.context)
            rows = parts.filter(tokens > 0).mutate(side=ibis.literal(side), by=whole(weight))
            sides.append(rows.select(*keys, *self._columns_of_call(), "side", "by"))
        both = ibis.union(*sides)
        return both.group_by([*keys, *self._columns_of_call(), "side"]).agg(by=total(both.by))

    def _columns_of_call(self) -> tuple[str, ...]:
        """The columns of the grain that a call has wherever it ran."""
        return tuple(n for n in self._grain.columns if n not in ("direction", *PLACE))
