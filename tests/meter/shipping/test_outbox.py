"""The outbox: it has what the journal has, whatever happens to either."""

from __future__ import annotations

import shutil
import sqlite3
import threading
from contextlib import closing
from pathlib import Path

import pytest

from inferworks.errors import DamagedError, JournalError, ShippingError
from inferworks.meter.record import Record
from inferworks.meter.shipping.outbox import Outbox
from inferworks.meter.shipping.shipment import Position, Shipment, beginning, records_of
from inferworks.meter.stores.sqlite import SqliteStore
from inferworks.testing.facts import make_activity, make_capacity, make_opened, make_usage

DAY_NS = 86_400 * 10**9


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """The path of a journal."""
    return tmp_path / "journal.db"


def written(path: Path, *groups: list[Record], ships_as: str = "edge-7") -> None:
    """Write groups of records into the journal at `path`, each in a transaction."""
    with closing(SqliteStore(path, ships_as=ships_as)) as store:
        store.open()
        for group in groups:
            store.write(group)


def shipped(path: Path, after: int = 0) -> list[Record]:
    """Everything in the outbox behind position `after`, each piece verified."""
    with Outbox(path) as outbox:
        shipment = outbox.shipment(position_at(outbox, after), outbox.newest(), 1 << 30)
    return [] if shipment is None else records_in(shipment)


def position_at(outbox: Outbox, at: int) -> Position:
    """The position of the outbox at piece `at`."""
    if at == outbox.run.begins:
        return beginning(outbox.run)
    first = outbox.shipment(beginning(outbox.run), at, 1 << 30)
    assert first is not None
    return Position(at, first.digest)


def records_in(shipment: Shipment) -> list[Record]:
    """The records in a shipment."""
    return [record for piece in shipment.pieces for record in records_of(piece)]


def test_everything_written_is_entered(path: Path) -> None:
    """A group is a piece; openings are no affair of a hub."""
    usage, capacity = make_usage(), make_capacity()
    written(path, [make_opened(), usage], [make_opened(call_id="call_2")], [capacity])
    assert shipped(path) == [usage, capacity]
    with Outbox(path) as outbox:
        assert outbox.status()[1:5] == (2, 0, None, 2)
        assert outbox.status().waiting == 2


def test_a_refused_group_is_not_entered(path: Path) -> None:
    """A group that the journal refuses is not shipped."""
    with pytest.raises(JournalError):
        written(path, [make_usage()], [make_usage(call_id="call_2"), make_usage()])
    assert shipped(path) == [make_usage()]


def test_a_journal_that_begins_to_ship_enters_what_it_has(path: Path) -> None:
    """Rows of before the node had a hub are shipped, and once."""
    before = [make_usage(call_id=f"call_{n}") for n in range(1000)]
    written(path, before, [make_activity()], ships_as="")
    with pytest.raises(ShippingError, match="does not ship"):
        Outbox(path)
    written(path)
    written(path, [make_usage(call_id="later")])
    found = shipped(path)
    assert sorted(found[:1000], key=str) == sorted(before, key=str)
    assert found[1000:] == [make_activity(), make_usage(call_id="later")]


def test_a_journal_ships_on_without_a_hub(path: Path) -> None:
    """Once begun, everything is entered until shipping is ended, whoever writes."""
    written(path, [make_usage()])
    written(path, [make_usage(call_id="call_2")], ships_as="")
    assert len(shipped(path)) == 2
    with Outbox(path) as outbox:
        outbox.end()
    written(path, [make_usage(call_id="call_3")], ships_as="")
    with pytest.raises(ShippingError, match="does not ship"):
        Outbox(path)


def test_a_node_keeps_its_name(path: Path) -> None:
    """A run belongs to one name; another name is a new run."""
    written(path, [make_usage()])
    with pytest.raises(ShippingError, match="ships as the node 'edge-7', not as 'edge-8'"):
        written(path, ships_as="edge-8")
    with Outbox(path) as outbox:
        outbox.restart("edge-8")
    written(path, [make_usage(call_id="call_2")], ships_as="edge-8")
    assert len(shipped(path)) == 2


def test_a_usage_that_was_taken_back_is_not_shipped(path: Path) -> None:
    """A doubtful write is entered, and taken back with its usage; other records of it stay."""
    turn = threading.Lock()
    with closing(SqliteStore(path, turn, ships_as="edge-7")) as store:
        store.open()
        store.write([make_usage()])
        assert not store.is_in_doubt
        with closing(sqlite3.connect(path, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            store._database.execute("PRAGMA busy_timeout = 1")
            with pytest.raises(JournalError):
                store.write([make_usage(call_id="call_2")])
            assert store.is_in_doubt, "nothing may be shipped until it is known what was written"
            other.execute("ROLLBACK")
        store.resume([make_usage(call_id="call_2")])
        assert not store.is_in_doubt
        # written, though the writer was told that it was not
        doubtful = make_usage(call_id="call_3")
        store._settled_to = 1
        store.write([doubtful, make_capacity()])
        store._settled_to = 1
        store.resume([doubtful])
        store.write([make_usage(call_id="call_4")])
    assert shipped(path) == [make_usage(), make_capacity(), make_usage(call_id="call_4")]


def test_what_others_have_entered_stays_as_it_was(path: Path) -> None:
    """A writer that takes back one of its own leaves the pieces before, which may have been shipped."""
    with closing(SqliteStore(path, ships_as="edge-7")) as store:
        store.open()
        with closing(SqliteStore(path)) as other:
            other.open()
            other.write(
                [make_capacity(), make_usage(call_id="call_1")]
            )  # in another order than a piece
        before = [digest_at(path, at) for at in (1,)]
        store.resume([make_usage(call_id="never written")])
        doubtful = make_usage(call_id="call_2")
        store.write([doubtful])
        store._settled_to = 0
        store.resume([doubtful])
        assert [digest_at(path, at) for at in (1,)] == before
        assert store.settled_to == 1
    assert shipped(path) == [make_usage(call_id="call_1"), make_capacity()]


def test_of_a_shared_journal_nothing_is_taken_back(path: Path) -> None:
    """Another process may have written the record since, for the sender that was refused here."""
    report = make_usage(call_id="source/1")
    with closing(SqliteStore(path, ships_as="edge-7", is_shared=True)) as store:
        store.open()
        with closing(SqliteStore(path)) as other:
            other.open()
            other.write([report])
        store.resume([report])
        assert store.settled_to == 1
    assert shipped(path) == [report]


def test_acknowledged_pieces_stay_for_a_while(path: Path) -> None:
    """Pieces can be shipped again until they are older than is set; the others stay for ever."""
    written(path, *([make_usage(call_id=f"call_{n}")] for n in range(10)))
    with Outbox(path) as outbox:
        outbox.acknowledge(4, now_ns=1 * DAY_NS, keep_ns=30 * DAY_NS)
        outbox.acknowledge(8, now_ns=20 * DAY_NS, keep_ns=30 * DAY_NS)
        assert outbox.status()[1:5] == (10, 8, 20 * DAY_NS, 10)
        outbox.acknowledge(9, now_ns=32 * DAY_NS, keep_ns=30 * DAY_NS)
        assert outbox.status().pieces == 7, "from the fourth on, whose digest is needed"
        outbox.check(Position(4, digest_at(path, 4)))
        with pytest.raises(ShippingError, match=r"from piece 4 on, and pieces before 4"):
            outbox.check(Position(3, "0" * 32))
        outbox.acknowledge(10, now_ns=300 * DAY_NS, keep_ns=30 * DAY_NS)
        outbox.acknowledge(10, now_ns=400 * DAY_NS, keep_ns=30 * DAY_NS)
        assert outbox.status()[1:5] == (10, 10, 300 * DAY_NS, 1)
    written(path, [make_usage(call_id="call_11")])
    with Outbox(path) as outbox:
        assert outbox.newest() == 11, "numbers are never used again"


def digest_at(path: Path, at: int) -> str:
    """The digest that is kept at a position."""
    with closing(sqlite3.connect(path)) as database:
        query = "SELECT digest FROM outbox WHERE position = ?"
        return str(database.execute(query, (at,)).fetchone()[0])


def test_many_acknowledgements_take_no_room(path: Path) -> None:
    """One is remembered for each fiftieth of the time."""
    written(path, [make_usage()])
    with Outbox(path) as outbox:
        for second in range(200):
            outbox.acknowledge(1, second * 10**9, 30 * DAY_NS)
    with closing(sqlite3.connect(path)) as database:
        assert database.execute("SELECT count(*) FROM outbox_acknowledged").fetchone() <= (2,)


def test_a_damaged_piece_is_not_shipped(path: Path) -> None:
    """A byte that the disk has changed is noticed before it is sent."""
    written(path, [make_usage()], [make_usage(call_id="call_2")])
    with closing(sqlite3.connect(path, isolation_level=None)) as database:
        database.execute("UPDATE outbox SET body = cast(replace(body, 'call_2', 'call_3') AS BLOB)")
    with pytest.raises(DamagedError, match="outbox 2 is not what was written"):
        shipped(path)


def test_a_journal_that_was_restored_says_so(path: Path, tmp_path: Path) -> None:
    """The hub is ahead, or has another history; a new run goes on from what it has acknowledged."""
    written(path, [make_usage()], [make_usage(call_id="call_2")])
    with Outbox(path) as outbox:
        outbox.acknowledge(2, 0, DAY_NS)
    copy = tmp_path / "copy.db"
    shutil.copy(path, copy)
    written(path, [make_usage(call_id="call_3")], [make_usage(call_id="call_4")])
    with Outbox(path) as outbox:
        hub = position_at(outbox, 4)
    with Outbox(copy) as outbox, pytest.raises(ShippingError, match="restored from an older copy"):
        outbox.check(hub)
    others = [[make_usage(call_id=f"other_{n}")] for n in range(3)]
    written(copy, *others)
    with Outbox(copy) as outbox:
        with pytest.raises(ShippingError, match="copied to two machines"):
            outbox.check(hub)
        run = outbox.restart("edge-7")
        assert run.begins == 2
        outbox.check(beginning(run))
    assert shipped(copy, after=2) == [record for [record] in others]


def test_no_piece_is_larger_than_a_shipment(path: Path) -> None:
    """A shipment ends before the piece that would make it too large, but has one in any case."""
    written(path, *([make_usage(call_id=f"call_{n}")] for n in range(9)))
    with Outbox(path) as outbox:
        start = beginning(outbox.run)
        whole = outbox.shipment(start, 9)
        assert whole is not None
        size = len(bytes(whole.pieces[0]))
        for most, count in ((1, 1), (3 * size + 5, 3), (1 << 20, 9)):
            shipment = outbox.shipment(start, 9, most)
            assert shipment is not None
            assert len(shipment.pieces) == count
        until = outbox.shipment(start, 4)
        assert until is not None
        assert len(until.pieces) == 4, "none of which may yet be taken back"
        assert outbox.shipment(position_at(outbox, 9), 9) is None
