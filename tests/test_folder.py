"""The lock of a data folder."""

from __future__ import annotations

import errno
import os
import resource
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from inferworks.accounts.stores.sqlite import SqliteAccounts
from inferworks.books.closing.ledger import Ledger
from inferworks.books.repository.store import BookStore
from inferworks.errors import DataFolderError
from inferworks.folder import DataFolder, leaving_none_empty


@pytest.mark.slow
def test_who_only_looks_keeps_nobody_out(tmp_path: Path) -> None:
    """An instance gets its folder however often others ask meanwhile who has it."""
    folder = DataFolder(tmp_path / "data")
    is_over = threading.Event()

    def look() -> None:
        while not is_over.is_set():
            folder.instance()

    watcher = threading.Thread(target=look)
    watcher.start()
    try:
        for _ in range(200):
            with folder.hold():
                pass
    finally:
        is_over.set()
        watcher.join()


def test_a_second_instance_is_kept_out(tmp_path: Path) -> None:
    """The holder of a folder has it alone."""
    folder = DataFolder(tmp_path / "data")
    with folder.hold(), pytest.raises(DataFolderError, match="in use"), folder.hold():
        pass


def made_before(tmp_path: Path) -> Path:
    """A data folder as a service manager, a volume or an older version left it: open to all."""
    path = tmp_path / "data"
    DataFolder(path).create()
    (path / "lake" / "usage").mkdir(parents=True)
    for name in ("accounts.db", "journal.db-wal", "lake/usage/a.parquet", "datasets.csv"):
        (path / name).touch()
    for each in (path, *path.rglob("*")):
        each.chmod(0o777 if each.is_dir() else 0o666)
    return path


def open_to_others(path: Path) -> list[str]:
    """Names of the files of a folder, itself included, that others have any permission for."""
    paths = (path, *path.rglob("*"))
    return sorted(each.name for each in paths if each.stat().st_mode & 0o077)


def test_a_folder_that_is_open_is_closed(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A folder that others could look into is closed on use, with our files in it, and the log says so."""
    path = made_before(tmp_path)
    DataFolder(path)
    assert open_to_others(path) == ["datasets.csv"], "closed all the same, by the folder"
    assert f"{path} was open to others (077)" in caplog.text
    caplog.clear()
    (path / "accounts.db").chmod(0o644)
    DataFolder(path)
    assert open_to_others(path) == ["datasets.csv"]
    assert not caplog.text


def test_a_folder_that_is_there_and_empty_is_closed(tmp_path: Path) -> None:
    """A service manager or a volume may make the folder."""
    path = tmp_path / "data"
    path.mkdir(mode=0o755)
    DataFolder(path).create()
    assert open_to_others(path) == []


def test_a_folder_of_other_things_is_left_alone(tmp_path: Path) -> None:
    """A folder named by mistake keeps its permissions; nothing of ours is put into one that is open."""
    (tmp_path / "photos").mkdir()
    tmp_path.chmod(0o755)
    folder = DataFolder(tmp_path)
    with pytest.raises(DataFolderError, match="open to others and holds other things"):
        folder.create()
    assert tmp_path.stat().st_mode & 0o777 == 0o755
    assert [path.name for path in tmp_path.iterdir()] == ["photos"]


def test_a_disk_without_permissions_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A folder that stays open whatever is done, or cannot be changed, is refused in one line."""
    path = made_before(tmp_path)
    monkeypatch.setattr(Path, "chmod", lambda *_: None)
    with pytest.raises(DataFolderError, match=r"keeps no permissions.*--data"):
        DataFolder(path)

    def read_only(*_: object) -> None:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    monkeypatch.setattr(Path, "chmod", read_only)
    with pytest.raises(DataFolderError, match=r"Read-only file system.*--data"):
        DataFolder(path)


def test_another_users_folder_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only root may use what belongs to another user; our own links may lead where they like."""
    path = made_before(tmp_path)
    monkeypatch.setattr(os, "geteuid", lambda: path.stat().st_uid + 1)
    with pytest.raises(DataFolderError, match="belongs to another user"):
        DataFolder(path)
    link = tmp_path / "link"
    link.symlink_to(path)
    (path / "lake").rename(tmp_path / "lake")
    (path / "lake").symlink_to(tmp_path / "lake")
    monkeypatch.undo()
    DataFolder(link), DataFolder(path)
    assert open_to_others(path) == ["datasets.csv", "lake"], (
        "our own links may lead where they like"
    )


def test_something_else_is_refused(tmp_path: Path) -> None:
    """A file, a broken link and a folder that cannot be made are one line each."""
    (tmp_path / "file").touch()
    (tmp_path / "broken").symlink_to(tmp_path / "nowhere")
    for name in ("file", "broken", "file/data"):
        with pytest.raises(DataFolderError, match=r"data folder .*--data"):
            DataFolder(tmp_path / name).create()


@pytest.mark.skipif(
    os.geteuid() != 0, reason="only root can make a link that belongs to another user"
)
def test_another_users_link_is_refused(tmp_path: Path) -> None:
    """Nobody follows a link that another user has made, to a folder or inside one."""
    path, link = made_before(tmp_path), tmp_path / "link"
    link.symlink_to(path)
    os.chown(link, 65534, -1, follow_symlinks=False)
    with pytest.raises(DataFolderError, match="a link that another user has made"):
        DataFolder(link)
    (path / "spool").rmdir()
    link.rename(path / "spool")
    with pytest.raises(DataFolderError, match="a link that another user has made"):
        DataFolder(path)


@pytest.mark.parametrize("name", ["accounts.db", "journal.db"])
@pytest.mark.parametrize("what", ["removed", "emptied"])
def test_databases_that_are_gone_are_not_begun_anew(tmp_path: Path, what: str, name: str) -> None:
    """A start is refused where a gateway has run; else all that the databases held would be lost."""
    folder = DataFolder(tmp_path / "data")
    with folder.hold():
        SqliteAccounts(folder.accounts).close()
        folder.journal.write_bytes(b"a journal")
        folder.tell("http://127.0.0.1:8080/v1")
    with folder.hold():  # a start that got no further
        pass
    path = folder.path / name
    if what == "removed":
        path.unlink()
    else:
        path.write_bytes(b"")
    for _ in range(2):
        with pytest.raises(DataFolderError, match=rf"{name} is gone, .* backup"), folder.hold():
            folder.check_accounts()
    with pytest.raises(DataFolderError, match="is gone"):
        folder.check_accounts() if name == "accounts.db" else folder.create()
    (folder.path / "instance.json").unlink()
    with folder.hold():
        folder.check_accounts()


def test_a_first_start_that_ended_early_can_be_repeated(tmp_path: Path) -> None:
    """One that was never ready may have made no accounts."""
    folder = DataFolder(tmp_path / "data")
    for _ in range(2):
        with folder.hold():
            pass


@pytest.mark.parametrize("make", [SqliteAccounts, BookStore, Ledger])
def test_a_database_that_found_no_room_is_not_left_empty(
    tmp_path: Path, make: Callable[[Path], object]
) -> None:
    """A database begun on a full disk is removed; later it would be taken for a damaged one."""
    path = tmp_path / "a.db"
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, hard))
    try:
        with pytest.raises(DataFolderError):
            make(path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert not path.exists()
    made = make(path)
    assert path.stat().st_size > 0
    made.close()  # type: ignore[attr-defined]


def test_what_was_there_is_left(tmp_path: Path) -> None:
    """An empty file that somebody else made is evidence, and one that holds something is a database."""
    empty, full = tmp_path / "empty", tmp_path / "full"
    empty.touch()

    def begin() -> None:
        full.write_bytes(b"x")
        raise OSError("no room")

    for path in (empty, full):
        with pytest.raises(OSError, match="no room"), leaving_none_empty(path):
            begin()
        assert path.exists()
