"""Data folders made of backups: where, of what, and what is left when it is refused or killed."""

from __future__ import annotations

import os
import shutil
import signal
import sqlite3
import stat
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import msgspec
import pytest
from tests.support.lake_world import write

from inferworks.accounts.customer import Customer
from inferworks.accounts.stores.sqlite import SqliteAccounts
from inferworks.clock import SystemClock
from inferworks.errors import DataFolderError
from inferworks.folder import DataFolder
from inferworks.ids import CustomerId
from inferworks.limits.ledger import Budget, Gateway, SliceState, Want, draw
from inferworks.limits.stores.sqlite import SqliteLimits
from inferworks.meter.reader import JournalReader
from inferworks.sqlite import Database
from inferworks.testing.facts import make_usage
from inferworks.wiring import restore as module
from inferworks.wiring.backup import back_up, read_list
from inferworks.wiring.restore import restore

CLOCK = SystemClock()


def made(path: Path, call: str) -> DataFolder:
    """A data folder with a call, a customer, a limit of which a gateway holds a slice, and a file."""
    folder = DataFolder(path)
    folder.create()
    write(folder.journal, [make_usage(call_id=call)])
    with closing(SqliteAccounts(folder.accounts)) as accounts:
        accounts.add_customer(Customer(CustomerId(call), 1))
    with closing(SqliteLimits(folder.limits)) as limits:
        want = Want("limit", 100, 1, 0, False, "slice", 10, 10)
        limits.transact(lambda rows: draw(rows, Gateway("run", "place", "boot", 1), [want]))
    (folder.path / "policies").mkdir()
    (folder.path / "policies" / "own.toml").write_text(call)
    return folder


@pytest.fixture
def backup(tmp_path: Path) -> Path:
    """A backup."""
    to = tmp_path / "backup"
    back_up(made(tmp_path / "data", "call_new"), DataFolder(to), CLOCK)
    return to


def calls(folder: Path) -> set[str]:
    """The calls in the journal of a folder."""
    with JournalReader(folder / "journal.db") as reader:
        return {usage.call_id for usage in reader.usages(0, 1 << 62)}


def names_in(folder: Path) -> set[str]:
    """The files in `folder`, but for logs that a reader has left for the moment."""
    found = {p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file()}
    return {name for name in found if not name.endswith(("-wal", "-shm"))}


def beside(folder: Path) -> set[str]:
    """Names that a restore has left beside `folder`."""
    return {path.name for path in folder.parent.iterdir() if folder.name in path.name} - {
        folder.name
    }


@pytest.mark.parametrize("is_there", [False, True])
def test_a_folder_is_made_of_a_backup(backup: Path, tmp_path: Path, is_there: bool) -> None:
    """All that is listed is in it, private, and nothing else; an empty folder may have been made before."""
    to = tmp_path / "new" / "data"
    if is_there:
        to.mkdir(parents=True, mode=0o755)
    done = restore(backup, to, CLOCK)
    assert done.sound
    assert names_in(to) == set(read_list(backup).files)
    assert calls(to) == {"call_new"}
    assert stat.S_IMODE(to.stat().st_mode) == 0o700
    assert {stat.S_IMODE(path.stat().st_mode) for path in to.rglob("*") if path.is_file()} == {
        0o600
    }
    assert beside(to) == set()
    with DataFolder(to).hold():
        pass


def test_what_gateways_held_counts_as_used_in_a_copy(backup: Path, tmp_path: Path) -> None:
    """The gateway that it was copied from may live, and spend all of its slice."""
    done = restore(backup, tmp_path / "copy", CLOCK)
    assert done.slices == 1
    with closing(SqliteLimits(tmp_path / "copy" / "limits.db")) as limits:
        budget = limits.transact(lambda rows: rows.accounts(["limit"]))["limit"]
        [part] = limits.transact(lambda rows: rows.slices_in("limit"))
        assert limits.transact(lambda rows: rows.gateways()) == []
    assert isinstance(budget, Budget)
    assert (budget.held, budget.settled, budget.free) == (0, 10, 90)
    assert part.state is SliceState.FORFEITED


def test_a_folder_that_is_replaced_is_kept(backup: Path, tmp_path: Path) -> None:
    """Only when that is asked for, and under a name with the time."""
    old = made(tmp_path / "old", "call_old")
    with pytest.raises(DataFolderError, match=r"is not empty; .*--replace"):
        restore(backup, old.path, CLOCK)
    done = restore(backup, old.path, CLOCK, replace=True)
    assert calls(old.path) == {"call_new"}
    assert calls(Path(done.kept)) == {"call_old"}
    assert beside(old.path) == {Path(done.kept).name}


def test_a_system_that_exchanges_no_names_renames_twice(
    backup: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And gives the old folder its name back when the second one fails."""
    monkeypatch.setattr(module.ctypes, "CDLL", lambda *_, **__: object())
    old = made(tmp_path / "old", "call_old")
    real, count = Path.rename, 0

    def second_fails(path: Path, to: Path) -> Path:
        nonlocal count
        count += 1
        if count == 3:  # the first puts the copy aside
            raise PermissionError(1, "Operation not permitted")
        return real(path, to)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "rename", second_fails)
        with pytest.raises(DataFolderError, match="Operation not permitted"):
            restore(backup, old.path, CLOCK, replace=True)
    assert calls(old.path) == {"call_old"}
    assert beside(old.path) == set()
    done = restore(backup, old.path, CLOCK, replace=True)
    assert (calls(old.path), calls(Path(done.kept))) == ({"call_new"}, {"call_old"})


def test_a_folder_in_use_is_not_replaced(backup: Path, tmp_path: Path) -> None:
    """Its gateway would write on into the folder that is put aside."""
    old = made(tmp_path / "old", "call_old")
    with old.hold(), pytest.raises(DataFolderError, match="in use by process"):
        restore(backup, old.path, CLOCK, replace=True)
    assert calls(old.path) == {"call_old"}
    assert beside(old.path) == set()


def lose(backup: Path) -> None:
    """A file is gone."""
    (backup / "policies" / "own.toml").unlink()


def alter(backup: Path) -> None:
    """A bit of a file has another value."""
    path = backup / "journal.db"
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)


@pytest.mark.parametrize(
    ("harm", "words"),
    [
        (lose, "own.toml is gone from the backup"),
        (alter, "journal.db is not what was backed up"),
        (lambda b: (b / "backup.json").unlink(), "is no whole backup: it has no backup.json"),
        (lambda b: (b / "backup.json").write_bytes(b"[1"), "backup.json is damaged"),
        (lambda b: (b / "backup.json").write_bytes(b"[]"), "backup.json is damaged"),
        (lambda b: (b / "backup.json").write_bytes(b"{}"), "backup.json is damaged"),
    ],
)
def test_a_damaged_backup_leaves_everything_as_it_was(
    backup: Path, tmp_path: Path, harm: Callable[[Path], None], words: str
) -> None:
    """One line says what is wrong with it."""
    harm(backup)
    to = tmp_path / "new"
    with pytest.raises(DataFolderError, match=words):
        restore(backup, to, CLOCK)
    assert not to.exists()
    assert beside(to) == set()


@pytest.mark.parametrize(
    "name", ["../x", "/etc/x", "a/../../x", "", "instance.json", "slices/a", "a\0"]
)
def test_a_backup_names_no_file_elsewhere(backup: Path, tmp_path: Path, name: str) -> None:
    """A restore writes nothing outside of its folder, whoever wrote the list."""
    listed = read_list(backup)
    file = next(iter(listed.files.values()))
    changed = msgspec.structs.replace(listed, files={**listed.files, name: file})
    (backup / "backup.json").write_bytes(msgspec.json.encode(changed))
    with pytest.raises(DataFolderError, match="no file is called"):
        restore(backup, tmp_path / "new", CLOCK)


def test_a_backup_of_a_newer_program_is_refused(backup: Path, tmp_path: Path) -> None:
    """By its own format, and by that of each store in it."""
    listed = read_list(backup)
    newer = msgspec.structs.replace(listed, format=2, program="9.0")
    (backup / "backup.json").write_bytes(msgspec.json.encode(newer))
    with pytest.raises(
        DataFolderError, match=r"format 2, made by inferworks 9\.0; this program reads"
    ):
        restore(backup, tmp_path / "new", CLOCK)


@pytest.mark.parametrize("store", ["accounts", "limits", "journal"])
def test_a_store_of_a_newer_version_is_not_put_in_place(tmp_path: Path, store: str) -> None:
    """An older program would misread it."""
    folder = made(tmp_path / "data", "call_new")
    database = Database(folder.path / f"{store}.db")
    if store == "journal":
        database.execute("UPDATE meta SET value = '99' WHERE key = 'schema_version'")
    else:
        database.execute("PRAGMA user_version = 99")
    database.close()
    back_up(folder, DataFolder(tmp_path / "backup"), CLOCK)
    done = restore(tmp_path / "backup", tmp_path / "new", CLOCK)
    assert not done.sound
    assert any("version 99" in finding for part in done.parts for finding in part.findings)
    assert not (tmp_path / "new").exists()


def test_an_audit_log_that_was_altered_is_not_put_in_place(tmp_path: Path) -> None:
    """Its chain is verified, whatever the checksums of the file say."""
    folder = made(tmp_path / "data", "call_new")
    with closing(sqlite3.connect(folder.accounts)) as accounts, accounts:
        accounts.execute("DROP TRIGGER audit_stays")
        accounts.execute("UPDATE audit SET who = 'somebody else'")
    back_up(folder, DataFolder(tmp_path / "backup"), CLOCK)
    done = restore(tmp_path / "backup", tmp_path / "new", CLOCK)
    [part] = [part for part in done.parts if part.part == "audit log"]
    assert part.findings
    assert not done.sound
    assert not (tmp_path / "new").exists()


def test_limits_that_hold_what_no_slice_has_are_not_put_in_place(tmp_path: Path) -> None:
    """Budgets hold the sum of their open slices."""
    folder = made(tmp_path / "data", "call_new")
    with closing(sqlite3.connect(folder.limits)) as limits, limits:
        limits.execute("UPDATE budget SET held = '11'")
    back_up(folder, DataFolder(tmp_path / "backup"), CLOCK)
    done = restore(tmp_path / "backup", tmp_path / "new", CLOCK)
    [part] = [part for part in done.parts if part.part == "limits"]
    assert "limit holds 1 more than its slices" in part.findings[0]
    assert not done.sound


def test_where_no_folder_can_be_put(
    backup: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the backup, around it, over a file, at a mounted disk, or where another restore is at work."""
    for to in (backup, backup / "in", backup.parent):
        with pytest.raises(DataFolderError, match="in one another"):
            restore(backup, to, CLOCK)
    (tmp_path / "file").touch()
    with pytest.raises(DataFolderError, match="is no folder"):
        restore(backup, tmp_path / "file", CLOCK)
    with monkeypatch.context() as patch:
        patch.setattr(Path, "is_mount", lambda _: True)
        with pytest.raises(DataFolderError, match="where a disk is mounted"):
            restore(backup, tmp_path / "new", CLOCK)
    to = tmp_path / "new"
    with (
        module._stage(to),
        pytest.raises(DataFolderError, match=r"another restore to .* is at work"),
    ):
        restore(backup, to, CLOCK)
    assert restore(backup, to, CLOCK).sound


def test_a_full_disk_leaves_nothing(
    backup: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The folder beside is removed, and the next restore does it all."""
    to = tmp_path / "new"

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(module.os, "fsync", full)
        with pytest.raises(DataFolderError, match="No space left on device"):
            restore(backup, to, CLOCK)
    assert not to.exists()
    assert beside(to) == set()
    assert restore(backup, to, CLOCK).sound


def killed(backup: Path, to: Path, moment: int, among: str) -> bool:
    """Restore in a process that is killed before the `moment`th event; False when it ended before."""
    child = os.fork()
    if not child:
        count = 0

        def hook(event: str, _: object) -> None:
            nonlocal count
            if event.startswith(among):
                count += 1
                if count == moment:
                    os.kill(os.getpid(), signal.SIGKILL)

        sys.addaudithook(hook)
        try:
            restore(backup, to, CLOCK, replace=True)
        finally:
            os._exit(0)
    _, status = os.waitpid(child, 0)
    return os.WIFSIGNALED(status)


@pytest.mark.slow
@pytest.mark.parametrize(("among", "step"), [("", 5), ("os.", 3), ("os.rename", 1), ("ctypes", 1)])
@pytest.mark.parametrize("is_there", [False, True])
def test_a_restore_that_is_killed_has_done_all_or_nothing(
    backup: Path, tmp_path: Path, among: str, step: int, is_there: bool
) -> None:
    """At whatever it is about to do; the next one needs no help."""
    to, count = tmp_path / "place" / "data", 0
    to.parent.mkdir()
    expected = set(read_list(backup).files)
    for moment in range(1, 10_000, step):
        if is_there:
            before = names_in(made(to, "call_old").path)
        if not killed(backup, to, moment, among):
            break
        count += 1
        if to.exists():
            found = calls(to)
            assert names_in(to) == (before if found == {"call_old"} else expected)
            assert found == {"call_new"} or is_there
        else:
            assert not is_there
        done = restore(backup, to, CLOCK, replace=True)
        assert done.sound
        assert calls(to) == {"call_new"}
        assert f".{to.name}.restoring" not in beside(to)
        for path in to.parent.iterdir():
            shutil.rmtree(path)
    assert count >= {"": 10, "os.": 5, "os.rename": 1, "ctypes": int(is_there)}[among]


def test_a_restore_waits_for_no_gateway_that_starts(backup: Path, tmp_path: Path) -> None:
    """One that had opened the old folder's lock just before does not run beside the new one's."""
    old = made(tmp_path / "old", "call_old")
    with old.hold():
        pass
    real = old._take

    def replaced(lock: int) -> None:
        restore(backup, old.path, CLOCK, replace=True)
        real(lock)

    old._take = replaced  # type: ignore[method-assign]
    with pytest.raises(DataFolderError, match="was replaced by a restore just now"), old.hold():
        pass
    with DataFolder(old.path).hold():
        pass
