"""Reading of a data folder, part by part, and the work that does it all the time."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import pytest
from tests.support.lake_world import write

from inferworks.accounts.stores.sqlite import SqliteAccounts
from inferworks.books.closing.ledger import Ledger
from inferworks.books.repository.store import BookStore
from inferworks.config import Scrub
from inferworks.errors import DamagedError
from inferworks.folder import DataFolder
from inferworks.meter.lakes.stub import MemoryLake
from inferworks.meter.scrub import Piece
from inferworks.supervise import Supervisor
from inferworks.testing.facts import make_usage
from inferworks.wiring.scrub import Scrubbed, scrub, scrubbing, summed

MAKE: dict[str, Callable[[Path], None]] = {
    "accounts": lambda path: SqliteAccounts(path).close(),
    "books": lambda path: BookStore(path).close(),
    "ledger": lambda path: Ledger(path).close(),
}
"""An empty database of each kind."""


class Noting:
    """A supervisor of one thread, and the work in it, that notes what it is told."""

    def __init__(self, most: int = 1) -> None:
        self.told: list[str] = []
        self.heard = threading.Event()
        """Set when `most` things were told."""
        self.threads: list[threading.Thread] = []
        self._most = most

    def thread(
        self, name: str, run: Callable[[Noting], None], *, patience_s: float
    ) -> threading.Thread:
        """Start `run`."""
        assert (name, patience_s) == ("scrub", 0.0), "damage makes it ill at once"
        thread = threading.Thread(target=run, args=(self,), daemon=True)
        self.threads.append(thread)
        thread.start()
        return thread

    def failed(self, error: BaseException) -> None:
        """Note the error."""
        assert isinstance(error, DamagedError)
        self._note(str(error))

    def succeeded(self) -> None:
        """Note that a pass found nothing."""
        self._note("sound")

    def _note(self, what: str) -> None:
        self.told.append(what)
        if len(self.told) >= self._most:
            self.heard.set()


@pytest.fixture
def folder(tmp_path: Path) -> DataFolder:
    """A data folder with nothing in it."""
    made = DataFolder(tmp_path / "data")
    made.create()
    return made


def test_pieces_are_summed_part_by_part() -> None:
    """Parts stand in the order in which they were first read, findings in that of the pieces."""
    pieces = [
        Piece("lake", 1, 10, ("a",), unchecked=1),
        Piece("books", 5, 50),
        Piece("lake", 2, 20, ("b", "c"), unchecked=2),
    ]
    assert summed(pieces) == [Scrubbed("lake", 3, 30, 3, ["a", "b", "c"]), Scrubbed("books", 5, 50)]
    assert summed(iter(pieces)) == summed(pieces), "no list is shared between two sums"
    assert summed([]) == []


def test_an_empty_folder_has_no_part_but_its_lake(folder: DataFolder) -> None:
    """A database that is not there is not read, and not made."""
    found = summed(scrub(folder, MemoryLake(), thorough=True))
    assert found == [Scrubbed("lake")]
    for part in ("accounts", "books", "ledger", "journal"):
        assert not getattr(folder, part).exists()


def test_every_database_is_read(folder: DataFolder) -> None:
    """Journal and lake come first, then the databases, each with its size."""
    for part, make in MAKE.items():
        make(getattr(folder, part))
    write(folder.journal, [make_usage(call_id="call_1"), make_usage(call_id="call_2")])
    found = {part.part: part for part in summed(scrub(folder, MemoryLake(), thorough=True))}
    assert list(found)[-3:] == ["accounts", "books", "ledger"]
    assert sum(part.rows for name, part in found.items() if name not in (*MAKE, "lake")) == 2
    assert [part.findings for part in found.values()] == [[]] * len(found)
    for part in MAKE:
        assert found[part].bytes == getattr(folder, part).stat().st_size > 0


@pytest.mark.parametrize("part", MAKE)
def test_a_file_that_is_no_database_is_one_finding(folder: DataFolder, part: str) -> None:
    """The file is named, with no rows, and the parts after it are read all the same."""
    for other, make in MAKE.items():
        make(getattr(folder, other))
    path: Path = getattr(folder, part)
    path.write_bytes(b"no database at all" * 100)
    found = {one.part: one for one in summed(scrub(folder, MemoryLake(), thorough=False))}
    assert {name for name, one in found.items() if one.findings} == {part}
    (finding,) = found[part].findings
    assert str(path) in finding
    assert (found[part].rows, found[part].bytes) == (0, 1800)
    assert {"lake", *MAKE} <= set(found)


def test_none_is_read_where_none_is_wanted(folder: DataFolder) -> None:
    """A pause of 0 seconds says that nothing is to be scrubbed."""
    supervisor = Noting()
    settings = Scrub(every_s=0.0)
    with scrubbing(settings, folder, MemoryLake(), cast("Supervisor", cast("Any", supervisor))):
        assert supervisor.threads == []
    assert supervisor.told == []


def test_a_sound_pass_is_a_success_and_leaving_ends_the_pause(folder: DataFolder) -> None:
    """A pass follows the other after a day; leaving does not wait for that."""
    supervisor = Noting()
    with scrubbing(Scrub(), folder, MemoryLake(), cast("Supervisor", cast("Any", supervisor))):
        assert supervisor.heard.wait(10.0)
    assert supervisor.told == ["sound"]
    assert not supervisor.threads[0].is_alive()


def test_damage_is_told_in_every_pass_until_it_is_gone(folder: DataFolder) -> None:
    """A pass that found some is no success; the first one without is."""
    sound = folder.path / "sound"
    MAKE["books"](sound)
    folder.books.write_bytes(b"no database at all" * 100)
    supervisor = Noting(most=2)
    settings = Scrub(every_s=0.001, bytes_per_s=1e12)
    with scrubbing(settings, folder, MemoryLake(), cast("Supervisor", cast("Any", supervisor))):
        assert supervisor.heard.wait(10.0)
        assert all(str(folder.books) in told for told in supervisor.told[:2])
        supervisor.heard.clear()
        sound.replace(folder.books)  # at once, so that no pass finds it gone
        while "sound" not in supervisor.told:
            assert supervisor.heard.wait(10.0)
    assert supervisor.told[-1] == "sound"


def test_leaving_does_not_wait_for_the_pace(folder: DataFolder) -> None:
    """A folder that would take years at its pace is left in the midst of a pass."""
    write(folder.journal, [make_usage(call_id="call_1")])
    supervisor = Noting()
    settings = Scrub(bytes_per_s=1e-3)
    with scrubbing(settings, folder, MemoryLake(), cast("Supervisor", cast("Any", supervisor))):
        pass
    assert not supervisor.threads[0].is_alive()
    assert supervisor.told == []
