"""Weights of calls by customer or by target: the drivers of `drivers.py` as relations.

Sets of numbered questions are answered at once, in rows of `question`, the keys of a grain
(`granularity.py`), and `weight`.

Three things keep this fast where calls are many. Calls are summed once, by slot (`time_buckets.py`), and
only the few that reach over an edge are kept apart. The weight of a model's tokens is applied to sums, for
a product of a sum is the sum of products. And from there on a label and a customer are one number.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from functools import reduce
from operator import add, sub
from typing import NamedTuple

import ibis
import ibis.expr.types as ir
import pyarrow as pa

from inferworks.books.allocation.billed_usage import FLAT, Level, Sale, Sold, Units
from inferworks.books.calendar.span import Span
from inferworks.books.engines.base import small_table, total, whole
from inferworks.books.engines.call_dimensions import PLACE, CallDimensions, ints
from inferworks.books.engines.granularity import FIRST, UNPLACED, Parties, nothing
from inferworks.books.engines.lake import ByDay
from inferworks.books.engines.time_buckets import NO_SLOT, Slots, part_of
from inferworks.catalog.billing import Billing
from inferworks.catalog.units import DIRECTIONS, INPUT, OUTPUT, buckets
from inferworks.units import Unit


class Stay(NamedTuple):
    """Question `number`: what `replica` did from `start_ns` to `end_ns`."""

    number: int
    replica: str
    start_ns: int
    end_ns: int
    flat: bool = False
    """True if every token weighs the same (method M0)."""


class Purchase(NamedTuple):
    """Question `number`: what `sale` was of in `span`."""

    number: int
    sale: Sale
    span: Span


_ATTEMPT = (
    *("customer", "purpose", "opened_ns", "served", "place", "bought"),
    *("started_ns", "ended_ns", "computed", "produced"),
)
"""Columns of an attempt at the grain of customers."""


class Sums(NamedTuple):
    """Sums of calls by slot and grain, kept."""

    rows: ir.Table
    slots: Slots


class Calls:
    """The calls of a lake, and what they weigh."""

    def __init__(self, dimensions: CallDimensions) -> None:
        self._dimensions, self._engine, self.grain = dimensions, dimensions.engine, dimensions.grain

    # --- bytes ---------------------------------------------------------------------------------------

    def byte_sums(self, spans: Sequence[tuple[int, Span]]) -> Sums:
        """Bytes of the calls opened in `spans` (question, span), by slot."""
        slots = Slots(span for _, span in spans)
        opened = self._dimensions.lake.usage
        if not self.grain.rest:  # what the calls of whole days come to
            names = ("customer", "purpose", "opened_ns", "request_bytes", "response_bytes")
            opened = self._dimensions.lake.by_day("calls", slots.edges_ns).united(names)
        calls = self._dimensions.calls(opened, "replica")
        calls = calls.mutate(slot=slots.number(calls.opened_ns), direction=ibis.literal(""))
        calls = calls.filter(calls.slot != NO_SLOT)
        sums = calls.group_by(["slot", *self.grain.columns]).agg(
            weight=total(calls.request_bytes + calls.response_bytes)
        )
        return Sums(self._engine.keep(sums.filter(sums.weight > 0)), slots)

    def bytes_moved(
        self, sums: Sums, parties: Parties, spans: Sequence[tuple[int, Span]]
    ) -> ir.Table:
        """Bytes of the calls opened in each of `spans` (question, span)."""
        pairs = list(_slots_of(spans, sums.slots))
        rows = parties.numbered(sums.rows).join(self._pairs(("question", "slot"), pairs), "slot")
        if len(pairs) == len(spans):  # one slot each: the sums are the answers
            return rows.select("question", *self.grain.keys, "weight")
        return self._dimensions.by_question(rows, self.grain.keys)

    # --- tokens --------------------------------------------------------------------------------------

    def token_sums(self, stays: Iterable[Stay], bought: Sequence[Purchase]) -> Sums:
        """The tokens of all legs in the times of `stays` and in the spans of what was `bought`.

        By place, slot, era and grain; what reaches over an edge stands apart, in `pieces`.
        """
        spans = [Span(stay.start_ns, stay.end_ns) for stay in stays]
        slots = Slots([*spans, *(purchase.span for purchase in bought)])
        # the buckets that lines tell apart; all together they are summed anyway
        by_sale = (units for purchase in bought for units in purchase.sale.units if units != FLAT)
        units = tuple(sorted({unit for units in by_sale for unit in units}))
        # every column by which ten million rows are grouped is dear, and text most of all: so the place is
        # the replica, or the provider of whom the tokens were bought
        legs = self._dimensions.calls(self._tried(slots, units), "server").mutate(
            era=self._dimensions.eras.number(ibis._.opened_ns)
        )
        legs = legs.mutate(slot=slots.number(legs.started_ns))
        ends_ns = slots.end_ns(legs.slot)
        cut = (legs.ended_ns > legs.started_ns) & (
            (legs.slot == NO_SLOT) | (legs.ended_ns > ends_ns)
        )
        legs = legs.mutate(cut=cut)
        legs = legs.filter((legs.slot != NO_SLOT) | legs.cut)
        keys = ("place", "bought", "slot", "era", "served", *_undirected(self.grain.columns))
        summed = ("computed", "produced", *(unit.value for unit in units))
        piece = ("started_ns", "ended_ns", *summed)
        sums = legs.group_by(list(keys)).agg(
            **{name: total(legs[name], where=~legs.cut) for name in summed},
            pieces=ibis.struct({name: legs[name] for name in piece}).collect(where=legs.cut),
        )
        return Sums(self._engine.keep(sums), slots)

    def _tried(self, slots: Slots, units: Units) -> ir.Table:
        """The attempts, or at the grain of customers what those within whole days come to.

        Such a sum stands in the first moment of its day, which no edge cuts and in which the catalog does
        not change.
        """
        if self.grain.rest:
            return self._legs(self._dimensions.lake.usage, units)
        sums, rows = self._dimensions.lake.by_day("attempts", slots.edges_ns)
        if sums is not None:
            sums = sums.mutate(
                served=sums.model,
                started_ns=ibis.coalesce(sums.started_ns, sums.opened_ns),
                ended_ns=ibis.coalesce(sums.ended_ns, sums.opened_ns + 1),
            )
        legs = self._legs(rows, units) if rows is not None else None
        buckets = (unit.value for unit in units)
        return ByDay(sums, legs).united([*_ATTEMPT, *buckets])

    def _legs(self, usage: ir.Table, units: Units) -> ir.Table:
        """One row for each attempt of each call, with its tokens in the buckets `units`."""
        calls = ("customer", "project", "key_id", "purpose", "model", "opened_ns")
        legs = usage.select(*calls, leg=usage.legs.unnest())
        leg = legs.leg
        counts = {  # files of before lack some buckets, which are zero
            unit: ibis.coalesce(leg[unit.value], 0)
            if unit.value in leg.names
            else ibis.literal(0, "int64")
            for unit in Unit
        }
        found = buckets(counts.__getitem__, sub, ibis.least)
        return legs.select(
            *calls,
            served=legs.model,
            server=leg.replica,
            place=ibis.coalesce(leg.replica, leg.provider),
            bought=leg.replica.isnull(),
            started_ns=leg.started_ns,
            ended_ns=leg.ended_ns,
            computed=leg.input_tokens - leg.cache_read_tokens,
            produced=leg.output_tokens,
            **{name: leg[name] for name in PLACE},
            **{unit.value: found[unit] for unit in units},
        )

    def served(self, sums: Sums, parties: Parties, stays: Sequence[Stay]) -> ir.Table:
        """Weighted tokens of the legs of each of `stays`."""
        asked = {
            "question": ints(stay.number for stay in stays),
            "asked_place": pa.array([stay.replica for stay in stays], pa.string()),
            "from_ns": ints(stay.start_ns for stay in stays),
            "until_ns": ints(stay.end_ns for stay in stays),
            "flat": pa.array([stay.flat for stay in stays], pa.bool_()),
        }
        own = sums._replace(rows=parties.numbered(sums.rows.filter(~sums.rows.bought)))
        spans = [(stay.number, Span(stay.start_ns, stay.end_ns)) for stay in stays]
        return self._answers(own, asked, [("place", "asked_place")], spans)

    def bought(
        self, sums: Sums, parties: Parties, bought: Sequence[Purchase], billing: Billing
    ) -> ir.Table:
        """The tokens of what was `bought`: of the first level of each sale that has any."""
        others = sums.rows.filter(sums.rows.bought)
        served = self._engine.fetch(others.select("place", "served").distinct()).to_pylist()
        levels = _levels(bought, {(row["place"], row["served"]) for row in served}, billing)
        others = sums._replace(rows=parties.numbered(others))
        by_units: dict[Units, list[_LevelQuestion]] = {}
        for level in levels:
            by_units.setdefault(level.level.units, []).append(level)
        answers: list[ir.Table] = []
        for units, of_units in by_units.items():
            pairs = [(level, *pair) for level in of_units for pair in sorted(level.level.sold)]
            questions = {
                "question": ints(level.number for level, _, _ in pairs),
                "asked_place": pa.array([provider for _, provider, _ in pairs], pa.string()),
                "asked_model": pa.array([model for _, _, model in pairs], pa.string()),
                "from_ns": ints(level.span.start_ns for level, _, _ in pairs),
                "until_ns": ints(level.span.end_ns for level, _, _ in pairs),
            }
            on = [("place", "asked_place"), ("served", "asked_model")]
            spans = [(level.number, level.span) for level in of_units]
            answers.append(self._answers(others, questions, on, spans, units))
        if not answers:
            return self.unplaced({}, parties)
        weights = ibis.union(*answers) if len(answers) > 1 else answers[0]
        numbers = {
            "level": (level.number for level in levels),
            "of_question": (level.question for level in levels),
            "rank": (level.rank for level in levels),
        }
        rows = weights.join(small_table(self._engine, {}, numbers), [("question", "level")])
        rows = rows.mutate(first=rows["rank"].min().over(group_by="of_question"))
        rows = rows.filter(rows["rank"] == rows["first"]).mutate(question=rows.of_question)
        return self._engine.keep(rows.select("question", *self.grain.keys, "weight"))

    def _answers(
        self,
        sums: Sums,
        asked: Mapping[str, pa.Array],
        on: Sequence[tuple[str, str]],
        spans: Sequence[tuple[int, Span]],
        units: Units | None = None,
    ) -> ir.Table:
        """Weights of the rows of `sums` that are `asked` about, within the span of each question.

        By the tokens that fall into the buckets `units`; without them by what the catalog says of a model.
        """
        questions = self._engine.table(pa.table(asked))
        slots = self._pairs(("asked_question", "asked_slot"), _slots_of(spans, sums.slots))
        uncut = self._weighed(sums.rows.join(questions, on), units)
        uncut = uncut.join(slots, [("question", "asked_question"), ("slot", "asked_slot")])
        pieces = sums.rows.filter(sums.rows.pieces.length() > 0)
        pieces = pieces.mutate(piece=pieces.pieces.unnest())
        pieces = pieces.mutate(**{name: pieces.piece[name] for name in pieces.piece.names})
        cut = self._weighed(pieces.drop("piece", "pieces").join(questions, on), units)
        cut = cut.filter((cut.started_ns < cut.until_ns) & (cut.ended_ns > cut.from_ns))
        span, interval = (cut.from_ns, cut.until_ns), (cut.started_ns, cut.ended_ns)
        cut = cut.mutate(
            for_input=part_of(cut.for_input, *interval, span),
            for_output=part_of(cut.for_output, *interval, span),
        )
        columns = ("question", *_undirected(self.grain.keys), "for_input", "for_output")
        both = ibis.union(uncut.select(*columns), cut.select(*columns))
        keys = ("question", *self.grain.keys, "weight")
        if "direction" in self.grain.rest:
            read = both.mutate(direction=ibis.literal(INPUT), weight=both.for_input)
            written = both.mutate(direction=ibis.literal(OUTPUT), weight=both.for_output)
            rows = ibis.union(read.select(*keys), written.select(*keys))
        else:
            rows = both.mutate(weight=whole(both.for_input + both.for_output)).select(*keys)
        return self._dimensions.by_question(rows, self.grain.keys)

    def _weighed(self, rows: ir.Table, units: Units | None) -> ir.Table:
        """`rows` with their tokens in the buckets `units`; without them, weighed by the catalog."""
        if units is None:
            by_model = [("served", "of_model"), ("era", "of_era")]
            rows = rows.join(self._dimensions.weights(), by_model)
            return rows.mutate(
                for_input=whole(rows.computed * ibis.ifelse(rows.flat, 1, rows.input)),
                for_output=whole(rows.produced * ibis.ifelse(rows.flat, 1, rows.output)),
            )
        if units == FLAT:
            return rows.mutate(for_input=whole(rows.computed), for_output=whole(rows.produced))
        sides = {
            side: [whole(rows[unit.value]) for unit in units if DIRECTIONS[unit] == side]
            for side in (INPUT, OUTPUT)
        }
        nothing_ = whole(ibis.literal(0))
        return rows.mutate(
            for_input=whole(reduce(add, sides[INPUT], nothing_)),
            for_output=whole(reduce(add, sides[OUTPUT], nothing_)),
        )

    def unplaced(self, weights: Mapping[int, int], parties: Parties) -> ir.Table:
        """Return the weight of each question that no call explains; questions without any are left out."""
        left = {number: weight for number, weight in weights.items() if weight > 0}
        rows = self._engine.table(pa.table({"question": ints(left), "weight": ints(left.values())}))
        rest = {name: nothing(name) for name in (*FIRST[1:], *self.grain.rest)}
        rows = rows.mutate(label=ibis.literal(UNPLACED), **rest, weight=whole(rows.weight))
        return parties.numbered(rows).select("question", *self.grain.keys, "weight")

    def _pairs(self, names: tuple[str, str], pairs: Iterable[tuple[int, int]]) -> ir.Table:
        rows = list(pairs)
        numbers = {name: [row[n] for row in rows] for n, name in enumerate(names)}
        return small_table(self._engine, {}, numbers)


def _slots_of(spans: Iterable[tuple[int, Span]], slots: Slots) -> Iterable[tuple[int, int]]:
    return ((number, slot) for number, span in spans for slot in slots.within(span))


def _undirected(columns: Iterable[str]) -> tuple[str, ...]:
    return tuple(name for name in columns if name != "direction")


class _LevelQuestion(NamedTuple):
    """A level of a purchase, as a question of its own."""

    number: int
    question: int
    rank: int
    level: Level
    span: Span


def _levels(
    bought: Iterable[Purchase], sold: AbstractSet[Sold], billing: Billing
) -> list[_LevelQuestion]:
    """The levels of all that was `bought`, of what was `sold` at all."""
    known: dict[Sale, list[Level]] = {}
    questions: list[_LevelQuestion] = []
    for number, sale, span in bought:
        if sale not in known:
            levels = sale.levels(sold, billing)
            known[sale] = [level for level in levels if not level.sold.isdisjoint(sold)]
        for rank, level in enumerate(known[sale]):
            questions.append(_LevelQuestion(len(questions), number, rank, level, span))
    return questions
