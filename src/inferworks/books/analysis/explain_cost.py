"""Pieces of charges that are a subject's cost, before they are put into a tree (`explain.py`).

Of bill lines in bundles (`bundles.py`) only those are read that may be shown: the largest of each, by what
the splits of the bundle gave each of its lines. The others are counted and summed, and never looked at.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Container, Iterable, Sequence
from enum import Enum, StrEnum, auto
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

from inferworks.books.allocation import drivers as d
from inferworks.books.allocation.allocate import Allocated, Portion, Target
from inferworks.books.allocation.drivers import Leaf
from inferworks.books.analysis.breakdown import NOTHING_UNSEEN, Bounds, Unseen, sum_unseen
from inferworks.books.statement.computation import Computation, Line, line_of
from inferworks.books.statement.statement import Dimension, row_of

if TYPE_CHECKING:  # numpy takes its time to load
    from inferworks.books.amounts import Amounts
    from inferworks.books.analysis.single_lines import Singles


class Kind(StrEnum):
    """Kind of a subject besides the rows of a cut."""

    CALL = "call"
    CHARGE = "charge"


KINDS = (*(dimension.value for dimension in Dimension), *(kind.value for kind in Kind))


class Subject(NamedTuple):
    """Subject of an explanation: one of `KINDS`, and a name of that kind."""

    kind: str
    name: str

    def __str__(self) -> str:
        return f"{self.kind}:{self.name}"


class Piece(NamedTuple):
    """Part of a charge: what one split gave one target, or one call of it."""

    item: Allocated
    portion: Portion
    line: Line
    leaf: Leaf | None
    amount_pico: int


class Level(Enum):
    """Level by which cost is taken apart, from the top."""

    FUNCTION = auto()
    POOL = auto()
    CHARGE = auto()
    SPLIT = auto()

    def of(self, piece: Piece) -> str:
        """The part of this level that `piece` belongs to."""
        match self:
            case Level.FUNCTION:
                return piece.line.function.value
            case Level.POOL:
                return f"pool {piece.line.pool}"
            case Level.CHARGE:
                return f"charge {piece.item.charge.id}"
            case Level.SPLIT:
                portion = piece.portion
                return f"{portion.method} {portion.stage} -> {target_text(portion.target)}"


LEVELS = {
    Dimension.POOL.value: (Level.CHARGE, Level.FUNCTION, Level.SPLIT),
    Kind.CHARGE.value: (Level.FUNCTION, Level.SPLIT),
}
"""The levels of subjects that fix one of them; the others have all."""


def collect(
    computation: Computation, subject: Subject, singles: Singles | None, bounds: Bounds
) -> Collected:
    """The pieces of cost that are the subject's; `singles` opens bundles, where there are any."""
    collected = Collected(bounds, LEVELS.get(subject.kind, tuple(Level)))
    for item in _items(computation, subject, singles, collected):
        collected.add(_pieces(item, computation, subject))
    return collected


def _items(
    computation: Computation, subject: Subject, singles: Singles | None, collected: Collected
) -> Iterable[Allocated]:
    """The charges that the subject may have pieces of: lines, and of bundles those that may be shown."""
    if singles is None:
        yield from computation.allocated
        return
    if subject.kind == Kind.CHARGE:
        yield from singles.called(subject.name)
        return
    bundles: dict[str, Container[int]] = {}
    for item in computation.allocated:
        if item.charge.lines == 1:
            yield item
        elif pieces := _pieces(item, computation, subject):
            bundles[item.charge.id] = collected.open(item, pieces, singles)
    yield from singles.within(bundles)


def _pieces(item: Allocated, computation: Computation, subject: Subject) -> list[Piece]:
    """The pieces of a charge that are the subject's."""
    if subject.kind == Kind.CALL:
        portions = [
            portion
            for portion in item.portions
            if any(leaf[0] in _CALLS and leaf[1] == subject.name for leaf in portion.leaves)
        ]
    elif subject.kind == Kind.CHARGE:
        portions = list(item.portions) if item.charge.id == subject.name else []
    else:
        dimension = Dimension(subject.kind)
        portions = [
            portion
            for portion in item.portions
            if row_of(item.pool, portion.target, dimension) == subject.name
        ]
    if not portions:
        return []
    keys = {(portion.target, portion.method) for portion in portions}
    rows = (row for row in item.rows if (row.target, row.method) in keys)
    lines = {(row.target, row.method): line_of(row, computation.policy) for row in rows}
    pieces: list[Piece] = []
    for portion in portions:
        line = lines[portion.target, portion.method]
        if subject.kind == Kind.CALL:
            amounts = portion.by_leaf()
            pieces += (
                Piece(item, portion, line, leaf, amounts[leaf])
                for leaf in portion.leaves
                if leaf[0] in _CALLS and leaf[1] == subject.name
            )
        else:
            pieces.append(Piece(item, portion, line, None, portion.amount_pico))
    return pieces


class Collected:
    """The pieces behind a figure: all of those that may be shown, of the others how many and how much."""

    def __init__(self, bounds: Bounds, levels: Sequence[Level]) -> None:
        self._width = bounds.width
        charges = levels.index(Level.CHARGE) if Level.CHARGE in levels else len(levels)
        self._above = levels[:charges]
        self._has_charges = charges < len(levels)
        self._kept: dict[Way, list[list[Piece]]] = defaultdict(list)
        self.unseen: dict[Way, Unseen] = defaultdict(lambda: NOTHING_UNSEEN)

    def add(self, pieces: Iterable[Piece]) -> None:
        """Count the pieces of one charge."""
        ways: dict[Way, list[Piece]] = defaultdict(list)
        for piece in pieces:
            ways[self._way(piece)].append(piece)
        for way, of_charge in ways.items():
            kept = self._kept[way]
            kept.append(of_charge)
            if self._has_charges and len(kept) > 2 * self._width + _SPARE:
                # as `bounded` orders charges
                kept.sort(
                    key=lambda own: (-abs(sum(p.amount_pico for p in own)), own[0].item.charge.id)
                )
                rest = kept[self._width :]
                del kept[self._width :]
                rest_pico = sum(piece.amount_pico for own in rest for piece in own)
                self.unseen[way] = sum_unseen((self.unseen[way], Unseen(len(rest), rest_pico)))

    def open(self, bundle: Allocated, pieces: Sequence[Piece], singles: Singles) -> Container[int]:
        """The places of its lines that may be shown; the others are counted and summed. All, of a call."""
        lines = bundle.charge.lines
        if any(piece.leaf is not None for piece in pieces):
            return range(lines)
        amounts = dict(zip(map(id, bundle.portions), singles.amounts(bundle), strict=True))
        ways: dict[Way, list[Amounts]] = defaultdict(list)
        for piece in pieces:
            ways[self._way(piece)].append(amounts[id(piece.portion)])
        sums = {way: sum(parts[1:], parts[0]) for way, parts in ways.items()}
        places = {place for total in sums.values() for place in total.largest(self._width)}
        for way, total in sums.items():
            hidden = Unseen(lines - len(places), int(total) - sum(total.at(places)))
            self.unseen[way] = sum_unseen((self.unseen[way], hidden))
        return places

    def _way(self, piece: Piece) -> Way:
        return tuple(level.of(piece) for level in self._above)

    def pieces(self) -> list[Piece]:
        """Return the kept pieces in order of arrival."""
        return [piece for charges in self._kept.values() for own in charges for piece in own]


Way: TypeAlias = tuple[str, ...]
"""The names of the nodes above charges."""
_SPARE = 100


_CALLS = frozenset({d.CALL, d.UNKNOWN_CALL})


def target_text(target: Target) -> str:
    """A target in words."""
    return " ".join(filter(None, target.order()))
