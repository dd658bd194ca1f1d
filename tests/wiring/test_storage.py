"""The journal of a data folder: its opening, and its old rows' way into the lake."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path

import pytest
from tests.support.lake_world import write

from inferworks import extras
from inferworks.clock import SystemClock
from inferworks.config import Lake
from inferworks.errors import ExtraError, LakeError
from inferworks.folder import DataFolder
from inferworks.meter.lakes.stub import MemoryLake
from inferworks.meter.reader import JournalReader
from inferworks.meter.usage import Outcome
from inferworks.observe.gauges import Commits
from inferworks.supervise import Supervisor, Work
from inferworks.testing.facts import make_opened, make_usage
from inferworks.wiring import storage
from inferworks.wiring.storage import can_seal, close_left_open, open_journal, sealing


@pytest.fixture
def folder(tmp_path: Path) -> DataFolder:
    """A data folder with nothing in it."""
    made = DataFolder(tmp_path / "data")
    made.create()
    return made


@pytest.fixture
def without_parquet(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine on which pyarrow is not installed."""
    monkeypatch.setattr(storage, "is_installed", lambda _: False)
    monkeypatch.setattr(extras, "is_installed", lambda _: False)


def test_a_journal_is_made_and_closed(folder: DataFolder) -> None:
    """Appended records are on disk when the block is left, and can be opened again."""
    for number in (1, 2):
        with open_journal(folder, threading.Lock(), Commits()) as journal:
            journal.append(make_usage(call_id=f"call_{number}"))
    with JournalReader(folder.journal) as reader:
        assert {usage.call_id for usage in reader.usages(0, 2**62)} == {"call_1", "call_2"}


def test_a_journal_that_is_gone_is_not_begun_anew(folder: DataFolder) -> None:
    """Beside a lake that has rows of it, an empty journal would hide that the newest are lost."""
    (folder.lake / "manifest").mkdir(parents=True)
    names = [f"{version:020}.json" for version in (1, 2)]
    for name in names:
        (folder.lake / "manifest" / name).write_text("{}")
    with (
        pytest.raises(
            LakeError, match=r"the journal .* is gone, though the lake .* has rows of it"
        ),
        open_journal(folder, threading.Lock(), Commits()),
    ):
        pass
    assert not folder.journal.exists()


def test_calls_left_open_are_closed_as_crashed(
    folder: DataFolder, caplog: pytest.LogCaptureFixture
) -> None:
    """Their usages are returned and told once; the next start finds none."""
    write(folder.journal, [make_opened(call_id="call_1")])
    clock = SystemClock()

    async def start() -> list[str]:
        with open_journal(folder, threading.Lock(), Commits()) as journal:
            ended = await close_left_open(journal, folder, clock)
            assert all(usage.outcome is Outcome.CRASHED for usage in ended)
            return [usage.call_id for usage in ended]

    assert asyncio.run(start()) == ["call_1"]
    assert "closed 1 calls that an earlier instance left open" in caplog.text
    assert asyncio.run(start()) == []
    assert len(caplog.records) == 1


@pytest.mark.parametrize("seal_s", [0.0, 300.0])
def test_rows_are_sealed_where_that_is_wanted(seal_s: float) -> None:
    """A pause of 0 seconds says never."""
    assert can_seal(Lake(seal_s=seal_s), MemoryLake()) == bool(seal_s)


@pytest.mark.usefixtures("without_parquet")
@pytest.mark.parametrize("seal_s", [0.0, 300.0])
def test_without_parquet_rows_stay_and_that_is_told(
    seal_s: float, caplog: pytest.LogCaptureFixture
) -> None:
    """A line says what to install; who wants no sealing is not told."""
    assert can_seal(Lake(seal_s=seal_s), MemoryLake()) is False
    assert ("old calls stay in the journal" in caplog.text) == bool(seal_s)
    assert ("lake.seal_s = 0" in caplog.text) == bool(seal_s)


@pytest.mark.usefixtures("without_parquet")
@pytest.mark.parametrize("seal_s", [0.0, 300.0])
def test_a_lake_that_was_set_needs_parquet(seal_s: float) -> None:
    """Somebody will want to read it, sealing or not."""
    with pytest.raises(ExtraError):
        can_seal(Lake(url="s3://bucket", seal_s=seal_s), MemoryLake())


def test_a_sealing_that_fails_is_tried_again(folder: DataFolder) -> None:
    """The rows stay in the journal; leaving waits for no pause."""
    write(folder.journal, [make_usage(call_id="call_1", opened_ns=1)])
    lake = MemoryLake(steps=1)
    lake.put("x", b"")  # it is dead from here on
    supervisor = Supervisor()

    async def main() -> None:
        async with asyncio.timeout(10.0):
            settings = Lake(seal_s=0.001, seal_after_s=0.0, least_rows=1)
            turn = threading.Lock()
            async with sealing(settings, MemoryLake(), folder, SystemClock(), turn, supervisor):
                pass
            assert supervisor.works == {}

    asyncio.run(main())
    failed: list[Work] = []

    async def broken() -> None:
        async with asyncio.timeout(10.0):
            settings = Lake(seal_s=0.001)
            turn = threading.Lock()
            async with sealing(settings, lake, folder, SystemClock(), turn, supervisor):
                work = supervisor.works["sealing"]
                while work.failures < 2:
                    await asyncio.sleep(0.001)
                failed.append(work)

    asyncio.run(broken())
    assert failed[0].in_row >= 2
    with JournalReader(folder.journal) as reader:
        assert [usage.call_id for usage in reader.usages(0, 2**62)] == ["call_1"]
