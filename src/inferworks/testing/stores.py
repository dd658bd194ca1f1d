"""The conformance suite of the store seam: `check_journal_store(MyStore())`."""

from __future__ import annotations

from collections.abc import Sequence

from inferworks.errors import RecordError
from inferworks.ids import CallId, ReplicaId
from inferworks.meter.capacity import State
from inferworks.meter.record import Quarantined, Record, Retracted, SpoolCursor
from inferworks.meter.stores.base import JournalStore
from inferworks.meter.usage import Checkpoint
from inferworks.testing.facts import (
    A_TIME_NS,
    make_activity,
    make_capacity,
    make_leg,
    make_opened,
    make_step,
    make_usage,
)


def check_journal_store(store: JournalStore) -> None:
    """Put an empty `store` to the test; AssertionError when it breaks the seam's promises.

    The store is opened and closed here and holds some records afterwards.
    """
    store.open()
    try:
        _check_every_record_comes_back(store)
        store.write([make_opened(call_id="running")])
        with store.reads() as reads:
            before = reads.counts()
        fresh = make_usage(call_id="fresh")
        _refused(store, [fresh, make_usage(call_id="whole")], "a second usage of a call")
        _refused(
            store,
            [make_opened(call_id="fresh"), make_opened(call_id="running")],
            "a second opening",
        )
        _refused(store, [fresh, make_step(("x", 1, 0, 1))], "a second step at the same place")
        _refused(store, [fresh, make_capacity()], "a second capacity row at the same place")
        _refused(store, [fresh, make_activity()], "a second activity of the same name")
        _refused(
            store, [fresh, make_usage(call_id="big", opened_ns=2**63)], "a number out of range"
        )
        _refused(
            store, [fresh, make_usage(call_id="odd", model="\ud800")], "a text that is not Unicode"
        )
        with store.reads() as reads:
            assert reads.counts() == before, "a refused write must leave nothing behind"
        store.write([make_usage(call_id="running")])
        _check_intervals_are_half_open(store)
        _check_the_newest_counts(store)
        _check_what_is_open_or_in_doubt(store)
    finally:
        store.close()


def _check_every_record_comes_back(store: JournalStore) -> None:
    usage, step, capacity = (
        make_usage(call_id="whole"),
        make_step(("whole", 3, 0, 3)),
        make_capacity(),
    )
    activity, vast = make_activity(), make_activity(id_="vast", quantity=10**25)
    quarantined = Quarantined("source", "key", "reason", "body", None)
    taken_back = Retracted(
        "trainer", "run-1", activity.start_ns, activity.end_ns, 7, "key_1", "a test"
    )
    store.write(
        [
            *(make_opened(call_id="whole"), usage, step, capacity, activity, vast),
            *(quarantined, taken_back),
        ]
    )
    with store.reads() as reads:
        facts = reads.facts(A_TIME_NS, A_TIME_NS + 1)
        assert facts.usages == (usage,), "a usage must come back as it was written"
        assert facts.steps == (step,), "a step must come back as it was written"
        assert facts.capacity == (capacity,), "a capacity row must come back as it was written"
        assert facts.activities == (activity, vast), "an activity must come back as it was written"
        assert facts.retracted == (taken_back,), "what was taken back must come back"
        names = [("trainer", "run-1"), ("trainer", "other")]
        assert reads.known_retracted(names) == {("trainer", "run-1"): taken_back}
        assert list(reads.retracted(activity.end_ns, activity.end_ns + 1)) == []
        assert list(reads.quarantined()) == [quarantined], "what is quarantined must come back"
        known = reads.known_activities([("trainer", "other"), ("trainer", "run-1")])
        assert known == {("trainer", "run-1"): activity}, "activities are known by (source, id)"


def _refused(store: JournalStore, records: Sequence[Record], what: str) -> None:
    try:
        store.write(records)
    except RecordError:
        return
    raise AssertionError(f"{what} must be refused with RecordError")


def _check_intervals_are_half_open(store: JournalStore) -> None:
    start_ns, end_ns = 1000, 2000
    inside, outside = (start_ns, end_ns - 1), (start_ns - 1, end_ns)
    store.write([make_usage(call_id=f"at {ns}", opened_ns=ns) for ns in inside + outside])
    intervals = {
        "before": (900, 1000),
        "into": (900, 1001),
        "out of": (1900, 2100),
        "after": (2100, 2200),
    }
    for name, (from_ns, until_ns) in intervals.items():
        store.write([
            make_step(replica=name, start_ns=from_ns, duration_ns=until_ns - from_ns),
            make_capacity(replica=name, start_ns=from_ns, end_ns=until_ns),
            make_activity(id_=name, start_ns=from_ns, end_ns=until_ns),
        ])  # fmt: skip
    store.write([make_step(replica="point", start_ns=start_ns, duration_ns=0)])
    with store.reads() as reads:
        facts = reads.facts(start_ns, end_ns)
        opened = [usage.opened_ns for usage in facts.usages]
        assert opened == [start_ns, end_ns - 1], "a usage belongs to the interval it was opened in"
        overlapping = ["into", "out of"]
        assert [row.replica for row in facts.capacity] == overlapping, "capacity must overlap"
        assert [activity.id for activity in facts.activities] == overlapping, (
            "activities must overlap"
        )
        replicas = [step.replica for step in facts.steps]
        assert replicas == [*overlapping, "point"], "steps must overlap, a point where it starts"
        [one] = reads.steps(facts.steps[0].replica, start_ns, end_ns)
        assert one == facts.steps[0], "steps of one replica must be that replica's alone"


def _check_the_newest_counts(store: JournalStore) -> None:
    older = Checkpoint(make_opened(call_id="long").call_id, 1, make_leg(), 10)
    newer = Checkpoint(older.call_id, 2, make_leg(), 20)
    read = SpoolCursor("file", make_capacity().replica, make_capacity().node, 5, State.IDLE, 7, 1)
    further = SpoolCursor("file", read.replica, read.node, 9, State.DOWN, 8, 2, finished=True)
    store.write([older, read])
    store.write([newer, further])
    with store.reads() as reads:
        assert reads.checkpoint(older.call_id) == newer, "the newest checkpoint counts"
        assert reads.cursor("file") == further, "the newest cursor counts"
        assert reads.cursor("none") is None, "an unknown spool has no cursor"
        covered_ns = reads.covered_ns(further.replica)
        assert covered_ns == further.covered_ns, (
            "of all its spools the one that reaches furthest counts"
        )
        assert reads.covered_ns(ReplicaId("none")) == 0, "nothing of an unknown replica is taken in"


def _check_what_is_open_or_in_doubt(store: JournalStore) -> None:
    opened = make_opened(call_id="open")
    store.opened(opened)
    try:
        store.opened(opened)
    except RecordError:
        pass  # as it must be
    else:
        raise AssertionError("a second opening must be refused with RecordError")
    with store.reads() as reads:
        assert list(reads.opened_unclosed()) == [opened], "a call without a usage is open"
    reached = Checkpoint(opened.call_id, 1, make_leg(), 10)
    store.reached(reached)
    store.settle()
    with store.reads() as reads:
        assert list(reads.opened_unclosed()) == [opened], "settling loses no open call"
        assert reads.checkpoint(opened.call_id) == reached, "nor how far it has come"
    store.write([make_usage(call_id="open")])
    with store.reads() as reads:
        assert not list(reads.opened_unclosed()), "a call with a usage is closed"
    assert not store.settle(), "with nothing open there is nothing left to settle"
    there, other = make_usage(call_id="there"), make_usage(call_id="other")
    store.opened(make_opened(call_id="there"))
    store.write([there, other])
    tried = make_usage(call_id="other", customer="globex")
    store.resume([there, tried, make_usage(call_id="never written")])
    with store.reads() as reads:
        known = reads.known_usages([there.call_id, other.call_id, CallId("never written")])
    assert known == {other.call_id: other}, "what is in doubt is taken back, and nothing else is"
    store.resume([])
    store.write([there])
    assert not store.settle(), "resuming leaves nothing to settle"
