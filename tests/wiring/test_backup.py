"""Copies of a data folder, file by file; `tests/cli/test_backup.py` has everything go on from one."""

from __future__ import annotations

import sqlite3
import stat
from contextlib import ExitStack, closing
from pathlib import Path

import pytest
from tests.support.lake_world import write

from inferworks.clock import SystemClock
from inferworks.errors import DataFolderError
from inferworks.folder import DataFolder
from inferworks.limits.slice_log import SliceLog
from inferworks.testing.facts import make_usage
from inferworks.wiring.backup import back_up, checked, read_list

CLOCK = SystemClock()


@pytest.fixture
def folder(tmp_path: Path) -> DataFolder:
    """A data folder with a journal and a lake."""
    made = DataFolder(tmp_path / "data")
    made.create()
    write(made.journal, [make_usage(call_id="call_1")])
    for name in ("manifest/1", "usage/day=1/a.parquet", "odd/x"):
        (made.lake / name).parent.mkdir(parents=True, exist_ok=True)
        (made.lake / name).write_bytes(name.encode())
    return made


def names_in(folder: DataFolder) -> set[str]:
    """The files in `folder`."""
    paths = (path for path in folder.path.rglob("*") if path.is_file())
    return {path.relative_to(folder.path).as_posix() for path in paths}


def test_a_copy_has_its_databases_and_files_and_no_lock(folder: DataFolder, tmp_path: Path) -> None:
    """The running instance, write-ahead logs and links stay behind, for they are no data."""
    with folder.hold():
        (folder.path / "first-key").write_text("iw_x\n")
        (folder.path / "link").symlink_to(tmp_path)
        copy = DataFolder(tmp_path / "copy")
        back_up(folder, copy, CLOCK)
    expected = {"first-key", "journal.db", "lake/usage/day=1/a.parquet"}
    assert expected <= names_in(copy)
    assert not {"instance.json", "link", "journal.db-wal", "journal.db-shm"} & names_in(copy)
    with closing(sqlite3.connect(copy.journal)) as journal:
        assert journal.execute("SELECT call_id FROM usage").fetchall() == [("call_1",)]


def test_a_copy_is_private(folder: DataFolder, tmp_path: Path) -> None:
    """Nobody else can read a copied database, or look into its folder."""
    copy = DataFolder(tmp_path / "copy")
    back_up(folder, copy, CLOCK)
    assert stat.S_IMODE(copy.path.stat().st_mode) == 0o700
    assert stat.S_IMODE(copy.journal.stat().st_mode) == 0o600


def test_rows_in_the_write_ahead_log_alone_are_copied(folder: DataFolder, tmp_path: Path) -> None:
    """A writer that is not done does not matter; what it has not committed is not there."""
    with closing(sqlite3.connect(folder.journal)) as writer:
        writer.execute("PRAGMA wal_autocheckpoint = 0")
        writer.execute("CREATE TABLE apart (n)")
        writer.execute("INSERT INTO apart VALUES (1)")
        writer.commit()
        writer.execute("INSERT INTO apart VALUES (2)")
        copy = DataFolder(tmp_path / "copy")
        back_up(folder, copy, CLOCK)
    with closing(sqlite3.connect(copy.journal)) as journal:
        assert journal.execute("SELECT n FROM apart").fetchall() == [(1,)]


def test_an_empty_folder_may_take_the_copy(folder: DataFolder, tmp_path: Path) -> None:
    """A folder may have been made before, for its permissions or as a volume."""
    (tmp_path / "copy").mkdir(mode=0o700)
    back_up(folder, DataFolder(tmp_path / "copy"), CLOCK)
    assert (tmp_path / "copy" / "journal.db").exists()


@pytest.mark.parametrize("is_file", [False, True])
def test_nothing_is_written_over(folder: DataFolder, tmp_path: Path, is_file: bool) -> None:
    """A file, or a folder with anything in it, is left as it is."""
    to = tmp_path / "copy"
    kept = to if is_file else to / "kept"
    copy = DataFolder(to)
    kept.parent.mkdir(exist_ok=True)
    kept.write_text("mine")
    with pytest.raises(DataFolderError) as refused:
        back_up(folder, copy, CLOCK)
    assert str(refused.value) == f"{to} is there already; name a new folder for the backup"
    assert kept.read_text() == "mine"


@pytest.mark.parametrize("inside", ["copy", "lake/copy", "spool/../a/copy"])
def test_no_copy_is_in_the_folder_itself(folder: DataFolder, inside: str) -> None:
    """A copy in the folder would be copied by the next one."""
    to = folder.path / inside
    with pytest.raises(DataFolderError) as refused:
        back_up(folder, DataFolder(to), CLOCK)
    assert str(refused.value) == f"{to} is in the data folder; name a folder elsewhere"
    assert not to.exists()


def test_a_damaged_database_leaves_no_copy(folder: DataFolder, tmp_path: Path) -> None:
    """Half a copy is no backup, whatever had been copied before."""
    folder.journal.write_bytes(b"no database at all" * 100)
    to = tmp_path / "copy"
    with pytest.raises(DataFolderError, match=f"{folder.path} cannot be copied to {to}: "):
        back_up(folder, DataFolder(to), CLOCK)
    assert not to.exists()


def test_a_database_that_nobody_has_listed_is_copied_as_one(
    folder: DataFolder, tmp_path: Path
) -> None:
    """Its first bytes tell; rows that are in its log alone are in the copy."""
    for place in ("limits.db", "new.store", "new/another.db"):
        path = folder.path / place
        path.parent.mkdir(exist_ok=True)
        with closing(sqlite3.connect(path)) as made:
            made.execute("PRAGMA journal_mode = WAL")
            made.execute("CREATE TABLE apart (n)")
    copy = DataFolder(tmp_path / "copy")
    with ExitStack() as stack:
        for place in ("limits.db", "new.store", "new/another.db"):
            writer = stack.enter_context(closing(sqlite3.connect(folder.path / place)))
            writer.execute("PRAGMA wal_autocheckpoint = 0")
            writer.execute("INSERT INTO apart VALUES (1)")
            writer.commit()
        back_up(folder, copy, CLOCK)
    for place in ("limits.db", "new.store", "new/another.db"):
        assert not (copy.path / f"{place}-wal").exists()
        with closing(sqlite3.connect(copy.path / place)) as found:
            assert found.execute("SELECT n FROM apart").fetchall() == [(1,)]


def test_logs_of_slices_stay_behind(folder: DataFolder, tmp_path: Path) -> None:
    """The gateway lives, and they are true only at the moment of the copy."""
    log = SliceLog(folder.slices / "1", "run1", "boot1")
    copy = DataFolder(tmp_path / "copy")
    back_up(folder, copy, CLOCK)
    log.close()
    assert not copy.slices.exists()


def test_a_backup_lists_all_that_it_holds(folder: DataFolder, tmp_path: Path) -> None:
    """With size and checksum, the place it came from, and what is elsewhere."""
    copy = DataFolder(tmp_path / "copy")
    back_up(folder, copy, CLOCK, lake_url="s3://b/lake", store_url="postgresql:///limits")
    listed = read_list(copy.path)
    assert set(listed.files) == names_in(copy) - {"backup.json"}
    assert all(checked(copy.path / name) == file for name, file in listed.files.items())
    assert (listed.source, listed.lake_url) == (str(folder.path), "s3://b/lake")
    assert listed.store_url == "postgresql:///limits"
    assert stat.S_IMODE((copy.path / "backup.json").stat().st_mode) == 0o600


def test_nobody_works_on_a_backup(folder: DataFolder, tmp_path: Path) -> None:
    """A gateway would change it, and two could go on from it."""
    copy = DataFolder(tmp_path / "copy")
    back_up(folder, copy, CLOCK)
    with pytest.raises(DataFolderError, match="is a backup; make a data folder of it"), copy.hold():
        pass
    with pytest.raises(DataFolderError, match="is a backup"):
        back_up(copy, DataFolder(tmp_path / "another"), CLOCK)
