"""Purpose and customer of a call, its location, and the weights of its model's tokens, as columns."""

from __future__ import annotations

from collections.abc import Iterable

import ibis
import ibis.expr.types as ir
import pyarrow as pa

from inferworks.books.calendar.span import Span
from inferworks.books.engines.base import Engine, total, whole_divide
from inferworks.books.engines.granularity import Grain
from inferworks.books.engines.lake import Lake
from inferworks.books.engines.time_buckets import NO_SLOT, Slots
from inferworks.catalog.load import ANY_MODEL, ModelCatalog, StepWeights
from inferworks.ids import ModelId
from inferworks.meter.archive.schema import DAY_NS
from inferworks.units import NS_PER_SECOND

PLACE = ("provider", "region", "chip")


class Eras:
    """The times between two changes of the catalog, and what a model's tokens weigh in each."""

    def __init__(self, catalog: ModelCatalog) -> None:
        self._catalog = catalog
        days = sorted({row.effective for row in catalog.rows})
        starts = [(day.toordinal() - _EPOCH_DAY) * DAY_NS for day in days]
        self._slots = Slots([Span(at, _FOR_EVER_NS) for at in starts])
        self._starts = starts

    def number(self, at_ns: ir.IntegerValue) -> ir.IntegerValue:
        """The era of the moment `at_ns`."""
        return self._slots.number(at_ns)

    def weights(self, models: Iterable[str]) -> list[tuple[str, int, StepWeights]]:
        """The row of each of `models`, and of a model that is not known, in each era."""
        eras = [(NO_SLOT, self._starts[0] - NS_PER_SECOND), *enumerate(self._starts)]
        return [
            (model, era, self._catalog.weights(ModelId(model), max(0, at_ns)))
            for model in sorted({*models, ANY_MODEL})
            for era, at_ns in eras
        ]


_EPOCH_DAY = 719_163
"""1970-01-01 as a proleptic ordinal."""
_FOR_EVER_NS = 2**63 - 1


class CallDimensions:
    """The columns by which the calls of a lake are told apart at a grain."""

    def __init__(self, engine: Engine, lake: Lake, catalog: ModelCatalog, grain: Grain) -> None:
        self.engine, self.lake, self.grain = engine, lake, grain
        self.eras = Eras(catalog)
        self._weights: ir.Table | None = None
        self._places: ir.Table | None = None

    def places(self) -> ir.Table:
        """Return the location of each replica, as its last attempt recorded it."""
        if self._places is None:
            usage = self.lake.usage
            legs = usage.select(
                "call_id", legs="legs", number=ibis.range(0, usage.legs.length()).unnest()
            )
            legs = legs.mutate(leg=legs.legs[legs.number])
            leg = legs.leg
            legs = legs.select(
                "call_id", "number", replica=leg.replica, started_ns=leg.started_ns,
                ended_ns=leg.ended_ns, provider=leg.provider, region=leg.region, chip=leg.chip,
            )  # fmt: skip
            legs = legs.filter(legs.replica.notnull())
            last = ibis.row_number().over(
                group_by="replica",
                order_by=[
                    legs.started_ns.desc(), legs.ended_ns.desc(), legs.call_id.desc(), legs.number.desc(),
                ],
            )  # fmt: skip
            legs = legs.mutate(last=last)
            self._places = self.engine.keep(legs.filter(legs.last == 0).select("replica", *PLACE))
        return self._places

    def calls(self, calls: ir.Table, replica: str | None) -> ir.Table:
        """`calls` with the columns of the grain that a call has.

        Where it ran is where the replica in the column `replica` stands, else what the row itself says.
        """
        calls = calls.mutate(label=calls.purpose)
        if not self.grain.rest:
            return calls
        calls = calls.mutate(day=whole_divide(calls.opened_ns, DAY_NS))
        if replica is None:
            return calls
        places = self.places().rename({"of_replica": "replica", **{f"at_{n}": n for n in PLACE}})
        calls = calls.left_join(places, [(replica, "of_replica")])
        return calls.mutate(
            **{
                name: ibis.ifelse(
                    calls[replica].isnull(), calls[name], ibis.coalesce(calls[f"at_{name}"], "")
                )
                for name in PLACE
            }
        )

    def weights(self) -> ir.Table:
        """The step weights of every model that was called, by era."""
        if self._weights is None:
            called = self.lake.by_day("attempts", ()).united(["model"])
            models = self.engine.fetch(called.distinct())["model"].to_pylist()
            rows = self.eras.weights(models)
            self._weights = self.engine.table(
                pa.table(
                    {
                        "of_model": pa.array([row[0] for row in rows], pa.string()),
                        "of_era": ints(row[1] for row in rows),
                        "input": ints(row[2].input for row in rows),
                        "output": ints(row[2].output for row in rows),
                        "prefill_weight": ints(row[2].prefill for row in rows),
                        "prefill_context": ints(row[2].prefill_context for row in rows),
                        "decode_weight": ints(row[2].decode for row in rows),
                        "decode_context": ints(row[2].decode_context for row in rows),
                    }
                )
            )
        return self._weights

    def by_question(self, rows: ir.Table, by: Iterable[str]) -> ir.Table:
        """`rows` summed by question and `by`, what weighs nothing left out; kept."""
        sums = rows.group_by(["question", *by]).agg(weight=total(rows.weight))
        return self.engine.keep(sums.filter(sums.weight > 0))


def ints(values: Iterable[int]) -> pa.Array:
    """`values` as 64-bit integers."""
    return pa.array(list(values), pa.int64())
