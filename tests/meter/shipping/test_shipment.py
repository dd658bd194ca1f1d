"""Shipments, and the decisions of both sides: a state machine with a crash at every step."""

from __future__ import annotations

import re
from itertools import pairwise
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from msgspec.structs import replace

from inferworks.errors import ShippingError
from inferworks.meter.record import Quarantined
from inferworks.meter.shipping.shipment import (
    PIECE_BYTES,
    Kept,
    Piece,
    Position,
    Run,
    Shipment,
    accepted,
    advance,
    beginning,
    check_position,
    pieces_of,
    records_of,
)
from inferworks.testing.facts import (
    make_activity,
    make_capacity,
    make_opened,
    make_step,
    make_usage,
)

RUN = Run("edge-7", "0" * 32)


def body(number: int) -> bytes:
    """A piece of one activity, named by its number."""
    [piece] = pieces_of([make_activity(id_=str(number))])
    return piece


def shipped(run: Run, bodies: list[bytes], after: int, count: int) -> Shipment:
    """The shipment of `count` of `bodies` behind position `after`, as a node makes it."""
    start = advance(beginning(run), bodies[: after - run.begins])
    some = bodies[after - run.begins :][:count]
    digest = advance(start, some).digest
    return Shipment(9, run, after, digest, tuple(map(msgspec.Raw, some)))


class Shipping(RuleBasedStateMachine):
    """A node, a hub and a network that loses, repeats and reorders; each may die, or go back to a backup.

    Killing at a step is losing what is in memory: the sender's position, and messages on their way. What is
    durable of the hub changes in one step, as its transaction does.
    """

    def __init__(self) -> None:
        super().__init__()
        self.run = RUN
        self.log: list[bytes] = []
        self.first = 0
        """Pieces before it were removed from the node."""
        self.hub: Position | None = None
        self.rows: list[bytes] = []
        self.backups: list[tuple[Position | None, list[bytes]]] = []
        self.sent: list[Shipment] = []
        self.answers: list[Position] = []
        self.node_knows: Position | None = None

    @initialize()
    def first_backup(self) -> None:
        """A hub may always go back to having nothing."""
        self.backups.append((None, []))

    @rule()
    def node_writes(self) -> None:
        """A record becomes durable at the node."""
        self.log.append(body(len(self.log)))

    @rule(rival=st.booleans(), count=st.integers(0, 3))
    def node_sends(self, rival: bool, count: int) -> None:
        """The sender, or a rival that knows nothing, asks or sends from where it believes the hub to be."""
        at = 0 if rival or self.node_knows is None else self.node_knows.at
        self.sent.append(shipped(self.run, self.log, at, count))

    @precondition(lambda self: self.sent)
    @rule(data=st.data(), again=st.booleans())
    def hub_receives(self, data: Any, again: bool) -> None:
        """Any shipment on its way arrives, maybe not for the last time."""
        index = data.draw(st.integers(0, len(self.sent) - 1))
        shipment = self.sent[index] if again else self.sent.pop(index)
        moved = accepted(self.hub, shipment)
        if moved is not None:
            self.hub = moved
            self.rows += map(bytes, shipment.pieces)
        self.answers.append(self.hub or beginning(shipment.run))

    @precondition(lambda self: self.answers)
    @rule(data=st.data())
    def node_hears(self, data: Any) -> None:
        """Any answer arrives, late ones too; the node checks that it can go on from there."""
        told = self.answers.pop(data.draw(st.integers(0, len(self.answers) - 1)))
        digest = advance(beginning(self.run), self.log[: told.at]).digest
        check_position(Kept(self.first, len(self.log)), told, digest)
        self.node_knows = told

    @rule()
    def node_dies(self) -> None:
        """The sender's memory is gone; its log is not."""
        self.node_knows = None

    @rule()
    def network_dies(self) -> None:
        """Nothing on its way arrives."""
        self.sent, self.answers = [], []

    @rule()
    def hub_backs_up(self) -> None:
        """The hub's state is copied, position and rows alike."""
        self.backups.append((self.hub, list(self.rows)))

    @rule(data=st.data())
    def hub_is_restored(self, data: Any) -> None:
        """The hub goes back to one of its backups."""
        position, rows = data.draw(st.sampled_from(self.backups))
        self.hub, self.rows = position, list(rows)

    @invariant()
    def hub_has_a_prefix(self) -> None:
        """The hub has the first records of the log, each once and in order, and knows how many."""
        assert self.rows == self.log[: len(self.rows)]
        assert (self.hub or beginning(self.run)).at == len(self.rows)

    def teardown(self) -> None:
        """Left alone, the hub gets everything."""
        told = self.hub or beginning(self.run)
        while told.at < len(self.log):
            shipment = shipped(self.run, self.log, told.at, 2)
            moved = accepted(self.hub, shipment)
            assert moved is not None
            assert moved.at > told.at
            self.hub = told = moved
            self.rows += map(bytes, shipment.pieces)
        assert self.rows == self.log


TestShipping = pytest.mark.slow(Shipping.TestCase)
TestShipping.settings = settings(max_examples=100, stateful_step_count=30)


@given(st.lists(st.integers(0, 5), max_size=12), st.integers(0, 12), st.integers(1, 4))
def test_another_history_is_never_taken(other: list[int], after: int, count: int) -> None:
    """Pieces of a copy that was written on differently are not taken, wherever they begin."""
    common = [body(number) for number in range(6)]
    ours = [*common, *(body(100 + n) for n in range(6))]
    theirs = [*common, *(body(200 + n) for n in other)]
    hub = advance(beginning(RUN), ours[:8])  # two behind the fork
    if after <= len(theirs):
        assert accepted(hub, shipped(RUN, theirs, after, count)) is None


def test_records_come_back() -> None:
    """A piece holds records of every table, large quantities too, and is split by its size."""
    records = [
        make_usage(),
        make_step(("call_1", 1, 2, 3)),
        make_capacity(),
        make_activity(quantity=1 << 70),
        make_opened(),
        Quarantined("a", "b", "c", "d", None),
    ]
    [piece] = pieces_of(records)
    assert records_of(piece) == tuple(records[:4])
    many = [make_activity(id_=str(n), description="x" * 1000) for n in range(200)]
    pieces = list(pieces_of(many))
    assert 3 <= len(pieces) <= 5
    assert max(map(len, pieces)) <= PIECE_BYTES + 200
    assert [record for piece in pieces for record in records_of(piece)] == many
    assert list(pieces_of([make_opened()])) == []


def test_large_records_are_pieces_of_their_own() -> None:
    """A record above the size of a piece is not cut."""
    large = make_activity(description="x" * (2 * PIECE_BYTES))
    pieces = list(pieces_of([make_activity(id_="a"), large, make_activity(id_="b")]))
    assert len(pieces) == 3


def test_unknown_fields_are_refused() -> None:
    """Fields unknown to this program are not passed over in silence."""
    with pytest.raises(msgspec.ValidationError, match="unknown field"):
        records_of(b'{"wallet": []}')
    assert Piece().records == ()


def test_positions_a_node_cannot_go_on_from() -> None:
    """A hub that is ahead, too far behind, or elsewhere: each is said, with what to do."""
    kept, digest = Kept(5, 9), "0" * 32
    check_position(kept, Position(5, digest), digest)
    for at, words in ((10, "has 10 pieces .* which has 9"), (4, "from piece 5 on")):
        with pytest.raises(ShippingError, match=words):
            check_position(kept, Position(at, digest), digest)
    with pytest.raises(ShippingError, match="copied to two machines"):
        check_position(kept, Position(7, digest), "1" * 32)


def test_digests_are_of_all_before() -> None:
    """Each piece, and the run itself, changes every later digest."""
    bodies = [body(n) for n in range(4)]
    positions = [advance(beginning(RUN), bodies[:n]) for n in range(5)]
    assert [position.at for position in positions] == [0, 1, 2, 3, 4]
    assert all(one.digest != other.digest for one, other in pairwise(positions))
    others = [replace(RUN, node="edge-8"), replace(RUN, id="1" * 32), replace(RUN, begins=1)]
    assert len({beginning(run).digest for run in (RUN, *others)}) == 4


@pytest.mark.parametrize("node", ["", "-a", "a b", "x" * 65, "ä"])
def test_names_of_nodes(node: str) -> None:
    """A name of a node is short and plain."""
    data = msgspec.json.encode(Run(node, "0" * 32))
    with pytest.raises(msgspec.ValidationError, match=re.escape("$.node")):
        msgspec.json.decode(data, type=Run)
