"""Explain a correction of a closed period, taken apart for one subject.

A correction reverses posted rows and posts them anew, so its rows stand in pairs. Here they are summed by
subject; the sum of a pair is the change itself.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Final

import msgspec

from inferworks.books.analysis.breakdown import Bounds, Node, node_of
from inferworks.books.closing.prior_period import Adjustment
from inferworks.books.revenue.rating import Rated
from inferworks.books.statement.computation import Line
from inferworks.books.statement.corrections import Correction
from inferworks.books.statement.statement import Dimension, name_of, revenue_name, row_name

_PLACES: Final = (Dimension.PROVIDER, Dimension.REGION, Dimension.CHIP)


class Corrected(msgspec.Struct, frozen=True):
    """Change that one correction made to a subject."""

    name: str
    """`for 2026-11`, or `booked in 2026-12`."""
    causes: tuple[str, ...]
    """Late records, of any subject."""
    revenue: Node
    cost: Node

    @property
    def empty(self) -> bool:
        """Return True if it changed nothing."""
        return not any(node.parts or node.amount_pico for node in (self.revenue, self.cost))

    def to_json(self) -> dict[str, object]:
        """Return the JSON values; every amount an exact decimal string."""
        return {
            "name": self.name,
            "causes": list(self.causes),
            "revenue": self.revenue.to_json(),
            "cost": self.cost.to_json(),
        }


def corrected_for(
    adjustments: Iterable[Adjustment], kind: str, name: str, bounds: Bounds
) -> tuple[Corrected, ...]:
    """Return the changes that `adjustments` made to the `kind` called `name`; empty ones are left out.

    A call or a charge has no corrections: its own rows are not told apart in one.
    """
    if kind not in set(Dimension):
        return ()
    found = (_corrected(one, Dimension(kind), name, bounds) for one in adjustments)
    return tuple(one for one in found if not one.empty)


def _corrected(one: Adjustment, dimension: Dimension, name: str, bounds: Bounds) -> Corrected:
    lines = [line for line in one.correction.lines if name_of(line, dimension) == name]
    revenue = _revenue(one.correction, dimension, name)
    return Corrected(
        one.name,
        one.correction.causes,
        _node(f"revenue, {one.name}", revenue, bounds),
        _node(f"cost, {one.name}", [(_way(line), line.amount_pico) for line in lines], bounds),
    )


def _revenue(
    correction: Correction, dimension: Dimension, name: str
) -> list[tuple[Sequence[str], int]]:
    """The revenue of `correction` that is the subject's: what it is for, and how much."""
    if dimension is Dimension.POOL:
        return []
    if dimension in _PLACES:
        return _placed(correction, dimension, name)
    return [
        ((_priced(row),), row.amount_pico)
        for row in correction.revenue_rows
        if revenue_name(row, dimension) == name
    ]


def _placed(
    correction: Correction, dimension: Dimension, name: str
) -> list[tuple[Sequence[str], int]]:
    nobody = row_name("", dimension)
    rows = [
        (("calls served there",), place.amount_pico)
        for place in correction.placed
        if row_name(getattr(place, dimension), dimension) == name
    ]
    rest_pico = correction.revenue_pico - sum(place.amount_pico for place in correction.placed)
    return [*rows, (("fees and discounts",), rest_pico)] if name == nobody else list(rows)


def _way(line: Line) -> tuple[str, ...]:
    target = " ".join(filter(None, line.target.order()))
    return line.function.value, f"pool {line.pool}", f"{line.method} {target}".strip()


def _priced(row: Rated) -> str:
    return f"{row.model} {row.unit.value if row.unit is not None else row.item.value}"


def _node(label: str, rows: Sequence[tuple[Sequence[str], int]], bounds: Bounds) -> Node:
    """The tree of `rows`, each the way down to it and its amount; branches of nothing are left out."""
    return _branch(label, rows, 0, bounds)


def _branch(
    label: str, rows: Sequence[tuple[Sequence[str], int]], level: int, bounds: Bounds
) -> Node:
    grouped: dict[str, list[tuple[Sequence[str], int]]] = defaultdict(list)
    for way, amount_pico in rows:
        if level < min(len(way), bounds.depth):
            grouped[way[level]].append((way, amount_pico))
    parts = [_branch(name, grouped[name], level + 1, bounds) for name in sorted(grouped)]
    kept = [part for part in parts if part.amount_pico or part.parts]
    return node_of(bounds, label, sum(pico for _, pico in rows), kept)
