"""Revenue by where its calls were served: what a statement's cut by provider, region and chip shows."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from typing import NamedTuple


class LocationRevenue(NamedTuple):
    """Revenue of the calls that were served at one place; empty texts where nobody said."""

    provider: str
    region: str
    chip: str
    amount_pico: int


def placed_sum(rows: Iterable[LocationRevenue]) -> tuple[LocationRevenue, ...]:
    """One row for each place of `rows`, in a fixed order; none where nothing is left."""
    sums: dict[tuple[str, str, str], int] = defaultdict(int)
    for row in rows:
        sums[row.provider, row.region, row.chip] += row.amount_pico
    return tuple(LocationRevenue(*place, sums[place]) for place in sorted(sums) if sums[place])


def placed_change(
    booked: Iterable[LocationRevenue], restated: Iterable[LocationRevenue]
) -> tuple[LocationRevenue, ...]:
    """Return the rows that take the `booked` revenue of each location to the `restated` one.

    Nothing where the restated one is not known by place, as that of very many calls: what was booked for
    a place then stays there, and the change is shown without one.
    """
    restated = tuple(restated)
    if not restated:
        return ()
    reversed_rows = (row._replace(amount_pico=-row.amount_pico) for row in booked)
    return placed_sum((*reversed_rows, *restated))
