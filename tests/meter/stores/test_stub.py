"""The store in memory: the rules of the store on the disk, until it is broken or the process ends."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inferworks.errors import JournalError, RecordError
from inferworks.ids import CallId, ReplicaId
from inferworks.meter.capacity import State
from inferworks.meter.facts import NO_FACTS
from inferworks.meter.record import Record, SpoolCursor
from inferworks.meter.stores.base import JournalReads
from inferworks.meter.stores.sqlite import SqliteStore
from inferworks.meter.stores.stub import MemoryStore
from inferworks.meter.usage import Checkpoint
from inferworks.testing.facts import (
    make_activity,
    make_capacity,
    make_leg,
    make_opened,
    make_step,
    make_usage,
)
from inferworks.testing.stores import check_journal_store

FOREVER = 2**63 - 1


def reads(*records: Record) -> JournalReads:
    """The reads of a store with these records."""
    store = MemoryStore()
    store.write(records)
    with store.reads() as found:
        return found


def test_the_store_keeps_the_promises_of_the_seam() -> None:
    """All that the one on the disk keeps."""
    check_journal_store(MemoryStore())


def test_an_empty_store_has_nothing() -> None:
    """Neither opening nor closing is needed."""
    store = MemoryStore()
    with store.reads() as found:
        assert found.facts(0, FOREVER) == NO_FACTS
        assert set(found.counts().values()) == {0}
    store.open()
    store.close()
    assert store.writes == 0


def test_transactions_are_counted_and_openings_are_none() -> None:
    """A refused one is not counted either."""
    store = MemoryStore()
    store.write([make_usage(call_id="a"), make_usage(call_id="b")])
    store.opened(make_opened(call_id="c"))
    with pytest.raises(RecordError):
        store.write([make_usage(call_id="d"), make_usage(call_id="a")])
    assert store.writes == 1
    with store.reads() as found:
        assert [usage.call_id for usage in found.usages(0, FOREVER)] == ["a", "b"]


def test_a_broken_store_refuses_everything_and_loses_nothing() -> None:
    """Once it is well again it goes on."""
    store = MemoryStore()
    store.write([make_usage(call_id="a")])
    store.broken = True
    attempts = (
        lambda: store.write([make_usage(call_id="b")]),
        lambda: store.opened(make_opened(call_id="c")),
        lambda: store.reached(Checkpoint(CallId("c"), 1, make_leg(), 1)),
        lambda: store.resume([]),
    )
    for attempt in attempts:
        with pytest.raises(JournalError, match="the store is broken"):
            attempt()
    store.broken = False
    store.resume([])
    store.write([make_usage(call_id="b")])
    with store.reads() as found:
        assert [usage.call_id for usage in found.usages(0, FOREVER)] == ["a", "b"]


def test_what_is_in_doubt_is_taken_back() -> None:
    """The very usages; another of a call stays."""
    store = MemoryStore()
    doubtful, other = make_usage(call_id="a"), make_usage(call_id="b")
    store.write([doubtful, other])
    store.resume([doubtful, make_usage(call_id="b", model="another")])
    with store.reads() as found:
        assert list(found.usages(0, FOREVER)) == [other]
    store.write([doubtful])


def test_a_view_is_of_one_moment() -> None:
    """Later records are for later views."""
    store = MemoryStore()
    store.write([make_usage(call_id="a")])
    with store.reads() as before:
        store.write([make_usage(call_id="b")])
        assert len(list(before.usages(0, FOREVER))) == 1
    with store.reads() as after:
        assert len(list(after.usages(0, FOREVER))) == 2


def test_nothing_here_is_ever_safe() -> None:
    """Memory does not outlive the process."""
    store = MemoryStore()
    store.write([make_usage()])
    assert store.settle() is False


TIMES = st.integers(0, 12)
RECORDS = st.one_of(
    st.builds(lambda n, at: make_usage(call_id=f"c-{n}", opened_ns=at), st.integers(0, 3), TIMES),
    st.builds(
        lambda n, at, long: make_step(replica=f"r-{n}", start_ns=at, duration_ns=long),
        st.integers(0, 1), TIMES, st.integers(0, 3),
    ),
    st.builds(
        lambda n, at, long: make_capacity(replica=f"r-{n}", start_ns=at, end_ns=at + long),
        st.integers(0, 1), TIMES, st.integers(1, 3),
    ),
    st.builds(
        lambda n, at, long: make_activity(id_=f"a-{n}", start_ns=at, end_ns=at + long),
        st.integers(0, 3), TIMES, st.integers(0, 3),
    ),
    st.builds(lambda n: make_opened(call_id=f"c-{n}"), st.integers(0, 4)),
    st.builds(
        lambda n, at: SpoolCursor(
            f"f-{n}", ReplicaId("r-0"), make_capacity().node, 5, State.IDLE, at, 1
        ),
        st.integers(0, 1), TIMES,
    ),
)  # fmt: skip


@settings(max_examples=8)
@given(records=st.lists(st.lists(RECORDS, max_size=3), max_size=6))
def test_both_stores_take_and_give_the_same(
    records: Sequence[Sequence[Record]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Any groups of records: each is taken or refused by both, and every answer is the same."""
    memory = MemoryStore()
    with closing(SqliteStore(tmp_path_factory.mktemp("journal") / "journal.db")) as disk:
        disk.open()
        for group in records:
            assert refuses(memory, group) == refuses(disk, group)
        with memory.reads() as one, disk.reads() as other:
            assert disjoint(one, 3, 9) == disjoint(other, 3, 9)
            assert one.counts() == other.counts()
            assert list(one.opened_unclosed()) == list(other.opened_unclosed())
            for file in ("f-0", "f-1"):
                assert one.cursor(file) == other.cursor(file)
            assert one.covered_ns(ReplicaId("r-0")) == other.covered_ns(ReplicaId("r-0"))


def disjoint(found: JournalReads, start_ns: int, end_ns: int) -> object:
    """The calls and activities of an interval: other facts need intervals that do not overlap."""
    facts = found.facts(start_ns, end_ns)
    return facts.usages, facts.activities


def refuses(store: MemoryStore | SqliteStore, records: Sequence[Record]) -> bool:
    """Return True if a store refuses these records."""
    try:
        store.write(records)
    except RecordError:
        return True
    return False
