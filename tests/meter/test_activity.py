"""Activities are taken in exactly once by (source, id) (theorem 3)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from inferworks.errors import JournalError, RecordError
from inferworks.meter.activity import Received, record_reported
from inferworks.meter.capacity import Activity
from inferworks.meter.journal import Journal
from inferworks.meter.stores.base import JournalStore
from inferworks.meter.stores.sqlite import SqliteStore
from inferworks.meter.stores.stub import MemoryStore
from inferworks.testing.facts import make_activity

FOREVER = 2**63 - 1


def started(store: JournalStore) -> Journal:
    """A journal that has been started."""
    journal = Journal(store)
    journal.start()
    return journal


def kept(store: JournalStore) -> list[Activity]:
    """Activities counted."""
    with store.reads() as reads:
        return list(reads.activities(0, FOREVER))


@pytest.mark.parametrize("make", [lambda _: MemoryStore(), SqliteStore], ids=["memory", "sqlite"])
async def test_new_duplicate_and_conflict(
    make: Callable[[Path], JournalStore], tmp_path: Path
) -> None:
    """The same again is a duplicate; another body is kept beside the first and not counted."""
    store = make(tmp_path / "journal.db")
    journal = started(store)
    first, second = make_activity(id_="1"), make_activity(id_="2")
    other = make_activity(id_="1", quantity=7)
    assert await record_reported(journal, [first, second, second]) == Received(3, 2, 1, 0)
    assert await record_reported(journal, [first, other]) == Received(2, 0, 1, 1)
    assert await record_reported(journal, [other, other]) == Received(2, 0, 0, 2)
    assert kept(store) == [first, second], "durable when it returns"
    with store.reads() as reads:
        [conflict] = reads.quarantined()
    assert conflict.existing is not None
    assert msgspec.json.decode(conflict.body, type=Activity) == other
    assert msgspec.json.decode(conflict.existing, type=Activity) == first
    journal.close()


async def test_nothing_is_nothing() -> None:
    """An empty list is received as such."""
    journal = started(MemoryStore())
    assert await record_reported(journal, []) == Received(0, 0, 0, 0)
    journal.close()


@pytest.mark.parametrize("make", [lambda _: MemoryStore(), SqliteStore], ids=["memory", "sqlite"])
async def test_two_senders_at_once(make: Callable[[Path], JournalStore], tmp_path: Path) -> None:
    """Senders that race with the same activities have them counted once between them."""
    store = make(tmp_path / "journal.db")
    journal = started(store)
    activities = [make_activity(id_=f"{n}") for n in range(20)]
    received = await asyncio.gather(*(record_reported(journal, activities) for _ in range(8)))
    assert sum(each.accepted for each in received) == 20
    assert sum(each.duplicate for each in received) == 7 * 20
    assert len(kept(store)) == 20
    journal.close()


async def test_what_cannot_be_stored_is_refused_whole() -> None:
    """One activity that no column holds refuses the batch; none of it is counted."""
    store = MemoryStore()
    journal = started(store)
    batch = [make_activity(id_="fine"), make_activity(id_="odd", end_ns=2**63)]
    with pytest.raises(RecordError):
        await record_reported(journal, batch)
    assert kept(store) == []
    journal.close()


async def test_a_failed_journal_accepts_nothing() -> None:
    """The sender is told when the disk fails, and may send again later."""
    store = MemoryStore()
    journal = started(store)
    store.broken = True
    with pytest.raises(JournalError):
        await record_reported(journal, [make_activity()])
    with pytest.raises(JournalError):
        journal.close()


activities = st.builds(
    lambda source, id_, quantity: make_activity(source=source, id_=id_, quantity=quantity),
    st.sampled_from("ab"),
    st.sampled_from("123"),
    st.integers(1, 3),
)


@pytest.mark.slow
@given(st.lists(st.lists(activities, max_size=6), max_size=5))
def test_received_is_accepted_duplicate_and_conflict(batches: list[list[Activity]]) -> None:
    """The first body of each name is counted and every arrival is accounted for, in any order."""

    async def main() -> list[Received]:
        journal = started(store)
        received = [await record_reported(journal, batch) for batch in batches]
        journal.close()
        return received

    store = MemoryStore()
    received = asyncio.run(main())
    first: dict[tuple[str, str], Activity] = {}
    for activity in (activity for batch in batches for activity in batch):
        first.setdefault((activity.source, activity.id), activity)
    assert kept(store) == [first[name] for name in sorted(first)]
    assert sum(each.accepted for each in received) == len(first)
    for each, batch in zip(received, batches, strict=True):
        assert each.received == each.accepted + each.duplicate + each.conflict == len(batch)
