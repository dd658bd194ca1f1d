"""The hub's side: each record once in its journal, and everything else told apart."""

from __future__ import annotations

import shutil
import sqlite3
import threading
from contextlib import closing
from pathlib import Path

import msgspec
import pytest
from msgspec.structs import replace

from inferworks.errors import DamagedError, JournalError, RecordError, ShippingError
from inferworks.meter.reader import JournalReader
from inferworks.meter.record import Record
from inferworks.meter.shipping.outbox import Outbox
from inferworks.meter.shipping.receive import ReceivedReader, Receiver
from inferworks.meter.shipping.shipment import (
    Position,
    Run,
    Shipment,
    advance,
    beginning,
    pieces_of,
)
from inferworks.meter.stores.sqlite import SqliteStore
from inferworks.meter.tables import SCHEMA_VERSION
from inferworks.meter.usage import Outcome
from inferworks.testing.facts import (
    make_activity,
    make_capacity,
    make_step,
    make_usage,
)

RUN = Run("edge-7", "0" * 32)
EVER = 2**63 - 1


@pytest.fixture
def hub(tmp_path: Path) -> Path:
    """The journal of a hub."""
    path = tmp_path / "hub.db"
    with closing(SqliteStore(path)) as store:
        store.open()
    return path


def shipment(*records: Record, run: Run = RUN, after: Position | None = None) -> Shipment:
    """The shipment of `records`, a piece each."""
    pieces = [piece for record in records for piece in pieces_of([record])]
    start = after or beginning(run)
    digest = advance(start, pieces).digest
    return Shipment(SCHEMA_VERSION, run, start.at, digest, tuple(map(msgspec.Raw, pieces)))


def test_records_are_kept_once(hub: Path) -> None:
    """A repeat changes nothing and is told where the hub is; the next shipment goes on from there."""
    records = [make_usage(), make_step(("call_1", 1, 2, 3)), make_capacity(), make_activity()]
    with closing(Receiver(hub)) as receiver:
        first = receiver.receive(shipment(*records), 1)
        assert (first.records, first.position.at) == (4, 4)
        again = receiver.receive(shipment(*records), 2)
        assert (again.records, again.position) == (0, first.position)
        more = shipment(make_usage(call_id="call_2"), after=first.position)
        assert receiver.receive(more, 3).position.at == 5
        assert receiver.receive(shipment(), 4).position.at == 5, "a question"
    with ReceivedReader(hub) as reader:
        facts = reader.facts(0, EVER)
        [received] = reader.received()
    assert facts.usages == (make_usage(), make_usage(call_id="call_2"))
    assert (facts.steps, facts.capacity, facts.activities) == tuple((one,) for one in records[1:])
    assert (received.node, received.position, received.records, received.received_ns) == (
        *("edge-7", 5),
        *(5, 3),
    )


def test_runs_are_apart(hub: Path) -> None:
    """A node that was installed again under its name, on another disk, has a run of its own."""
    other = replace(RUN, id="1" * 32)
    with closing(Receiver(hub)) as receiver:
        receiver.receive(shipment(make_usage()), 1)
        taken = receiver.receive(shipment(make_usage(call_id="call_2"), run=other), 2)
    assert (taken.records, taken.position.at) == (1, 1)
    with ReceivedReader(hub) as reader:
        assert [received.run for received in reader.received()] == [RUN.id, other.id]


def test_repeats_and_conflicts_are_told_apart(hub: Path) -> None:
    """The same under a known name counts once; something else under it is in quarantine."""
    report, other = make_activity(), make_usage(outcome=Outcome.CRASHED)
    with closing(SqliteStore(hub)) as store:
        store.open()
        store.write([report, make_usage()])
    fresh = [make_usage(call_id=f"call_{n}") for n in range(2, 100)]
    with closing(Receiver(hub)) as receiver:
        taken = receiver.receive(shipment(report, other, *fresh, fresh[0]), 1)
    assert taken[1:] == (98, 2, 1)
    with JournalReader(hub) as reader:
        [conflict] = reader.quarantined()
        assert len(list(reader.usages(0, EVER))) == 99
    assert (conflict.source, conflict.key) == ("usage", "call_1")
    assert conflict.existing == msgspec.json.encode(make_usage()).decode()


def test_another_history_is_not_taken(hub: Path) -> None:
    """A copy of the node's journal that was written on differently changes nothing."""
    common, ours = make_usage(), make_usage(call_id="call_2")
    with closing(Receiver(hub)) as receiver:
        here = receiver.receive(shipment(common, ours), 1).position
        theirs = advance(beginning(RUN), pieces_of([common]))
        theirs = advance(theirs, pieces_of([make_usage(call_id="call_3")]))
        taken = receiver.receive(shipment(make_usage(call_id="call_4"), after=theirs), 2)
    assert taken == (here, 0, 0, 0)


def test_nothing_of_a_bad_shipment_is_kept(hub: Path) -> None:
    """A piece that is none, a number no database takes, and a newer program's records are refused."""
    good = shipment(make_usage())
    bad = shipment(make_usage(), make_usage(call_id="call_2", opened_ns=1 << 80))
    with closing(Receiver(hub)) as receiver:
        with pytest.raises(RecordError, match="edge-7"):
            receiver.receive(bad, 1)
        with pytest.raises(RecordError, match="edge-7"):
            receiver.receive(replace(good, pieces=(msgspec.Raw(b'{"usage": [1]}'),)), 1)
        with pytest.raises(ShippingError, match="upgrade the hub first"):
            receiver.receive(replace(good, version=SCHEMA_VERSION + 1), 1)
        assert receiver.receive(shipment(), 1).position == beginning(RUN)
    with JournalReader(hub) as reader:
        assert not list(reader.usages(0, EVER))


def test_a_locked_journal_is_for_later(hub: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """While somebody else writes for long, a shipment fails and is taken afterwards."""
    monkeypatch.setattr("inferworks.meter.shipping.receive._LOCK_TIMEOUT_S", 0.01)
    with closing(Receiver(hub)) as receiver, closing(sqlite3.connect(hub)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(JournalError, match="locked"):
            receiver.receive(shipment(make_usage()), 1)
        other.rollback()
        assert receiver.receive(shipment(make_usage()), 1).records == 1


def test_two_receivers_at_once(hub: Path) -> None:
    """Two processes get the same shipments at the same time; each record is there once."""
    chain = []
    position = beginning(RUN)
    for number in range(60):
        one = shipment(make_usage(call_id=f"call_{number}"), after=position)
        chain.append(one)
        position = Position(position.at + 1, one.digest)
    counts: list[int] = []

    def receive() -> None:
        with closing(Receiver(hub)) as receiver:
            counts.append(sum(receiver.receive(one, 1).records for one in chain))

    threads = [threading.Thread(target=receive) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(counts) == 60
    with ReceivedReader(hub) as reader:
        assert reader.received()[0].position == 60
        assert len(list(reader.usages(0, EVER))) == 60


def test_a_hub_that_went_back_is_sent_the_rest_again(hub: Path, tmp_path: Path) -> None:
    """A restored hub says its older position, and has each record once in the end."""
    first, second = make_usage(), make_usage(call_id="call_2")
    with closing(Receiver(hub)) as receiver:
        here = receiver.receive(shipment(first), 1).position
    shutil.copy(hub, tmp_path / "backup.db")
    with closing(Receiver(hub)) as receiver:
        later = receiver.receive(shipment(second, after=here), 2).position
    with closing(Receiver(tmp_path / "backup.db")) as receiver:
        third = shipment(make_usage(call_id="call_3"), after=later)
        assert receiver.receive(third, 3).position == here
        assert receiver.receive(shipment(second, after=here), 4).position == later
        assert receiver.receive(third, 5).records == 1
        assert receiver.receive(third, 6).records == 0


def test_a_hub_below_another_ships_on(tmp_path: Path) -> None:
    """Records that a hub takes, and ships itself, are in its outbox, repeats left out."""
    path = tmp_path / "middle.db"
    with closing(SqliteStore(path, ships_as="region-1")) as store:
        store.open()
    with closing(Receiver(path)) as receiver:
        receiver.receive(shipment(make_usage(), make_activity(), make_activity()), 1)
    with Outbox(path) as outbox:
        one = outbox.shipment(beginning(outbox.run), outbox.newest())
    assert one is not None
    top = tmp_path / "top.db"
    with closing(SqliteStore(top)) as store:
        store.open()
    with closing(Receiver(top)) as receiver:
        assert receiver.receive(one, 2).records == 2


def test_a_damaged_position_is_noticed(hub: Path) -> None:
    """A position that the disk has changed would lose or repeat records: it is refused."""
    with closing(Receiver(hub)) as receiver:
        receiver.receive(shipment(make_usage()), 1)
    with closing(sqlite3.connect(hub, isolation_level=None)) as database:
        database.execute("UPDATE received_run SET position = 7")
    with closing(Receiver(hub)) as receiver, pytest.raises(DamagedError, match="received_run"):
        receiver.receive(shipment(), 1)
    with ReceivedReader(hub) as reader, pytest.raises(DamagedError, match="received_run"):
        reader.received()
