"""The restore drill: a folder in use is copied, and everything goes on from the copy."""

from __future__ import annotations

import asyncio
import errno
import shutil
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from tests.support.command_line import document, invoke, refusal, run
from tests.support.lake_world import DAY_1_NS, FOREVER, facts_of_days, write

from inferworks import wiring
from inferworks.accounts.keyring import KeyRing
from inferworks.accounts.pepper import load_pepper
from inferworks.accounts.stores.sqlite import SqliteAccounts
from inferworks.config import Config, Data, Engine, Gateway
from inferworks.errors import DataFolderError, UserError
from inferworks.folder import DataFolder
from inferworks.meter.archive.journal import SealingJournal
from inferworks.meter.archive.seal import seal
from inferworks.meter.lakes.local import LocalLake
from inferworks.meter.reader import JournalReader
from inferworks.meter.stores.sqlite import SqliteStore
from inferworks.meter.usage import Outcome
from inferworks.testing.facts import make_opened, make_usage
from inferworks.wiring import backup

pytestmark = pytest.mark.slow

BILL = (
    "BilledCost,BillingCurrency,ChargePeriodStart,ChargePeriodEnd,InvoiceIssuerName,ServiceCategory,"
    "ResourceId\n9.00,USD,2024-10-01T00:00:00Z,2024-11-01T00:00:00Z,A Cloud,Networking,\n"
)
LATER_NS = DAY_1_NS + 40 * 86_400 * 10**9
"""In a month that is not closed."""
STATEMENT = ("books", "statement", "--from", "2024-10-01", "--to", "2024-11-01", "--json")


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A data folder with a closed month, half of it sealed."""
    folder = tmp_path / "data"
    DataFolder(folder).create()
    (tmp_path / "bill.csv").write_text(BILL)
    write(folder / "journal.db", facts_of_days(1, rows=10))
    run("keys", "create", "--data", folder)
    run("books", "import", tmp_path / "bill.csv", "--data", folder)
    run("lake", "seal", "--before", "2024-10-05", "--data", folder)
    run("books", "close", "2024-10", "--data", folder)
    return folder


@contextmanager
def in_use(data: Path) -> Iterator[None]:
    """A call is open, the newest rows are in the write-ahead log alone, others come and are sealed."""
    stopped, turn = threading.Event(), threading.Lock()
    store = SqliteStore(data / "journal.db", turn)
    store.open()
    store.opened(make_opened(call_id="open", opened_ns=LATER_NS))

    def work() -> None:
        number = 0
        while not stopped.is_set():
            number += 1
            store.write([make_usage(call_id=f"later_{number}", opened_ns=LATER_NS + number)])
            if number % 20 == 0:
                with SealingJournal(data / "journal.db", turn) as journal:
                    seal(journal, LocalLake(data / "lake"), FOREVER[1], stopped=stopped.is_set)

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield
    finally:
        stopped.set()
        thread.join()
        store.close()


def by_command(data: Path, to: Path) -> None:
    """`inferworks backup` while the folder is in use."""
    with in_use(data):
        found = document("backup", to, "--data", data)
    assert found["sound"]
    assert {"journal", "lake", "accounts", "books", "ledger"} <= {p["part"] for p in found["parts"]}


def by_snapshot(data: Path, to: Path) -> None:
    """All files as of one moment, as a file system's snapshot has them: logs and openings included."""
    store = SqliteStore(data / "journal.db")
    store.open()
    store.opened(make_opened(call_id="open", opened_ns=LATER_NS))
    store.write([make_usage(call_id="later_1", opened_ns=LATER_NS)])
    assert (data / "journal.db-wal").stat().st_size
    shutil.copytree(data, to)
    store.close()


def restore(backup: Path, to: Path) -> None:
    """`inferworks restore` of a backup; a snapshot is one when it is put in place, by any means."""
    if (backup / "backup.json").exists():
        assert document("restore", backup, "--data", to)["sound"]
    else:
        backup.rename(to)


@pytest.mark.parametrize("back_up", [by_command, by_snapshot])
def test_everything_goes_on_from_a_backup(
    back_up: Callable[[Path, Path], None], data: Path, tmp_path: Path
) -> None:
    """The copy is sound, its statement is the same to the byte, its closes verify, and it serves."""
    statement = run(*STATEMENT, "--data", data).output
    back_up(data, tmp_path / "backup")
    shutil.rmtree(data)
    restored = tmp_path / "elsewhere"
    restore(tmp_path / "backup", restored)
    assert run(*STATEMENT, "--data", restored).output == statement
    assert "everything is what was written" in run("scrub", "--data", restored).output
    assert "everything is as it was sealed" in run("lake", "verify", "--data", restored).output
    assert "Sound. Closes checked: 1." in run("books", "verify", "--data", restored).output

    async def serve() -> None:
        config = Config(
            data=Data(folder=str(restored)), engine=Engine(replicas=0), gateway=Gateway(port=0)
        )
        async with wiring.open_platform(config, {}):
            pass

    asyncio.run(serve())
    with JournalReader(restored / "journal.db") as reader:
        assert not list(reader.opened_unclosed())
        [crashed] = [u for u in reader.usages(LATER_NS, 2**62) if u.call_id == "open"]
        assert crashed.outcome is Outcome.CRASHED
    assert run(*STATEMENT, "--data", restored).output == statement


def test_keys_are_known_in_a_backup(data: Path, tmp_path: Path) -> None:
    """Their pepper is copied with them; a copy that lost it says so and knows none."""
    made = document("keys", "create", "--data", data)
    by_command(data, tmp_path / "backup")
    restore(tmp_path / "backup", tmp_path / "elsewhere")
    folder = DataFolder(tmp_path / "elsewhere")
    assert folder.pepper.stat().st_mode & 0o077 == 0
    with closing(SqliteAccounts(folder.accounts)) as accounts:
        ring = KeyRing(accounts, load_pepper(accounts, folder.pepper))
        key = ring.find(made["key"])
        assert key is not None
        assert key.id == made["id"]
        folder.pepper.unlink()
    refused = refusal("keys", "create", "--data", folder.path)
    assert "accounts.pepper cannot be read" in refused
    assert "restore it from a backup" in refused


def test_a_damaged_folder_makes_no_backup_unseen(data: Path, tmp_path: Path) -> None:
    """The copy is read whole, and the exit status says that it is damaged."""
    segment = next((data / "lake" / "usage").rglob("*.parquet"))
    segment.write_bytes(segment.read_bytes()[:-1])
    result = invoke("backup", tmp_path / "backup", "--data", data)
    assert result.exit_code == 1
    assert segment.name in result.output


def test_where_a_backup_cannot_be(data: Path, tmp_path: Path) -> None:
    """One line each, and nothing is written."""
    for to, reason in ((tmp_path, "is there already"), (data / "copy", "is in the data folder")):
        result = invoke("backup", to, "--data", data)
        assert isinstance(result.exception, UserError)
        assert reason in str(result.exception)
    assert not (data / "copy").exists()
    result = invoke("backup", tmp_path / "copy", "--data", tmp_path / "none")
    assert "there is no data folder" in str(result.exception)


def test_half_a_copy_is_not_left(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A backup that found no room leaves nothing that looks like one, and can be made again."""
    to = tmp_path / "copy"

    def full(source: Path, target: Path) -> None:
        if source.name == "journal.db":
            raise OSError(errno.ENOSPC, "No space left on device")
        copy(source, target)

    copy = backup._copy_database
    monkeypatch.setattr(backup, "_copy_database", full)
    error = invoke("backup", to, "--data", data).exception
    assert isinstance(error, DataFolderError)
    assert "No space left" in str(error)
    assert not to.exists()
    monkeypatch.undo()
    run("backup", to, "--data", data)
