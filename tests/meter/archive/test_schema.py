"""Columns of a sealed segment."""

from __future__ import annotations

import io
from collections.abc import Sequence
from hashlib import sha256
from operator import attrgetter
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from msgspec.structs import replace

from inferworks.books.engines.duckdb import DuckEngine
from inferworks.books.engines.lake import lake_of
from inferworks.meter.archive.schema import (
    LAKE_TABLES,
    Column,
    Fact,
    Layout,
    batch_of,
    is_version_of,
    key_of,
    records_of,
)
from inferworks.meter.usage import Items, Outcome, Tokens
from inferworks.testing.facts import (
    make_activity,
    make_capacity,
    make_leg,
    make_step,
    make_usage,
)

pytestmark = pytest.mark.slow

A_FULL_LEG = replace(
    make_leg(tokens=Tokens(*range(1, 11))),
    items=Items(images=1, audio_ms=2, characters=3, searches=4),
    service_tier="priority",
    told_cost_pico=5,
    told_currency="EUR",
    ended_by="drain",
    left_out="n, logprobs",
)

FACTS: dict[str, list[Fact]] = {
    "usage": [
        make_usage(legs=[make_leg(replica=None, outcome=Outcome.FAILED), make_leg()]),
        make_usage(call_id="untried", legs=[], tokens=Tokens(1, 2, 3, 4)),
        make_usage(call_id="largest", opened_ns=2**62, model="größe-🦥"),
        replace(
            make_usage(legs=[A_FULL_LEG], tokens=A_FULL_LEG.tokens),
            items=A_FULL_LEG.items,
            end_user="ann",
        ),
    ],
    "step": [
        make_step(("a", 1, 2, 3), ("b", 0, 1, 7)),
        make_step(seq=1),
        make_step(("c", 4, 5, 6)),
    ],
    "capacity": [make_capacity(), make_capacity(duration_ns=0)],
    "activity": [make_activity(), *(make_activity(quantity=n) for n in (2**63 - 1, 2**63, 10**25))],
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


def test_a_file_of_before_can_be_read() -> None:
    """Columns added after a file was written read as zero or empty."""
    table = LAKE_TABLES["usage"]
    usages = [make_usage(), make_usage(call_id="failed over", legs=[make_leg(), make_leg()])]
    before = first_version(batch_of(table, usages))
    assert is_version_of(table, before.schema)
    assert not is_version_of(table, before.schema.remove(3))
    assert not is_version_of(table, table.schema.append(pa.field("more", pa.int64())))
    assert list(records_of(table, before)) == usages


@pytest.mark.parametrize("others", [[], [make_usage(call_id="new", tokens=A_FULL_LEG.tokens)]])
def test_an_engine_reads_files_of_before(tmp_path: Path, others: Sequence[Fact]) -> None:
    """Files of two versions are one table, and so are old ones alone."""
    table, old = LAKE_TABLES["usage"], [make_usage(legs=[make_leg(replica=None)])]
    pq.write_table(pa.Table.from_batches([first_version(batch_of(table, old))]), tmp_path / "old")
    files = [str(tmp_path / "old")]
    if others:
        files.append(str(tmp_path / "new"))
        pq.write_table(pa.Table.from_batches([batch_of(table, others)]), files[-1])
    with DuckEngine(folder=tmp_path) as engine:
        lake = lake_of(engine, {"usage": files})
        assert lake.bought() == tuple(old)
        assert engine.fetch(lake.usage.images.sum().as_table()).column(0).to_pylist() == [0]


@pytest.mark.parametrize("others", [[], [make_usage(call_id="new", legs=[A_FULL_LEG])]])
def test_an_engine_reads_files_whose_legs_left_nothing_out(
    tmp_path: Path, others: Sequence[Fact]
) -> None:
    """Legs that lack their last column alone keep all others."""
    table = LAKE_TABLES["usage"]
    old = [make_usage(legs=[replace(A_FULL_LEG, left_out="", replica=None), make_leg()])]
    batch = shortened(batch_of(table, old), "ended_by", len(table.schema))
    assert is_version_of(table, batch.schema)
    pq.write_table(pa.Table.from_batches([batch]), tmp_path / "old")
    files = [str(tmp_path / "old")]
    if others:
        files.append(str(tmp_path / "new"))
        pq.write_table(pa.Table.from_batches([batch_of(table, others)]), files[-1])
    with DuckEngine(folder=tmp_path) as engine:
        assert lake_of(engine, {"usage": files}).bought() == tuple(old)


def test_an_engine_reads_what_was_used_of_any_size(tmp_path: Path) -> None:
    """Beside a file of before, which knew of 63 bits; a sum of them is exact."""
    table, (old, new) = LAKE_TABLES["activity"], [make_activity(), make_activity(quantity=10**25)]
    before = batch_of(table, [old]).select(range(len(table.schema) - 1))
    assert is_version_of(table, before.schema)
    assert list(records_of(table, before)) == [old]
    pq.write_table(pa.Table.from_batches([before]), tmp_path / "old")
    pq.write_table(pa.Table.from_batches([batch_of(table, [new])]), tmp_path / "new")
    for files in (["old"], ["old", "new"]):
        with DuckEngine(folder=tmp_path) as engine:
            lake = lake_of(engine, {"activity": [str(tmp_path / name) for name in files]})
            rows = engine.fetch(lake.activity).to_batches()
            found = [fact for batch in rows for fact in records_of(table, batch)]
        assert sorted(found, key=attrgetter("quantity")) == [old, new][: len(files)]


def first_version(batch: pa.RecordBatch) -> pa.RecordBatch:
    """`batch` of usages as the first version would have written it."""
    return shortened(batch, "chip", batch.schema.get_field_index("legs") + 1)


def shortened(batch: pa.RecordBatch, last_of_leg: str, columns: int) -> pa.RecordBatch:
    """`batch` of usages as a version would have written it that had so many columns."""
    legs = batch.schema.get_field_index("legs")
    element = batch.schema.field(legs).type.value_type
    first = pa.struct(list(element)[: element.get_field_index(last_of_leg) + 1])
    lists = batch.column(legs)
    values = pa.array(
        [{f.name: leg[f.name] for f in first} for leg in lists.flatten().to_pylist()], first
    )
    type_ = pa.list_(pa.field("element", first, nullable=False))
    column = pa.ListArray.from_arrays(lists.offsets, values, type=type_)
    whole = batch.set_column(legs, pa.field("legs", type_, nullable=False), column)
    return whole.select(range(columns))


def described(columns: Sequence[Column]) -> list[str]:
    """Return `columns` as text, those of a list's elements too."""
    return [
        f"{column.name} {column.nullable} "
        + (str(described(column.kind.columns)) if isinstance(column.kind, Layout) else column.kind)
        for column in columns
    ]


@pytest.mark.parametrize(
    ("name", "digest"),
    [
        ("usage", "bbc106f7fe88f6f5"),
        ("step", "49b3ee5eff62096a"),
        ("capacity", "5c1392f0be42644d"),
        ("activity", "7d9bb377a8a23cab"),
    ],
)
def test_columns_are_those_of_the_files_that_there_are(name: str, digest: str) -> None:
    """Columns are derived from the facts: a field that is added must stand at the end, and be `added`."""
    columns = "\n".join(described(LAKE_TABLES[name].layout.columns))
    assert sha256(columns.encode()).hexdigest()[:16] == digest


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
