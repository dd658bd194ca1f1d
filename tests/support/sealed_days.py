"""Random facts archived by day, with sums: to compare figures from sums with figures from rows."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
from msgspec.structs import replace

from inferworks.arrow import pa, pq
from inferworks.meter.archive.schema import DAY_NS, LAKE_TABLES, Fact, batch_of
from inferworks.meter.archive.sums import KINDS
from inferworks.meter.facts import Facts

if TYPE_CHECKING:  # an engine of large books is an extra
    from inferworks.books.engines.base import Engine
    from inferworks.books.engines.lake import Lake

TICK_NS = DAY_NS // 200
"""Length of one nanosecond of `worlds` here, so that a world takes ten days."""


def stretched(value: Any) -> Any:
    """`value` with every time in it `TICK_NS` times as long."""
    if isinstance(value, tuple | list):
        found = [stretched(one) for one in value]
        return value._make(found) if hasattr(value, "_make") else type(value)(found)
    if not isinstance(value, msgspec.Struct):
        return value
    times = {
        name: of * TICK_NS
        if name.endswith("_ns") and isinstance(of := getattr(value, name), int)
        else stretched(getattr(value, name))
        for name in value.__struct_fields__
    }
    return replace(value, **times)


class SealedDays:
    """Facts sealed into files below `folder` by chance, in one to two pieces a day, most with sums."""

    def __init__(self, folder: Path, facts: Facts, dice: random.Random) -> None:
        self.files: dict[str, list[str]] = defaultdict(list)
        self.sums: list[tuple[str, str, int, str]] = []
        """The file of each, its kind, its day and the file of its sums, as `DaySums` has them."""
        kept: dict[str, tuple[Fact, ...]] = {}
        for name, rows, at in (
            ("usage", facts.usages, "opened_ns"),
            ("capacity", facts.capacity, "start_ns"),
        ):
            pieces: dict[tuple[int, int], list[Fact]] = defaultdict(list)
            for row in rows:
                pieces[getattr(row, at) // DAY_NS, dice.choice([0, 0, 1, 2])].append(row)
            kept[name] = tuple(row for (_, n), of in pieces.items() if n == 2 for row in of)
            for (day, number), of in sorted(pieces.items()):
                if number < 2:
                    self.seal(folder / f"{name}-{day}-{number}.parquet", name, day, of, dice)
        self.rest = replace(facts, usages=kept["usage"], capacity=kept["capacity"])

    def seal(
        self, path: Path, name: str, day: int, rows: Sequence[Fact], dice: random.Random
    ) -> None:
        """Write `rows` of the table `name`, all of `day`, to `path`, and most sums beside it."""
        pq.write_table(pa.Table.from_batches([batch_of(LAKE_TABLES[name], rows)]), path)
        self.files[name].append(str(path))
        for kind in KINDS.values():
            if kind.table == name and dice.random() < 0.9:
                beside = path.with_suffix(f".{kind.name}")
                pq.write_table(kind.sums_of(pq.ParquetFile(path), day), beside)
                self.sums.append((str(path), kind.name, day, str(beside)))

    def lake(self, engine: Engine, *, summed: bool) -> Lake:
        """The lake, with its sums or without."""
        from inferworks.books.engines.lake import DaySums, lake_of

        sums = [DaySums(*one) for one in self.sums] if summed else ()
        return lake_of(engine, self.files, self.rest, sums)
