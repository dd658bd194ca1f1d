"""`inferworks scrub` as its user meets it, and a running platform that scrubs by itself."""

from __future__ import annotations

import asyncio
import json
import shutil
import sqlite3
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from tests.support.command_line import invoke, run
from tests.support.lake_world import facts_of_days, write

from inferworks import wiring
from inferworks.config import Config, Data, Engine, Gateway, Scrub
from inferworks.errors import InferworksError, UserError
from inferworks.folder import DataFolder
from inferworks.meter.inflight_log import opening_files
from inferworks.meter.lakes.local import LocalLake
from inferworks.meter.reader import JournalReader
from inferworks.meter.stores.sqlite import SqliteStore
from inferworks.testing.facts import make_opened
from inferworks.wiring.scrub import scrub, summed

pytestmark = pytest.mark.slow

BILL = (
    "BilledCost,BillingCurrency,ChargePeriodStart,ChargePeriodEnd,InvoiceIssuerName,ServiceCategory,"
    "ResourceId\n9.00,USD,2024-10-01T00:00:00Z,2024-11-01T00:00:00Z,A Cloud,Networking,\n"
)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data folder with something in each of its parts."""
    root = tmp_path_factory.mktemp("made")
    folder = root / "data"
    DataFolder(folder).create()
    (root / "bill.csv").write_text(BILL)
    write(folder / "journal.db", facts_of_days(1, rows=10))
    for command in (
        ("keys", "create"),
        ("books", "import", root / "bill.csv"),
        ("lake", "seal", "--before", "2024-10-05"),
        ("books", "close", "2024-10"),
        ("books", "periods", "later", "--from", "2024-11-01", "--to", "2024-11-08"),
    ):
        run(*command, "--data", folder)
    return folder


@pytest.fixture
def data(made: Path, tmp_path: Path) -> Path:
    """A copy of that folder."""
    return Path(shutil.copytree(made, tmp_path / "data"))


def parts(data: Path, *, exit_code: int) -> dict[str, dict[str, object]]:
    """Findings of `scrub --json` on each part."""
    result = invoke("scrub", "--data", data, "--json")
    assert result.exit_code == exit_code, result.output
    found = json.loads(result.output)
    assert found["sound"] is (exit_code == 0)
    return {part["part"]: part for part in found["parts"]}


def test_a_sound_folder(data: Path) -> None:
    """Every part is read, nothing is wrong, and nothing is changed."""
    found = parts(data, exit_code=0)
    assert list(found) == ["journal", "lake", "accounts", "books", "ledger"]
    assert all(part["rows"] for part in found.values())
    assert "everything is what was written" in invoke("scrub", "--data", data).output


@pytest.mark.parametrize(
    ("part", "file", "damage"),
    [
        ("journal", "journal.db", "UPDATE usage SET customer = 'bcme'"),
        ("accounts", "accounts.db", "UPDATE key SET customer = 'default' || 'x'"),
        ("books", "books.db", "UPDATE charges SET body = replace(body, '9', '8')"),
        (
            "ledger",
            "ledger.db",
            "DROP TRIGGER period_is_not_updated; UPDATE period SET end_ns = 7",
        ),
        ("ledger", "ledger.db", "DROP TRIGGER kept_is_not_updated; UPDATE kept SET body = x'00'"),
        # A page that says of a value that it is of another type, and one that has lost its row.
        ("ledger", "ledger.db", "DROP TRIGGER kept_is_not_updated; UPDATE kept SET body = 5"),
        ("ledger", "ledger.db", "DROP TRIGGER record_is_not_updated; UPDATE record SET body = 5"),
        (
            "ledger",
            "ledger.db",
            "DROP TRIGGER period_is_not_updated; UPDATE period SET name = x'80'",
        ),
        ("books", "books.db", "UPDATE charges SET body = 5"),
        ("books", "books.db", "DELETE FROM meta"),
    ],
)
def test_damage_is_named(part: str, file: str, damage: str, data: Path) -> None:
    """The part and the file, and the exit status says so."""
    with closing(sqlite3.connect(data / file)) as database:
        database.executescript(damage)
    found = parts(data, exit_code=1)
    assert [name for name, about in found.items() if about["findings"]] == [part]
    result = invoke("scrub", "--data", data)
    assert result.exit_code == 1
    assert f"{data / file} is damaged" in result.output


@pytest.mark.parametrize("file", ["accounts.db", "books.db", "ledger.db", "journal.db"])
def test_a_file_of_noise_is_named(file: str, data: Path) -> None:
    """Scrubbing goes on with the other parts, without a traceback, whatever stands in the file's place."""
    for name in (file, f"{file}-wal", f"{file}-shm"):
        (data / name).unlink(missing_ok=True)
    (data / file).write_bytes(b"Dear diary, " * 4096)
    found = parts(data, exit_code=1)
    assert len(found) == 5
    assert str(data / file) in invoke("scrub", "--data", data).output


@pytest.mark.parametrize("file", ["accounts.db", "books.db", "ledger.db", "journal.db"])
def test_no_flipped_bit_ends_a_scrub(file: str, data: Path) -> None:
    """Also where the disk has changed the layout of a table, or a name is no Unicode any more."""
    path, folder = data / file, DataFolder(data)
    with closing(sqlite3.connect(path)) as database:
        database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    expected = {"journal", "lake", "accounts", "books", "ledger"}
    if path != folder.journal:  # only its own lines lead to the lake, which takes longest to read
        folder.journal.unlink()
        shutil.rmtree(folder.lake)
        expected.remove("journal")
    written = path.read_bytes()
    held = [place for place, byte in enumerate(written) if byte]
    for place in held[:: max(len(held) // 60, 1)]:
        for bit in (1, 128):
            flipped = bytes([written[place] ^ bit])
            path.write_bytes(written[:place] + flipped + written[place + 1 :])
            found = summed(scrub(folder, LocalLake(folder.lake), thorough=True))
            assert {part.part for part in found} == expected
            told = [text for part in found if part.part != "lake" for text in part.findings]
            assert all(str(path) in text for text in told)


def test_a_journal_that_is_gone_is_named(data: Path) -> None:
    """A lost journal's records are in no statement: none is drawn up, and no start begins a new journal."""
    for name in ("journal.db", "journal.db-wal", "journal.db-shm"):
        (data / name).unlink(missing_ok=True)
    found = parts(data, exit_code=1)
    assert [name for name, about in found.items() if about["findings"]] == ["lake"]
    for command in (("lake", "verify"), ("books", "statement"), ("up",)):
        result = invoke(*command, "--data", data)
        assert isinstance(result.exception, InferworksError)
        assert "journal.db is gone, though the lake" in str(result.exception)
    assert not (data / "journal.db").exists()


def test_no_folder_is_one_line(tmp_path: Path) -> None:
    """A wrong name is told, and no folder is made."""
    result = invoke("scrub", "--data", tmp_path / "none")
    assert isinstance(result.exception, UserError)
    assert not (tmp_path / "none").exists()


async def until(true: Callable[[], bool]) -> None:
    """Wait for the platform to have done something that shows only by looking."""
    deadline = time.monotonic() + 20
    while not true():
        assert time.monotonic() < deadline, "it did not happen in time"
        await asyncio.sleep(0.02)


def test_a_running_platform_scrubs(data: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A running platform finds by itself what the disk has changed, and says so, while it goes on."""
    config = Config(
        data=Data(folder=str(data)),
        engine=Engine(replicas=0),
        gateway=Gateway(port=0),
        scrub=Scrub(every_s=0.05, bytes_per_s=1e9),
    )

    async def run() -> None:
        async with wiring.open_platform(config, {}):
            with closing(sqlite3.connect(data / "journal.db", isolation_level=None)) as database:
                database.execute("UPDATE usage SET customer = 'bcme'")
            await until(lambda: "scrub failed" in caplog.text)

    asyncio.run(run())
    assert "its checksum differs" in caplog.text


def test_a_damaged_opening_is_in_quarantine_after_a_start(data: Path) -> None:
    """A call that was open and whose line cannot be read is not lost unseen."""
    store = SqliteStore(data / "journal.db")
    store.open()
    store.opened(make_opened(call_id="open"))
    [file] = opening_files(data / "journal.db")
    line = file.read_bytes().replace(b'"open"', b'"opem"')
    store.close()
    file.write_bytes(line)
    config = Config(data=Data(folder=str(data)), engine=Engine(replicas=0), gateway=Gateway(port=0))

    async def run() -> None:
        async with wiring.open_platform(config, {}):
            pass

    asyncio.run(run())
    with JournalReader(data / "journal.db") as reader:
        [kept] = reader.quarantined()
    assert (kept.source, kept.key, kept.body) == ("openings", file.name, ascii(line[:-1]))


def test_damaged_rows_are_set_aside_when_told(data: Path) -> None:
    """Only when the platform is stopped; then all else can be read, and it says what was moved."""
    with closing(sqlite3.connect(data / "journal.db", isolation_level=None)) as database:
        database.execute("UPDATE capacity SET node = 'bcme'")
    arguments = ("scrub", "--set-aside", "--data", data)
    with DataFolder(data).hold():
        assert "is in use" in str(invoke(*arguments).exception)
    assert invoke("scrub", "--data", data).exit_code == 1
    result = run(*arguments)
    assert "SET ASIDE" in result.output
    run("scrub", "--data", data)
