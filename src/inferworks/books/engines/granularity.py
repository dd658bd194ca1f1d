"""Granularity: the keys by which calls are told apart, and their numbers.

A grain begins with `label` (the use) and `customer`; at the grain of targets the rest of a target
follows. An unknown value is the empty text, or -1 for a day.

A charge is divided among as many rows as there are customers, and there are many charges; sorting and
summing by two texts takes twice as long as by a number. So once calls are summed, a label and a customer
together are a *party*, and parties are numbered in the order of their names: a tie of a split is settled
by number as it would be by name. They get their names back when the parts have been summed.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

import ibis
import ibis.expr.types as ir
import pyarrow as pa

from inferworks.books.engines.base import Engine

FIRST = ("label", "customer")
REST = ("project", "key_id", "model", "direction", "provider", "region", "chip", "day")
PARTY = "party"
NO_DAY = -1
UNPLACED = "?"
"""Label of an unexplained amount, until a charge's pool gives it a name."""
UNALLOCATED = "Unallocated:"
"""Prefix of a label that names the reason why something could not be placed."""


class Grain(NamedTuple):
    """Keys by which calls are told apart."""

    name: str
    rest: tuple[str, ...]

    @property
    def columns(self) -> tuple[str, ...]:
        """All columns of the grain, by name."""
        return (*FIRST, *self.rest)

    @property
    def keys(self) -> tuple[str, ...]:
        """The columns, with the number of the party for its names."""
        return (PARTY, *self.rest)


CUSTOMERS = Grain("customers", ())
TARGETS = Grain("targets", REST)


def unallocated(why: str) -> str:
    """The label of what could not be placed."""
    return UNALLOCATED + why


def nothing(column: str) -> ir.Value:
    """Return the value of `column` of a grain where nothing is known."""
    return ibis.literal(NO_DAY, "int64") if column == "day" else ibis.literal("")


class Parties:
    """The labels and customers of some tables, numbered."""

    def __init__(
        self, engine: Engine, tables: Iterable[ir.Table], others: Iterable[tuple[str, str]]
    ) -> None:
        """Number the parties of `tables`, which have both columns, and of the pairs `others`."""
        labels, customers = zip(*others, strict=True)
        pairs = engine.table(
            pa.table(
                {
                    "label": pa.array(labels, pa.string()),
                    "customer": pa.array(customers, pa.string()),
                }
            )
        )
        every = ibis.union(pairs, *(table.select(*FIRST) for table in tables), distinct=True)
        number = ibis.row_number().over(order_by=list(FIRST))
        self._engine = engine
        self.names = engine.keep(every.mutate(number.name(PARTY)))

    def numbered(self, rows: ir.Table) -> ir.Table:
        """`rows` with the number of the party for its names."""
        return rows.join(self.names, list(FIRST)).drop(*FIRST)

    def named(self, rows: ir.Table) -> ir.Table:
        """`rows` with the names of the party beside its number."""
        return rows.join(self.names, PARTY)

    def nameless(self, labels: Iterable[str]) -> Mapping[str, int]:
        """The party of each of `labels` with no customer."""
        found = self.names.filter((self.names.customer == "") & self.names.label.isin({*labels}))
        return {row["label"]: row[PARTY] for row in self._engine.fetch(found).to_pylist()}
