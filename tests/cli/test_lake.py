"""`inferworks lake` as its user meets it, and a running platform that seals by itself."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
from tests.support.command_line import document, invoke, refusal, run
from tests.support.lake_world import DAY_1_NS, check_each_row_once, facts_of_days, write

from inferworks import wiring
from inferworks.config import Config, Data, Engine, Gateway, Lake
from inferworks.folder import DataFolder
from inferworks.meter.archive.journal import UnsealedReader
from inferworks.meter.archive.manifest import read_manifest
from inferworks.meter.archive.schema import Fact
from inferworks.meter.lakes.local import LocalLake
from inferworks.testing.facts import make_opened, make_usage


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A data folder with two days of facts."""
    folder = tmp_path / "data"
    DataFolder(folder).create()
    write(folder / "journal.db", FACTS)
    return folder


FACTS: list[Fact] = facts_of_days(1, rows=10)


def test_seal_status_verify(data: Path) -> None:
    """Rows are sealed up to a day, then all; status shows what is where, and verify agrees."""
    first = json.loads(
        invoke("lake", "seal", "--data", data, "--before", "2024-10-05", "--json").output
    )
    assert {segment["day"] for segment in first["segments"]} == {"2024-10-04"}
    status = document("lake", "status", "--data", data)
    tables = status["tables"]
    assert sum(table["rows"] for table in tables.values()) == first["rows"]
    assert sum(table["rows"] + table["unsealed_rows"] for table in tables.values()) == len(FACTS)
    assert "2024-10-05" in invoke("lake", "seal", "--data", data).output
    assert invoke("lake", "seal", "--data", data, "--all").output == "nothing to seal\n"
    assert "everything is as it was sealed" in invoke("lake", "verify", "--data", data).output
    table = invoke("lake", "status", "--data", data).output
    assert all(len(line) <= 80 for line in table.splitlines()[1:]), table
    check_each_row_once(LocalLake(data / "lake"), data / "journal.db", FACTS)


def test_verify_fails_when_a_file_was_cut(data: Path) -> None:
    """A truncated Parquet file is named, and the exit status says so."""
    invoke("lake", "seal", "--data", data)
    path = next((data / "lake" / "usage").rglob("*.parquet"))
    path.write_bytes(path.read_bytes()[:-50])
    result = invoke("lake", "verify", "--data", data)
    assert result.exit_code == 1
    assert f"WRONG usage/{path.parent.name}/{path.name}: " in result.output
    found = json.loads(invoke("lake", "verify", "--data", data, "--json").stdout)
    assert [finding["name"] for finding in found["findings"]] == [
        f"usage/{path.parent.name}/{path.name}"
    ]


def test_what_cannot_be_is_one_clear_line(data: Path, tmp_path: Path) -> None:
    """A running platform, no journal, a wrong day: each is told, and what to do."""
    with DataFolder(data).hold():
        assert "seals by itself" in refusal("lake", "seal", "--data", data)
    assert "there is no journal" in refusal("lake", "seal", "--data", tmp_path / "none")
    assert not (tmp_path / "none").exists()
    assert "--before 'soon'" in invoke("lake", "seal", "--data", data, "--before", "soon").output
    both = invoke("lake", "seal", "--data", data, "--before", "2026-01-01", "--all")
    assert "exclude each other" in both.output


def test_a_statement_is_the_same_after_sealing(data: Path, tmp_path: Path) -> None:
    """The books read sealed and unsealed rows alike."""
    bill = tmp_path / "bill.csv"
    bill.write_text(
        "BilledCost,BillingCurrency,ChargePeriodStart,ChargePeriodEnd,InvoiceIssuerName,ServiceCategory,"
        "ResourceId\n9.00,USD,2024-10-04T00:00:00Z,2024-10-06T00:00:00Z,A Cloud,Networking,\n"
    )
    run("books", "import", bill, "--data", data)
    statement = ("books", "statement", "--json", "--data", data, "--by", "customer")
    write(data / "journal.db", [make_usage(call_id="x", opened_ns=DAY_1_NS, customer="other")])
    before = run(*statement)
    invoke("lake", "seal", "--data", data)
    assert invoke(*statement).output == before.output


@pytest.mark.slow
def test_sums_that_are_gone_or_damaged_change_no_figure(data: Path, tmp_path: Path) -> None:
    """A statement on DuckDB is the same from the journal, from sums, without them, and beside bad ones."""
    bill = tmp_path / "bill.csv"
    bill.write_text(
        "BilledCost,BillingCurrency,ChargePeriodStart,ChargePeriodEnd,InvoiceIssuerName,ServiceCategory,"
        "ResourceId\n9.00,USD,2024-10-04T00:00:00Z,2024-10-06T00:00:00Z,A Cloud,Networking,\n"
    )
    invoke("books", "import", bill, "--data", data)
    span = ("--from", "2024-10-04", "--to", "2024-10-06")
    by_customer = ("books", "statement", *span, "--by", "customer", "--engine", "duckdb")
    before = run(*by_customer, "--data", data)
    invoke("lake", "seal", "--data", data, "--all")
    assert invoke(*by_customer, "--data", data).output == before.output
    calls, *others = sorted((data / "lake" / "sums").rglob("*.parquet"))
    calls.write_bytes(calls.read_bytes()[::-1])
    others[-1].unlink()
    assert invoke(*by_customer, "--data", data).output == before.output
    assert invoke("lake", "verify", "--data", data).output.count("WRONG") == 2
    assert "files of sums written" in invoke("lake", "sums", "--anew", "--data", data).stdout
    run("lake", "verify", "--sums", "--data", data)
    assert invoke(*by_customer, "--data", data).output == before.output


async def until(true: Callable[[], bool]) -> None:
    """Wait for the platform to have done something that shows only by looking."""
    deadline = time.monotonic() + 20
    while not true():
        assert time.monotonic() < deadline, "it did not happen in time"
        await asyncio.sleep(0.02)


def config_of(data: Path, lake: Lake) -> Config:
    """A platform without replicas."""
    return Config(
        data=Data(folder=str(data)), engine=Engine(replicas=0), gateway=Gateway(port=0), lake=lake
    )


def unsealed_rows(data: Path) -> int:
    """Number of rows that are still in the journal alone."""
    with UnsealedReader(data / "journal.db") as reader:
        return sum(reader.unsealed_counts().values())


@pytest.mark.slow
def test_a_running_platform_seals(data: Path) -> None:
    """Rows old enough go into the lake while calls may come; leaving waits for the sealing."""

    async def run() -> None:
        config = config_of(data, Lake(seal_s=0.05))
        async with wiring.open_platform(config, {}):
            await until(lambda: unsealed_rows(data) == 0)
            write(data / "journal.db", [make_opened(call_id="new"), make_usage(call_id="new")])
            await until(lambda: unsealed_rows(data) == 0)

    asyncio.run(run())
    new = make_usage(call_id="new")
    check_each_row_once(LocalLake(data / "lake"), data / "journal.db", [*FACTS, new])


def test_a_lake_that_fails_does_not_stop_the_platform(
    data: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The platform says so and goes on when the lake cannot be written; nothing is lost."""
    (data / "lake").write_text("in the way")

    async def run() -> None:
        async with wiring.open_platform(config_of(data, Lake(seal_s=0.05)), {}):
            await until(lambda: caplog.text.count("sealing failed") >= 2)

    asyncio.run(run())
    (data / "lake").unlink()
    check_each_row_once(LocalLake(data / "lake"), data / "journal.db", FACTS)


def test_sealing_can_be_switched_off(data: Path) -> None:
    """With `lake.seal_s` of zero, nothing is sealed."""

    async def run() -> None:
        async with wiring.open_platform(config_of(data, Lake(seal_s=0)), {}):
            await asyncio.sleep(0)

    asyncio.run(run())
    assert not read_manifest(LocalLake(data / "lake")).segments


def test_the_lake_may_be_elsewhere(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`lake.url` names it, for every command; rows that were sealed elsewhere are missed."""
    monkeypatch.setenv("INFERWORKS_LAKE_URL", (tmp_path / "elsewhere").as_uri())
    sealed = msgspec.json.decode(invoke("lake", "seal", "--data", data, "--json").output)
    assert sealed["rows"] == len(FACTS)
    assert (tmp_path / "elsewhere" / "manifest").is_dir()
    monkeypatch.delenv("INFERWORKS_LAKE_URL")
    assert "set lake.url to where they are" in refusal("books", "statement", "--data", data)
