"""Revenue by the location of its calls: the cut of a statement by provider, region and chip."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from typing import NamedTuple


class LocationRevenue(NamedTuple):
    """Revenue of the calls that were served at one location; empty texts where it is unknown."""

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

    Nothing where the restated one is not known by location, as for very many calls: the posted revenue of
    a location then stays, and the change is shown without one.
    """
    restated = tuple(restated)
    if not restated:
        return ()
    reversed_rows = (row._replace(amount_pico=-row.amount_pico) for row in booked)
    return placed_sum((*reversed_rows, *restated))
