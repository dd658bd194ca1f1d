"""Bill lines as an engine divides them: in bundles where they are too many to hold, as in the reference."""

from __future__ import annotations

from collections.abc import Iterable

from inferworks.books.calendar.span import Span
from inferworks.books.charge import Charge
from inferworks.books.engines.base import Engine
from inferworks.books.engines.lake import Lake
from inferworks.books.lines import Lines
from inferworks.books.statement.bundles import Things, in_bundles
from inferworks.books.statement.computation import Rules
from inferworks.units import Unit


def as_divided_on(
    engine: Engine, lake: Lake, charges: Iterable[Charge], rules: Rules, span: Span
) -> Iterable[Charge]:
    """`charges` as `engine` divides them: as they are where they are held."""
    if not isinstance(charges, Lines):
        return charges
    return in_bundles(charges, rules, span, _things(engine, lake))


def _things(engine: Engine, lake: Lake) -> Things:
    """Return the nodes and buckets that the meter knows, by the names that bills have for them."""
    stood = engine.fetch(lake.by_day("intervals", ()).united(["node"]).distinct()).to_pylist()
    used = engine.fetch(lake.activity.select("resource", "unit").distinct()).to_pylist()
    of_unit = {
        unit: {row["resource"] for row in used if row["unit"] == unit.value}
        for unit in (Unit.NODE_NS, Unit.BYTE_SECONDS)
    }
    return Things(
        {row["node"] for row in stood} | of_unit[Unit.NODE_NS], of_unit[Unit.BYTE_SECONDS]
    )
