"""Explain: the way down from a figure to the bill lines and the calls under it.

A subject is written `kind:name`: a row of any cut (`customer:acme`, `model:...`, `purpose:serve-free`), a
pool, one charge, or one call. Its cost is taken apart level by level (function, pool, bill line, the split
that gave it this part, the calls behind it), and its revenue likewise (what was priced, then calls). The
parts of every node sum to it, to the picounit; that is checked while the tree is built (`nodes.py`), and a
node with too many parts ends in one that says how many more there are and what they sum to.

Of bill lines in bundles (`bundle.py`) those behind the figure are divided alone, one after the other, and
only those that will be shown are kept; the others are counted and summed at once.

A period that books corrections for earlier ones, or that was corrected later, has those beside its own
figures as named lines (`explain_late.py`), and says what all come to together.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Container, Iterable, Mapping, Sequence
from enum import Enum, StrEnum, auto
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

import msgspec

from inferworks.books import drivers as d
from inferworks.books.allocate import Allocated, Portion, Target
from inferworks.books.charge import Charge
from inferworks.books.drivers import Drivers, Leaf, Shares
from inferworks.books.explain_late import Corrected, corrected_for
from inferworks.books.late import Adjustment
from inferworks.books.nodes import (
    NOTHING_UNSEEN,
    USUAL_BOUNDS,
    Bounds,
    Node,
    Ratio,
    Unseen,
    node_of,
    sum_unseen,
)
from inferworks.books.rate import Rated
from inferworks.books.span import utc_day
from inferworks.books.statement import (
    Dimension,
    name_of,
    revenue_by_call,
    revenue_name,
    row_name,
    row_of,
)
from inferworks.books.workings import Line, Workings, line_of
from inferworks.errors import UserError
from inferworks.ids import CallId
from inferworks.meter.capacity import State
from inferworks.meter.usage import Usage
from inferworks.money import format_pico

if TYPE_CHECKING:  # numpy takes its time to load
    from inferworks.books.amounts import Amounts
    from inferworks.books.single import Singles


class Kind(StrEnum):
    """What can be explained besides the rows of a cut."""

    CALL = "call"
    CHARGE = "charge"


KINDS = (*(dimension.value for dimension in Dimension), *(kind.value for kind in Kind))


class Subject(NamedTuple):
    """What is to be explained: one of `KINDS`, and the name of one of it."""

    kind: str
    name: str

    def __str__(self) -> str:
        return f"{self.kind}:{self.name}"


class Explanation(msgspec.Struct, frozen=True):
    """What a subject earned and cost, taken apart."""

    subject: Subject
    currency: str
    policy: str
    revenue: Node
    cost: Node
    corrections: tuple[Corrected, ...] = ()
    """What came late, not part of the two figures above."""

    @property
    def revenue_together_pico(self) -> int:
        """What it earned, the corrections included."""
        return sum(n.amount_pico for n in (self.revenue, *(c.revenue for c in self.corrections)))

    @property
    def cost_together_pico(self) -> int:
        """What it cost, the corrections included."""
        return sum(n.amount_pico for n in (self.cost, *(c.cost for c in self.corrections)))

    def to_json(self) -> dict[str, object]:
        """As JSON values."""
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
    workings: Workings,
    subject: Subject,
    bounds: Bounds = USUAL_BOUNDS,
    adjustments: Sequence[Adjustment] = (),
    singles: Singles | None = None,
) -> Explanation:
    """The way down from the figures of `subject`, and what `adjustments` changed of them.

    `singles` opens bundles, where there are any. UserError when nothing of that name is there.
    """
    levels = _LEVELS.get(subject.kind, tuple(_Level))
    found = _Found(bounds, levels)
    for item in _items(workings, subject, singles, found):
        found.add(_pieces(item, workings, subject))
    pieces, unseen = found.pieces(), found.unseen
    shares = _revenue(workings, subject)
    corrections = corrected_for(adjustments, *subject, bounds)
    if not pieces and not shares and not corrections:
        _refuse_late(subject, adjustments)
        raise UserError(
            f"there is no {subject.kind} {subject.name!r} in this statement; "
            f"{_known(workings, subject)}"
        )
    work = _Tree(workings, bounds, unseen)
    return Explanation(
        subject,
        workings.currency,
        workings.policy.name,
        work.revenue(f"revenue of {subject}", shares),
        work.cost(f"cost of {subject}", pieces, subject),
        corrections,
    )


def _refuse_late(subject: Subject, adjustments: Iterable[Adjustment]) -> None:
    """UserError when the subject is a call or a charge that came late."""
    for one in adjustments:
        if f"{subject.kind} {subject.name}" in one.correction.causes:
            start, end = map(utc_day, one.correction.period.span)
            raise UserError(
                f"{subject} came late for {one.correction.period.name} and is in the correction "
                f"{one.name}; explain it with: --from {start} --to {end}"
            )


class _Piece(NamedTuple):
    """Part of a charge: what one split gave one target, or one call of it."""

    item: Allocated
    portion: Portion
    line: Line
    leaf: Leaf | None
    amount_pico: int


class _Share(NamedTuple):
    """Part of the revenue: a row that was rated, or what one call has of it."""

    rated: Rated
    call_id: CallId | None
    amount_pico: int


def _items(
    workings: Workings, subject: Subject, singles: Singles | None, found: _Found
) -> Iterable[Allocated]:
    """The charges that the subject may have pieces of: lines, and of bundles those that may be shown."""
    if singles is None:
        yield from workings.allocated
        return
    if subject.kind == Kind.CHARGE:
        yield from singles.called(subject.name)
        return
    bundles: dict[str, Container[int]] = {}
    for item in workings.allocated:
        if item.charge.lines == 1:
            yield item
        elif pieces := _pieces(item, workings, subject):
            bundles[item.charge.id] = found.open(item, pieces, singles)
    yield from singles.within(bundles)


def _pieces(item: Allocated, workings: Workings, subject: Subject) -> list[_Piece]:
    """The pieces of a charge that are the subject's."""
    portions = [one for one in item.portions if _is_of(one, item, subject)]
    if not portions:
        return []
    mine = {(one.target, one.method) for one in portions}
    rows = (row for row in item.rows if (row.target, row.method) in mine)
    lines = {(row.target, row.method): line_of(row, workings.policy) for row in rows}
    pieces = (
        _Piece(item, one, lines[one.target, one.method], None, one.amount_pico) for one in portions
    )
    if subject.kind == Kind.CALL:
        return [part for piece in pieces for part in _of_call(piece, subject.name)]
    return list(pieces)


def _is_of(portion: Portion, item: Allocated, subject: Subject) -> bool:
    """Whether all of `portion` is the subject's; or a part, where that is a call."""
    if subject.kind == Kind.CALL:
        return any(leaf[0] in _CALLS and leaf[1] == subject.name for leaf in portion.leaves)
    if subject.kind == Kind.CHARGE:
        return item.charge.id == subject.name
    return row_of(item.pool, portion.target, Dimension(subject.kind)) == subject.name


class _Found:
    """The pieces behind a figure: all of those that may be shown, of the others how many and how much."""

    def __init__(self, bounds: Bounds, levels: Sequence[_Level]) -> None:
        self._width = bounds.width
        charges = levels.index(_Level.CHARGE) if _Level.CHARGE in levels else len(levels)
        self._above = levels[:charges]
        self._told = charges < len(levels)
        self._kept: dict[Way, list[list[_Piece]]] = defaultdict(list)
        self.unseen: dict[Way, Unseen] = defaultdict(lambda: NOTHING_UNSEEN)

    def add(self, pieces: Iterable[_Piece]) -> None:
        """Count the pieces of one charge."""
        ways: dict[Way, list[_Piece]] = defaultdict(list)
        for piece in pieces:
            ways[self._way(piece)].append(piece)
        for way, mine in ways.items():
            self._kept[way].append(mine)
            if self._told and len(self._kept[way]) > 2 * self._width + _SPARE:
                self._cut(way)

    def open(self, bundle: Allocated, pieces: Sequence[_Piece], singles: Singles) -> Container[int]:
        """The places of its lines that may be shown; the others are counted and summed. All, of a call."""
        lines = bundle.charge.lines
        if any(piece.leaf is not None for piece in pieces):
            return range(lines)
        amounts = dict(zip(map(id, bundle.portions), singles.amounts(bundle), strict=True))
        ways: dict[Way, list[Amounts]] = defaultdict(list)
        for piece in pieces:
            ways[self._way(piece)].append(amounts[id(piece.portion)])
        sums = {way: sum(parts[1:], parts[0]) for way, parts in ways.items()}
        places = {place for one in sums.values() for place in one.largest(self._width)}
        for way, one in sums.items():
            hidden = Unseen(lines - len(places), int(one) - sum(one.at(places)))
            self.unseen[way] = sum_unseen((self.unseen[way], hidden))
        return places

    def _way(self, piece: _Piece) -> Way:
        return tuple(level.of(piece) for level in self._above)

    def pieces(self) -> list[_Piece]:
        """Those that are kept, in the order in which they came."""
        return [piece for charges in self._kept.values() for mine in charges for piece in mine]

    def _cut(self, way: Way) -> None:
        """Keep those of the largest charges."""
        kept = sorted(self._kept[way], key=_largest_first)
        self._kept[way] = kept[: self._width]
        gone = kept[self._width :]
        pico = sum(piece.amount_pico for mine in gone for piece in mine)
        self.unseen[way] = sum_unseen((self.unseen[way], Unseen(len(gone), pico)))


def _largest_first(pieces: Sequence[_Piece]) -> tuple[int, str]:
    """As `node_of` orders charges."""
    return -abs(sum(piece.amount_pico for piece in pieces)), pieces[0].item.charge.id


Way: TypeAlias = tuple[str, ...]
"""The names of the nodes above charges."""
_SPARE = 100


def _of_call(piece: _Piece, call_id: str) -> Iterable[_Piece]:
    leaves = [leaf for leaf in piece.portion.leaves if leaf[0] in _CALLS and leaf[1] == call_id]
    amounts = piece.portion.by_leaf() if leaves else {}
    for leaf in leaves:
        yield piece._replace(leaf=leaf, amount_pico=amounts[leaf])


_CALLS = frozenset({d.CALL, d.UNKNOWN_CALL})


def _revenue(workings: Workings, subject: Subject) -> list[_Share]:
    """The revenue that is the subject's."""
    rated = workings.revenue.rated
    if subject.kind == Kind.CHARGE or subject.kind == Dimension.POOL:
        return []
    if subject.kind in _BY_CALL:
        wanted = _calls_of(workings, subject)
        return [
            _Share(row, call_id, amount_pico)
            for row, calls in revenue_by_call(workings)
            for call_id, amount_pico in calls.items()
            if call_id in wanted
        ]
    dimension = Dimension(subject.kind)
    return [
        _Share(row, None, row.amount_pico)
        for row in rated
        if revenue_name(row, dimension) == subject.name
    ]


_BY_CALL = frozenset({Kind.CALL, Dimension.PROVIDER, Dimension.REGION, Dimension.CHIP})
"""What only calls tell of revenue."""


def _calls_of(workings: Workings, subject: Subject) -> set[CallId]:
    """The calls that were served at the subject's place, or the one that it is."""
    if subject.kind == Kind.CALL:
        return {CallId(subject.name)}
    dimension = Dimension(subject.kind)
    return {
        usage.call_id
        for usage in workings.facts.usages
        if row_name(_served(usage, subject.kind), dimension) == subject.name
    }


def _served(usage: Usage, kind: str) -> str:
    return str(getattr(usage.legs[-1], kind)) if usage.legs else ""


def _known(workings: Workings, subject: Subject) -> str:
    """Names that could have been meant."""
    if subject.kind == Kind.CALL:
        return "its calls are listed by explaining a customer"
    if subject.kind == Kind.CHARGE:
        names = [str(item.charge.id) for item in workings.allocated]
        count = sum(item.charge.lines for item in workings.allocated)
    else:
        dimension = Dimension(subject.kind)
        names = sorted({name_of(line, dimension) for line in workings.lines})
        count = len(names)
    more = f" and {count - len(names[:5])} more" if count > 5 else ""
    return f"there are: {', '.join(names[:5]) or 'none'}{more}"


class _Level(Enum):
    """What cost is taken apart by, from the top."""

    FUNCTION = auto()
    POOL = auto()
    CHARGE = auto()
    SPLIT = auto()

    def of(self, piece: _Piece) -> str:
        """The part of this level that `piece` belongs to."""
        match self:
            case _Level.FUNCTION:
                return piece.line.function.value
            case _Level.POOL:
                return f"pool {piece.line.pool}"
            case _Level.CHARGE:
                return f"charge {piece.item.charge.id}"
            case _Level.SPLIT:
                portion = piece.portion
                return f"{portion.method} {portion.stage} -> {target_text(portion.target)}"


_LEVELS = {
    Dimension.POOL.value: (_Level.CHARGE, _Level.FUNCTION, _Level.SPLIT),
    Kind.CHARGE.value: (_Level.FUNCTION, _Level.SPLIT),
}
"""The levels of subjects that fix one of them; the others have all."""


class _Tree:
    """Builds nodes whose parts sum to them, within bounds."""

    def __init__(self, workings: Workings, bounds: Bounds, unseen: Mapping[Way, Unseen]) -> None:
        self._workings, self._bounds, self._unseen = workings, bounds, unseen

    def cost(self, label: str, pieces: Sequence[_Piece], subject: Subject) -> Node:
        """The tree of cost: function, pool, bill line, split, call; without what the subject fixes."""
        levels = _LEVELS.get(subject.kind, tuple(_Level))
        depth = self._bounds.depth
        above = _Level.CHARGE if subject.kind == Kind.CHARGE else None
        return self._costs(label, pieces, levels, depth, above, ())

    def revenue(self, label: str, shares: Sequence[_Share]) -> Node:
        """The tree of revenue: what was priced, then calls."""
        grouped: dict[str, list[_Share]] = defaultdict(list)
        for share in shares:
            grouped[_priced(share.rated)].append(share)
        depth = self._bounds.depth
        parts = [self._priced_node(name, grouped[name], depth - 1) for name in grouped]
        return self._node(label, sum(s.amount_pico for s in shares), parts if depth else [])

    def _costs(
        self,
        label: str,
        pieces: Sequence[_Piece],
        levels: Sequence[_Level],
        depth: int,
        above: _Level | None,
        way: Way,
    ) -> Node:
        """The node of `pieces`, which are one part of the level `above`, at the end of `way`."""
        bill = _bill_text(pieces[0].item.charge) if pieces and above is _Level.CHARGE else ""
        hidden = sum_unseen(unseen for at, unseen in self._unseen.items() if at[: len(way)] == way)
        whole_pico = sum(piece.amount_pico for piece in pieces) + hidden.amount_pico
        if depth <= 0 or not pieces:
            return Node(label, whole_pico, bill)
        if not levels:
            return self._split_node(label, pieces)
        grouped: dict[str, list[_Piece]] = defaultdict(list)
        for piece in pieces:
            grouped[levels[0].of(piece)].append(piece)
        parts = [
            self._costs(name, grouped[name], levels[1:], depth - 1, levels[0], (*way, name))
            for name in grouped
        ]
        here = hidden if levels[0] is _Level.CHARGE else NOTHING_UNSEEN
        return node_of(self._bounds, label, whole_pico, parts, bill, unseen=here)

    def _split_node(self, label: str, pieces: Sequence[_Piece]) -> Node:
        """What one split gave: its ratios from the top, and the calls behind it."""
        drivers, first = self._workings.drivers, pieces[0]
        amounts: dict[Leaf, int] = defaultdict(int)
        for piece in pieces:
            behind = (
                piece.portion.by_leaf() if piece.leaf is None else {piece.leaf: piece.amount_pico}
            )
            for leaf, amount_pico in behind.items():
                amounts[leaf] += amount_pico
        parts = [Node(leaf_text(leaf, drivers), pico) for leaf, pico in amounts.items()]
        whole_pico = sum(piece.amount_pico for piece in pieces)
        return self._node(label, whole_pico, parts, "", ratios(first.item, first.portion))

    def _priced_node(self, name: str, shares: Sequence[_Share], depth: int) -> Node:
        amounts: dict[str, int] = defaultdict(int)
        for share in shares:
            if share.call_id is not None:
                amounts[f"call {share.call_id}"] += share.amount_pico
        if not amounts and depth > 0:
            amounts = self._calls_behind(shares)
        parts = [Node(call, amount_pico) for call, amount_pico in amounts.items()]
        return self._node(name, sum(s.amount_pico for s in shares), parts if depth > 0 else [])

    def _calls_behind(self, shares: Sequence[_Share]) -> dict[str, int]:
        """What each call has of whole rows; a row that no call stands behind stays whole."""
        amounts: dict[str, int] = defaultdict(int)
        wanted = {share.rated for share in shares}
        for row, calls in revenue_by_call(self._workings):
            if row not in wanted:
                continue
            for call_id, amount_pico in calls.items():
                amounts[f"call {call_id}"] += amount_pico
            if not calls:
                amounts["no call: a fee or a discount"] += row.amount_pico
        return amounts

    def _node(
        self,
        label: str,
        amount_pico: int,
        parts: Sequence[Node],
        detail: str = "",
        way: tuple[Ratio, ...] = (),
    ) -> Node:
        return node_of(self._bounds, label, amount_pico, parts, detail, way)


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
    """What a share ends at, in words."""
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


def target_text(target: Target) -> str:
    """A target in words."""
    return " ".join(filter(None, target.order()))


def _bill_text(charge: Charge) -> str:
    """Where a charge stands on its bill, and what it comes to in this span."""
    place = f"{charge.file} line {charge.row}" if charge.row else charge.file
    return (
        f"{charge.issuer}, {place}: {charge.description} "
        f"({format_pico(charge.amount_pico)} in this span)"
    )


def _priced(rated: Rated) -> str:
    """What an amount of revenue is for, and its price where there is one."""
    unit = rated.unit.value if rated.unit is not None else rated.item.value
    price = ""
    if rated.pico_per_unit is not None:
        own = f" {rated.owed.currency}" if rated.owed else ""
        price = f" at {format_pico(rated.pico_per_unit * 10**6)}{own} per million"
    return f"{rated.model} {unit}{price}".strip()
