"""Explain a correction of a closed period, taken apart for one subject.

A correction reverses posted rows and posts them anew, so its rows stand in pairs. Here they are summed by
subject; the sum of a pair is the change itself.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Final, TypeAlias

import msgspec

from inferworks.books.analysis.breakdown import Bounds, Node, bounded
from inferworks.books.closing.prior_period import Adjustment
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
    dimension, changes = Dimension(kind), list[Corrected]()
    for adjustment in adjustments:
        correction, costs = adjustment.correction, list[_Row]()
        for line in correction.lines:
            if name_of(line, dimension) == name:
                target = " ".join(filter(None, line.target.order()))
                way = line.function.value, f"pool {line.pool}", f"{line.method} {target}".strip()
                costs.append((way, line.amount_pico))
        revenue = _revenue(correction, dimension, name)
        change = Corrected(
            adjustment.name,
            correction.causes,
            _node(f"revenue, {adjustment.name}", revenue, bounds),
            _node(f"cost, {adjustment.name}", costs, bounds),
        )
        if not change.empty:
            changes.append(change)
    return tuple(changes)


_Row: TypeAlias = tuple[Sequence[str], int]
"""Names on the way down to an amount, and the amount in picounits."""


def _revenue(correction: Correction, dimension: Dimension, name: str) -> list[_Row]:
    """The revenue of `correction` that is the subject's: what it is for, and how much."""
    if dimension is Dimension.POOL:
        return []
    if dimension not in _PLACES:
        return [
            ((f"{row.model} {row.item if row.unit is None else row.unit}",), row.amount_pico)
            for row in correction.revenue_rows
            if revenue_name(row, dimension) == name
        ]
    rows: list[_Row] = [
        (("calls served there",), place.amount_pico)
        for place in correction.placed
        if row_name(getattr(place, dimension), dimension) == name
    ]
    if name == row_name("", dimension):
        rest_pico = correction.revenue_pico - sum(place.amount_pico for place in correction.placed)
        rows.append((("fees and discounts",), rest_pico))
    return rows


def _node(label: str, rows: Sequence[_Row], bounds: Bounds, level: int = 0) -> Node:
    """The tree of `rows` below `level`; branches of nothing are left out."""
    grouped: dict[str, list[_Row]] = defaultdict(list)
    for way, amount_pico in rows:
        if level < min(len(way), bounds.depth):
            grouped[way[level]].append((way, amount_pico))
    parts = [_node(name, grouped[name], bounds, level + 1) for name in sorted(grouped)]
    kept = tuple(part for part in parts if part.amount_pico or part.parts)
    return bounded(Node(label, sum(pico for _, pico in rows), parts=kept), bounds)
