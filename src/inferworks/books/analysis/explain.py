"""Explain: from a figure down to the bill lines and the calls behind it.

A subject is written `kind:name`: a row of any cut (`customer:acme`, `model:...`, `purpose:serve-free`), a
pool, one charge, or one call. Its cost is taken apart level by level (function, pool, bill line, the
split that gave it this part, the calls behind it), and its revenue likewise (what was priced, then
calls). The parts of every node sum to it, to the picounit; that is checked while the tree is built
(`breakdown.py`), and a node with too many parts ends in one that gives the number and the sum of the
others. The pieces of cost of a subject are found in `explain_cost.py`.

A period that books corrections for earlier ones, or that was corrected later, has those beside its own
figures as named lines (`explain_corrections.py`), with the sum of all.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from inferworks.books.allocation import drivers as d
from inferworks.books.allocation.allocate import Allocated, Portion
from inferworks.books.allocation.drivers import Drivers, Leaf, Shares
from inferworks.books.analysis.breakdown import (
    NOTHING_UNSEEN,
    USUAL_BOUNDS,
    Bounds,
    Node,
    Ratio,
    Unseen,
    bounded,
    sum_unseen,
)
from inferworks.books.analysis.explain_corrections import Corrected, corrected_for
from inferworks.books.analysis.explain_cost import (
    KINDS,
    LEVELS,
    Kind,
    Level,
    Piece,
    Subject,
    Way,
    collect,
)
from inferworks.books.calendar.span import utc_day
from inferworks.books.charge import Charge
from inferworks.books.closing.prior_period import Adjustment
from inferworks.books.revenue.rating import Rated
from inferworks.books.statement.computation import Computation
from inferworks.books.statement.statement import (
    Dimension,
    name_of,
    revenue_by_call,
    revenue_name,
    row_name,
)
from inferworks.errors import UserError
from inferworks.ids import CallId
from inferworks.meter.capacity import State
from inferworks.money import format_pico

if TYPE_CHECKING:  # numpy takes its time to load
    from inferworks.books.analysis.single_lines import Singles


class Explanation(msgspec.Struct, frozen=True):
    """Revenue and cost of a subject, taken apart."""

    subject: Subject
    currency: str
    policy: str
    revenue: Node
    cost: Node
    corrections: tuple[Corrected, ...] = ()
    """Late records, not part of the two figures above."""

    @property
    def revenue_together_pico(self) -> int:
        """Return the revenue including corrections, in picounits."""
        return sum(n.amount_pico for n in (self.revenue, *(c.revenue for c in self.corrections)))

    @property
    def cost_together_pico(self) -> int:
        """Return the cost including corrections, in picounits."""
        return sum(n.amount_pico for n in (self.cost, *(c.cost for c in self.corrections)))

    def to_json(self) -> dict[str, object]:
        """Return the JSON values."""
        return {
            "subject": str(self.subject),
            "currency": self.currency,
            "policy": self.policy,
            "revenue": self.revenue.to_json(),
            "cost": self.cost.to_json(),
            "corrections": [one.to_json() for one in self.corrections],
            "together": {
                "revenue": format_pico(self.revenue_together_pico),
                "cost": format_pico(self.cost_together_pico),
            },
        }


def parse_subject(text: str) -> Subject:
    """The subject written as `kind:name`; UserError when it is none."""
    kind, colon, name = text.partition(":")
    if not (colon and name and kind in KINDS):
        raise UserError(
            f"cannot explain {text!r}: write KIND:NAME, where KIND is one of {', '.join(KINDS)}"
        )
    return Subject(kind, name)


def explain(
    computation: Computation,
    subject: Subject,
    bounds: Bounds = USUAL_BOUNDS,
    adjustments: Sequence[Adjustment] = (),
    singles: Singles | None = None,
) -> Explanation:
    """The way down from the figures of `subject`, and what `adjustments` changed of them.

    `singles` opens bundles, where there are any. UserError when nothing of that name is there.
    """
    collected = collect(computation, subject, singles, bounds)
    pieces, unseen = collected.pieces(), collected.unseen
    shares = _revenue(computation, subject)
    corrections = corrected_for(adjustments, *subject, bounds)
    if not pieces and not shares and not corrections:
        for adjustment in adjustments:
            correction = adjustment.correction
            if f"{subject.kind} {subject.name}" in correction.causes:
                start, end = map(utc_day, correction.period.span)
                raise UserError(
                    f"{subject} came after {correction.period.name} was closed and is in its correction "
                    f"{adjustment.name}; explain it with: --from {start} --to {end}"
                )
        raise UserError(
            f"there is no {subject.kind} {subject.name!r} in this statement; "
            f"{_known(computation, subject)}"
        )
    tree = _Tree(computation, bounds, unseen)
    return Explanation(
        subject,
        computation.currency,
        computation.policy.name,
        tree.revenue(f"revenue of {subject}", shares),
        tree.cost(f"cost of {subject}", pieces, subject),
        corrections,
    )


class _Share(NamedTuple):
    """Part of the revenue: a row that was rated, or what one call has of it."""

    rated: Rated
    call_id: CallId | None
    amount_pico: int


def _revenue(computation: Computation, subject: Subject) -> list[_Share]:
    """The revenue that is the subject's."""
    rated = computation.revenue.rated
    if subject.kind == Kind.CHARGE or subject.kind == Dimension.POOL:
        return []
    if subject.kind in _BY_CALL:
        calls = {CallId(subject.name)}
        if subject.kind != Kind.CALL:  # those that were served at the place
            calls = {
                usage.call_id
                for usage in computation.facts.usages
                for place in [str(getattr(usage.legs[-1], subject.kind)) if usage.legs else ""]
                if row_name(place, Dimension(subject.kind)) == subject.name
            }
        return [
            _Share(row, call_id, amount_pico)
            for row, of_row in revenue_by_call(computation)
            for call_id, amount_pico in of_row.items()
            if call_id in calls
        ]
    dimension = Dimension(subject.kind)
    return [
        _Share(row, None, row.amount_pico)
        for row in rated
        if revenue_name(row, dimension) == subject.name
    ]


_BY_CALL = frozenset({Kind.CALL, Dimension.PROVIDER, Dimension.REGION, Dimension.CHIP})
"""Kinds and dimensions whose revenue is known only from calls."""


def _known(computation: Computation, subject: Subject) -> str:
    """Names that could have been meant."""
    if subject.kind == Kind.CALL:
        return "its calls are listed by explaining a customer"
    if subject.kind == Kind.CHARGE:
        names = [str(item.charge.id) for item in computation.allocated]
        count = sum(item.charge.lines for item in computation.allocated)
    else:
        dimension = Dimension(subject.kind)
        names = sorted({name_of(line, dimension) for line in computation.lines})
        count = len(names)
    more = f" and {count - len(names[:5])} more" if count > 5 else ""
    return f"there are: {', '.join(names[:5]) or 'none'}{more}"


class _Tree:
    """Builds nodes whose parts sum to them, within bounds."""

    def __init__(
        self, computation: Computation, bounds: Bounds, unseen: Mapping[Way, Unseen]
    ) -> None:
        self._computation, self._bounds, self._unseen = computation, bounds, unseen

    def cost(self, label: str, pieces: Sequence[Piece], subject: Subject) -> Node:
        """The tree of cost: function, pool, bill line, split, call; without what the subject fixes."""
        levels = LEVELS.get(subject.kind, tuple(Level))
        depth = self._bounds.depth
        above = Level.CHARGE if subject.kind == Kind.CHARGE else None
        return self._costs(label, pieces, levels, depth, above, ())

    def revenue(self, label: str, shares: Sequence[_Share]) -> Node:
        """The tree of revenue: what was priced, then calls."""
        grouped: dict[str, list[_Share]] = defaultdict(list)
        for share in shares:
            rated, price = share.rated, ""
            item = rated.item.value if rated.unit is None else rated.unit.value
            if rated.pico_per_unit is not None:
                own = f" {rated.owed.currency}" if rated.owed else ""
                price = f" at {format_pico(rated.pico_per_unit * 10**6)}{own} per million"
            grouped[f"{rated.model} {item}{price}".strip()].append(share)
        parts = [self._priced_node(name, grouped[name]) for name in grouped]
        shown = tuple(parts) if self._bounds.depth else ()
        whole_pico = sum(share.amount_pico for share in shares)
        return bounded(Node(label, whole_pico, parts=shown), self._bounds)

    def _costs(
        self,
        label: str,
        pieces: Sequence[Piece],
        levels: Sequence[Level],
        depth: int,
        above: Level | None,
        way: Way,
    ) -> Node:
        """The node of `pieces`, which are one part of the level `above`, at the end of `way`."""
        bill = _bill_text(pieces[0].item.charge) if pieces and above is Level.CHARGE else ""
        hidden = sum_unseen(unseen for at, unseen in self._unseen.items() if at[: len(way)] == way)
        whole_pico = sum(piece.amount_pico for piece in pieces) + hidden.amount_pico
        if depth <= 0 or not pieces:
            return Node(label, whole_pico, bill)
        if not levels:  # one split: its ratios from the top, and the calls behind it
            first, amounts = pieces[0], defaultdict[Leaf, int](int)
            for piece in pieces:
                behind = {} if piece.leaf is None else {piece.leaf: piece.amount_pico}
                for leaf, amount_pico in (behind or piece.portion.by_leaf()).items():
                    amounts[leaf] += amount_pico
            drivers = self._computation.drivers
            calls = tuple(Node(leaf_text(leaf, drivers), pico) for leaf, pico in amounts.items())
            whole_pico = sum(piece.amount_pico for piece in pieces)
            way_down = ratios(first.item, first.portion)
            return bounded(Node(label, whole_pico, ratios=way_down, parts=calls), self._bounds)
        grouped: dict[str, list[Piece]] = defaultdict(list)
        for piece in pieces:
            grouped[levels[0].of(piece)].append(piece)
        parts = [
            self._costs(name, grouped[name], levels[1:], depth - 1, levels[0], (*way, name))
            for name in grouped
        ]
        here = hidden if levels[0] is Level.CHARGE else NOTHING_UNSEEN
        return bounded(Node(label, whole_pico, bill, parts=tuple(parts)), self._bounds, here)

    def _priced_node(self, name: str, shares: Sequence[_Share]) -> Node:
        """The node of what was priced alike, and its calls; a row without calls stays whole."""
        amounts: dict[str, int] = defaultdict(int)
        is_shown = self._bounds.depth > 1
        for share in shares:
            if share.call_id is not None:
                amounts[f"call {share.call_id}"] += share.amount_pico
        if not amounts and is_shown:
            rows = {share.rated for share in shares}
            for row, calls in revenue_by_call(self._computation):
                if row not in rows:
                    continue
                for call_id, amount_pico in calls.items():
                    amounts[f"call {call_id}"] += amount_pico
                if not calls:
                    amounts["no call: a fee or a discount"] += row.amount_pico
        parts = tuple(Node(call, amount_pico) for call, amount_pico in amounts.items())
        whole_pico = sum(share.amount_pico for share in shares)
        return bounded(Node(name, whole_pico, parts=parts if is_shown else ()), self._bounds)


def ratios(item: Allocated, portion: Portion) -> tuple[Ratio, ...]:
    """The splits on the way from a charge to a portion, from the top."""
    stages = {split.stage: split.weights for split in item.apportionments}
    kind, _, name = portion.stage.partition(" ")
    way: list[Ratio] = []
    if kind in ("active", "replica"):
        way += _ratio("node", (d.REPLICA, name), stages, "node_ns")
        state = State.ACTIVE.value if kind == "active" else str(portion.target.unused)
        way += _ratio(f"replica {name}", (state,), stages, "replica_ns")
    if kind == "pool":
        for stage, weights in stages.items():
            if stage.startswith("pools "):
                way += _ratio(stage, ("pool", name), {stage: weights}, "weight")
    if kind != "replica":
        way += _ratio(portion.stage, portion.target.order(), stages, portion.unit)
    return tuple(way)


def _ratio(stage: str, key: Leaf, stages: Mapping[str, Shares], unit: str) -> list[Ratio]:
    weights = stages.get(stage, {})
    return [Ratio(stage, weights[key], sum(weights.values()), unit)] if key in weights else []


def leaf_text(leaf: Leaf, drivers: Drivers) -> str:
    """Return the end of a share in words."""
    match leaf:
        case (d.CALL, call_id, direction, _):
            return f"call {call_id} {direction}".strip()
        case (d.UNKNOWN_CALL, call_id, direction, _):
            return f"call {call_id} {direction} (no record of it)"
        case (d.ACTIVITY, source, activity_id):
            description = drivers.activities[source, activity_id].description
            return f"activity {source}/{activity_id} {description}".strip()
        case (d.UNUSED, use):
            return f"{use}: nobody"
        case ("pool", name, *key):
            return f"what pool {name} cost: {' '.join(filter(None, key))}"
        case _:
            return " ".join(leaf)


def _bill_text(charge: Charge) -> str:
    """Return the place of a charge on its bill and its amount in this span, as text."""
    place = f"{charge.file} line {charge.row}" if charge.row else charge.file
    foreign, rate = charge.foreign, ""
    if foreign is not None:
        quoted = f"{foreign.rate} of {foreign.rate_day}, {foreign.rate_source}"
        rate = f"; billed in {foreign.currency}, converted at {quoted}"
    return (
        f"{charge.issuer}, {place}: {charge.description} "
        f"({format_pico(charge.amount_pico)} in this span{rate})"
    )
