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
    stood = engine.fetch(lake.by_day("intervals", ()).united(["node"]).distinct()).to_pylist()
    used = engine.fetch(lake.activity.select("resource", "unit").distinct()).to_pylist()
    nodes = {row["resource"] for row in used if row["unit"] == Unit.NODE_NS.value}
    buckets = {row["resource"] for row in used if row["unit"] == Unit.BYTE_SECONDS.value}
    things = Things({row["node"] for row in stood} | nodes, buckets)
    return in_bundles(charges, rules, span, things)
