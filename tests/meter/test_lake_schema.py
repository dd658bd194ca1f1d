"""What a sealed segment's columns are."""

from __future__ import annotations

import io
from collections.abc import Sequence

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from inferworks.meter.lake_schema import LAKE_TABLES, Fact, batch_of, key_of, records_of
from inferworks.meter.usage import Outcome, Tokens
from inferworks.testing.facts import (
    make_activity,
    make_capacity,
    make_leg,
    make_step,
    make_usage,
)

FACTS: dict[str, list[Fact]] = {
    "usage": [
        make_usage(legs=[make_leg(replica=None, outcome=Outcome.FAILED), make_leg()]),
        make_usage(call_id="untried", legs=[], tokens=Tokens(1, 2, 3, 4)),
        make_usage(call_id="largest", opened_ns=2**62, model="größe-🦥"),
    ],
    "step": [
        make_step(("a", 1, 2, 3), ("b", 0, 1, 7)),
        make_step(seq=1),
        make_step(("c", 4, 5, 6)),
    ],
    "capacity": [make_capacity(), make_capacity(duration_ns=0)],
    "activity": [make_activity(), make_activity(quantity=2**63 - 1)],
}


@pytest.mark.parametrize("name", FACTS)
@pytest.mark.parametrize("some", [slice(0), slice(1), slice(None)], ids=["none", "one", "all"])
def test_facts_survive_the_way_there_and_back(name: str, some: slice) -> None:
    """Facts made into columns, written as Parquet and read again are the same facts."""
    table, facts = LAKE_TABLES[name], FACTS[name][some]
    file = io.BytesIO()
    pq.write_table(pa.Table.from_batches([batch_of(table, facts)]), file)
    read = pq.read_table(file)
    assert read.schema.equals(table.schema)
    [batch] = read.combine_chunks().to_batches() or [batch_of(table, [])]
    assert list(records_of(table, batch)) == facts


@pytest.mark.parametrize("name", FACTS)
def test_a_part_of_a_batch_can_be_read(name: str) -> None:
    """A slice of a batch gives the facts of that slice."""
    table, facts = LAKE_TABLES[name], FACTS[name]
    assert list(records_of(table, batch_of(table, facts).slice(1, 1))) == facts[1:2]


def test_every_table_has_its_key_and_its_day() -> None:
    """A table's key and day are columns of it that are never null."""
    for table in LAKE_TABLES.values():
        for column in (*table.key, table.day_column):
            assert not table.schema.field(column).nullable, f"{table.name}.{column}"
    assert key_of(LAKE_TABLES["usage"], make_usage()) == ("call_1",)


@pytest.mark.parametrize(
    ("legs", "served"),
    [
        ([make_leg(provider="first", outcome=Outcome.FAILED), make_leg(provider="last")], "last"),
        ([], ""),
    ],
)
def test_a_stranger_sees_who_served_a_call(legs: Sequence[object], served: str) -> None:
    """The flat columns are those of the last leg, and empty when none was tried."""
    table = LAKE_TABLES["usage"]
    usages = pa.Table.from_batches([batch_of(table, [make_usage(legs=legs)])])  # type: ignore[arg-type]
    query = "SELECT provider, region, chip, len(legs), input_tokens FROM usages"
    with duckdb.connect() as database:
        database.register("usages", usages)
        assert database.execute(query).fetchall() == [(served, "", "", len(legs), 100)]
