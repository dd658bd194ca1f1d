"""What calls weigh, by customer or by target: the drivers of `drivers.py` as relations.

Sets of numbered questions are answered at once, in rows of `question`, the keys of a grain (`grain.py`),
and `weight`.

Three things keep this fast where calls are many. Calls are summed once, by slot (`slots.py`), and only the
few that reach over an edge are kept apart. The weight of a model's tokens is applied to sums, for a
product of a sum is the sum of products. And from there on a label and a customer are one number.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import ibis
import ibis.expr.types as ir
import pyarrow as pa

from inferworks.books.drivers import INPUT, OUTPUT, short_names
from inferworks.books.engine.base import total, whole
from inferworks.books.engine.grain import FIRST, UNPLACED, Parties, nothing
from inferworks.books.engine.slots import NO_SLOT, Slots, part_of
from inferworks.books.engine.who import PLACE, Who, ints
from inferworks.books.span import Span


class Stay(NamedTuple):
    """Question `number`: what `replica` did from `start_ns` to `end_ns`."""

    number: int
    replica: str
    start_ns: int
    end_ns: int
    flat: bool = False
    """Whether every token weighs the same (method M0)."""


class Purchase(NamedTuple):
    """Question `number`: what was bought in a span, of providers called one of `names`.

    Of calls of one of `models` (casefolded) alone, where those weigh anything.
    """

    number: int
    names: tuple[str, ...]
    models: tuple[str, ...]
    span: Span

    @property
    def of_models(self) -> Purchase:
        """The same question of `models` alone, with a number of its own, below zero."""
        return self._replace(number=-1 - self.number)

    def of(self, sellers: Iterable[str]) -> list[str]:
        """Those of `sellers` that are meant."""
        wanted = {short for name in self.names for short in short_names(name)}
        return [seller for seller in sellers if seller.casefold() in wanted]


class Sums(NamedTuple):
    """What calls sum to by slot and grain, kept."""

    rows: ir.Table
    slots: Slots


class Calls:
    """The calls of a lake, and what they weigh."""

    def __init__(self, who: Who) -> None:
        self._who, self._engine, self.grain = who, who.engine, who.grain

    # --- bytes ---------------------------------------------------------------------------------------

    def byte_sums(self, spans: Sequence[tuple[int, Span]]) -> Sums:
        """Bytes of the calls opened in `spans` (question, span), by slot."""
        slots = Slots(span for _, span in spans)
        calls = self._who.calls(self._who.lake.usage, "replica")
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
        return self._who.by_question(rows, self.grain.keys)

    # --- tokens --------------------------------------------------------------------------------------

    def token_sums(self, stays: Iterable[Stay], bought: Iterable[Purchase]) -> Sums:
        """The tokens of all legs in the times of `stays` and in the spans of what was `bought`."""
        spans = [Span(stay.start_ns, stay.end_ns) for stay in stays]
        slots = Slots([*spans, *(one.span for one in bought)])
        return Sums(self._engine.keep(self._token_sums(slots)), slots)

    def _token_sums(self, slots: Slots) -> ir.Table:
        """The legs' tokens by place, slot, era and grain; what reaches over an edge apart, in `pieces`.

        The place is the replica, or the provider of whom the tokens were `bought`: every column by which
        ten million rows are grouped is dear, and text most of all.
        """
        legs = self._who.calls(self._legs(), "server").mutate(
            era=self._who.eras.number(ibis._.opened_ns)
        )
        legs = legs.mutate(slot=slots.number(legs.started_ns))
        ends_ns = slots.end_ns(legs.slot)
        cut = (legs.ended_ns > legs.started_ns) & (
            (legs.slot == NO_SLOT) | (legs.ended_ns > ends_ns)
        )
        legs = legs.mutate(cut=cut)
        legs = legs.filter((legs.slot != NO_SLOT) | legs.cut)
        keys = ("place", "bought", "slot", "era", "served", *_undirected(self.grain.columns))
        return legs.group_by(list(keys)).agg(
            computed=total(legs.computed, where=~legs.cut),
            produced=total(legs.produced, where=~legs.cut),
            pieces=ibis.struct({name: legs[name] for name in _PIECE}).collect(where=legs.cut),
        )

    def _legs(self) -> ir.Table:
        """One row for each attempt of each call."""
        usage = self._who.lake.usage
        calls = ("customer", "project", "key_id", "purpose", "model", "opened_ns")
        legs = usage.select(*calls, leg=usage.legs.unnest())
        leg = legs.leg
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

    def bought(self, sums: Sums, parties: Parties, bought: Sequence[Purchase]) -> ir.Table:
        """Flat tokens of what was `bought`."""
        others = sums.rows.filter(sums.rows.bought)
        found = self._engine.fetch(others.select("place", "served").distinct())
        sold: dict[str, list[str]] = {}
        for row in found.to_pylist():
            sold.setdefault(row["place"], []).append(row["served"])
        asked = [*bought, *(one.of_models for one in bought if one.models)]
        pairs = [
            (one, seller, served)
            for one in asked
            for seller in one.of(sold)
            for served in sold[seller]
            if one.number >= 0 or served.casefold() in one.models
        ]
        wanted = {
            "question": ints(one.number for one, _, _ in pairs),
            "asked_place": pa.array([seller for _, seller, _ in pairs], pa.string()),
            "asked_model": pa.array([served for _, _, served in pairs], pa.string()),
            "from_ns": ints(one.span.start_ns for one, _, _ in pairs),
            "until_ns": ints(one.span.end_ns for one, _, _ in pairs),
            "flat": pa.array([True] * len(pairs), pa.bool_()),
        }
        on = [("place", "asked_place"), ("served", "asked_model")]
        others = sums._replace(rows=parties.numbered(others))
        weights = self._answers(others, wanted, on, [(one.number, one.span) for one in asked])
        return weights if len(asked) == len(bought) else _preferring_models(weights)

    def _answers(
        self,
        sums: Sums,
        asked: Mapping[str, pa.Array],
        on: Sequence[tuple[str, str]],
        spans: Sequence[tuple[int, Span]],
    ) -> ir.Table:
        """Weights of the rows of `sums` that are `asked` about, within the span of each question."""
        questions = self._engine.table(pa.table(asked))
        slots = self._pairs(("asked_question", "asked_slot"), _slots_of(spans, sums.slots))
        uncut = self._weighed(sums.rows, questions, on)
        uncut = uncut.join(slots, [("question", "asked_question"), ("slot", "asked_slot")])
        uncut = uncut.mutate(
            for_input=whole(uncut.computed * uncut.of_input),
            for_output=whole(uncut.produced * uncut.of_output),
        )
        cut = self._weighed(_pieces(sums.rows), questions, on)
        cut = cut.filter((cut.started_ns < cut.until_ns) & (cut.ended_ns > cut.from_ns))
        span, interval = (cut.from_ns, cut.until_ns), (cut.started_ns, cut.ended_ns)
        cut = cut.mutate(
            for_input=part_of(cut.computed * cut.of_input, *interval, span),
            for_output=part_of(cut.produced * cut.of_output, *interval, span),
        )
        columns = ("question", *_undirected(self.grain.keys), "for_input", "for_output")
        both = ibis.union(uncut.select(*columns), cut.select(*columns))
        return self._who.by_question(self._both_directions(both), self.grain.keys)

    def _weighed(
        self, rows: ir.Table, questions: ir.Table, on: Sequence[tuple[str, str]]
    ) -> ir.Table:
        """`rows` with the questions about each, and what its tokens weigh there."""
        rows = rows.join(self._who.weights(), [("served", "of_model"), ("era", "of_era")])
        rows = rows.join(questions, on)
        return rows.mutate(
            of_input=ibis.ifelse(rows.flat, 1, rows.input),
            of_output=ibis.ifelse(rows.flat, 1, rows.output),
        )

    def _both_directions(self, rows: ir.Table) -> ir.Table:
        """`for_input` and `for_output` as rows of one `weight`."""
        columns = ("question", *self.grain.keys, "weight")
        if "direction" not in self.grain.rest:
            return rows.mutate(weight=whole(rows.for_input + rows.for_output)).select(*columns)
        return ibis.union(
            rows.mutate(direction=ibis.literal(INPUT), weight=rows.for_input).select(*columns),
            rows.mutate(direction=ibis.literal(OUTPUT), weight=rows.for_output).select(*columns),
        )

    def unplaced(self, weights: Mapping[int, int], parties: Parties) -> ir.Table:
        """What no call explains of each question, those with nothing left out."""
        left = {number: weight for number, weight in weights.items() if weight > 0}
        rows = self._engine.table(pa.table({"question": ints(left), "weight": ints(left.values())}))
        rest = {name: nothing(name) for name in (*FIRST[1:], *self.grain.rest)}
        rows = rows.mutate(label=ibis.literal(UNPLACED), **rest, weight=whole(rows.weight))
        return parties.numbered(rows).select("question", *self.grain.keys, "weight")

    def _pairs(self, names: tuple[str, str], pairs: Iterable[tuple[int, int]]) -> ir.Table:
        rows = list(pairs)
        return self._engine.table(
            pa.table({name: ints(row[n] for row in rows) for n, name in enumerate(names)})
        )


_PIECE = ("started_ns", "ended_ns", "computed", "produced")
"""What is known of a leg that reaches over an edge."""


def _slots_of(spans: Iterable[tuple[int, Span]], slots: Slots) -> Iterable[tuple[int, int]]:
    return ((number, slot) for number, span in spans for slot in slots.within(span))


def _pieces(sums: ir.Table) -> ir.Table:
    """The legs that reach over an edge, one row each, for the sums of the others."""
    cut = sums.filter(sums.pieces.length() > 0)
    cut = cut.mutate(piece=cut.pieces.unnest())
    cut = cut.mutate(**{name: cut.piece[name] for name in _PIECE})
    return cut.drop("piece", "pieces")


def _undirected(columns: Iterable[str]) -> tuple[str, ...]:
    return tuple(name for name in columns if name != "direction")


def _preferring_models(rows: ir.Table) -> ir.Table:
    """`rows` with each question answered by its twin about models where that weighs anything."""
    named = rows.filter(rows.question < 0).mutate(question=-1 - rows.question)
    others = rows.filter(rows.question >= 0)
    others = others.anti_join(named.select("question").distinct(), "question")
    return ibis.union(others, named)
