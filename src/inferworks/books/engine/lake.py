"""The facts of the meter as tables: from the lake's files, from memory, or both."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import ibis
import ibis.expr.types as ir
import pyarrow as pa

from inferworks.books.engine.base import Engine
from inferworks.meter.facts import Facts
from inferworks.meter.lake_schema import LAKE_TABLES, Fact, batch_of


class Lake(NamedTuple):
    """The facts of the meter as tables, with the columns of `meter.lake_schema`."""

    usage: ir.Table
    step: ir.Table
    capacity: ir.Table
    activity: ir.Table


def lake_of(
    engine: Engine, files: Mapping[str, Iterable[str]], recent: Facts | None = None
) -> Lake:
    """The Parquet `files` of each table by its name, and `recent` facts that are in none of them.

    A table without a file is empty. BooksError when a file cannot be read.
    """
    facts = recent or Facts((), (), (), ())
    in_memory: Mapping[str, Sequence[Fact]] = {
        "usage": facts.usages,
        "step": facts.steps,
        "capacity": facts.capacity,
        "activity": facts.activities,
    }
    tables: dict[str, ir.Table] = {}
    for name, rows in in_memory.items():
        table, sealed = LAKE_TABLES[name], sorted(files.get(name, ()))
        parts = [engine.parquet(sealed).select(table.schema.names)] if sealed else []
        if rows or not parts:
            held = pa.Table.from_batches([batch_of(table, rows)])
            parts.append(engine.table(held).select(table.schema.names))
        tables[name] = ibis.union(*parts) if len(parts) > 1 else parts[0]
    return Lake(**tables)
