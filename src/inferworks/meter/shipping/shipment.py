"""Shipments of a node's records to a hub: what is sent, and the decisions of both sides, without I/O.

Problem. A node without an object store has records that the books of a hub need, each exactly once.
Either process may be killed at any moment, the network repeats and loses, two shippers may run by
mistake, and either side may be restored from an older backup.

Decision. A node keeps its records in a numbered log, piece by piece (`outbox`). The hub keeps, for each
log, the *position* up to which it has taken it, and moves that in the transaction that keeps the records
(`receive`). The hub alone says where to go on: a sender remembers nothing that matters. A shipment that
does not begin at the hub's position changes nothing and is answered with that position, so repeats,
rivals and messages out of order are harmless, and a hub that went back to an older backup is sent the
rest again.

A position has a *digest*: that of the piece and of the digest before, from the first piece on. Two logs
have the same digest at a position only when they are the same up to there. So a journal that was copied
to a second machine, or restored from an older copy and written on, is noticed at once by both sides:
without it the hub would take the second machine's records for repeats of the first's, and lose them in
silence.

A log belongs to one *run* of a node: a journal that was begun. A node that lost its disk and is installed
again under its name has another run, and both stay apart.

Rejected. Marks at each record that was sent (a write each, and a sender that has to remember); names of
records alone (a hub has archived most of them, and would have to search its archive); a hub that answers
with what it lacks (one that was restored cannot know).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from hashlib import blake2b
from typing import Annotated, Final, TypeAlias

import msgspec
from msgspec import Meta

from inferworks.errors import ShippingError
from inferworks.meter.capacity import Activity, Capacity, Step
from inferworks.meter.record import Record, Retracted
from inferworks.meter.usage import Usage

PATH: Final = "/usage/shipments"
"""Path of the hub's endpoint below its base URL."""
MOST_BYTES: Final = 1 << 20
"""Most bytes of pieces in a shipment, but for one that is larger by itself."""
PIECE_BYTES: Final = 64 * 1024
"""Size at which a piece ends; one record may be larger."""
_DIGEST_BYTES: Final = 16

Shipped: TypeAlias = Usage | Capacity | Step | Activity | Retracted
"""Record that is shipped. Openings, cursors and quarantined records are a node's own affair."""

NODE_NAME: Final = re.compile(r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")
NodeName: TypeAlias = Annotated[str, Meta(pattern=NODE_NAME.pattern)]
_Digest: TypeAlias = Annotated[str, Meta(pattern=f"^[0-9a-f]{{{2 * _DIGEST_BYTES}}}$")]
_Count: TypeAlias = Annotated[int, Meta(ge=0, le=1 << 62)]


class Run(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Log of a node: that of one journal, from `begins` on."""

    node: NodeName
    id: Annotated[str, Meta(pattern="^[0-9a-f]{32}$")]
    begins: _Count = 0
    """Position before its first piece."""


class Position(msgspec.Struct, frozen=True):
    """Place in a log: the number of its last piece, and the digest of all up to there."""

    at: _Count
    digest: _Digest


class Shipment(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Pieces of a log that follow position `after`; without pieces, a question for the hub's position."""

    version: Annotated[int, Meta(ge=1)]
    """Version of the records: the schema version of the node's journal."""
    run: Run
    after: _Count
    digest: _Digest
    """Digest of the log behind the last of the pieces."""
    pieces: Annotated[tuple[msgspec.Raw, ...], Meta(max_length=100_000)]


class Piece(msgspec.Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """Records that became durable together, by table."""

    usage: tuple[Usage, ...] = ()
    step: tuple[Step, ...] = ()
    capacity: tuple[Capacity, ...] = ()
    activity: tuple[Activity, ...] = ()
    retracted: tuple[Retracted, ...] = ()

    @property
    def records(self) -> tuple[Shipped, ...]:
        """All of them."""
        return (*self.usage, *self.step, *self.capacity, *self.activity, *self.retracted)


_FIELDS: Final[Mapping[type[Record], bytes]] = {
    Usage: b"usage",
    Step: b"step",
    Capacity: b"capacity",
    Activity: b"activity",
    Retracted: b"retracted",
}
_encode = msgspec.json.Encoder().encode
_decode_piece = msgspec.json.Decoder(Piece).decode


def pieces_of(records: Iterable[Record], piece_bytes: int = PIECE_BYTES) -> Iterable[bytes]:
    """Return the shipped ones of `records` as pieces."""
    texts: dict[bytes, list[bytes]] = {}
    size = 0
    for record in records:
        field = _FIELDS.get(type(record))
        if field is None:
            continue
        text = _encode(record)
        if size and size + len(text) > piece_bytes:
            yield _piece(texts)
            texts, size = {}, 0
        texts.setdefault(field, []).append(text)
        size += len(text)
    if texts:
        yield _piece(texts)


def _piece(texts: Mapping[bytes, Sequence[bytes]]) -> bytes:
    fields = (b'"%b":[%b]' % (field, b",".join(some)) for field, some in texts.items())
    return b"{%b}" % b",".join(fields)


def records_of(piece: bytes | msgspec.Raw) -> tuple[Shipped, ...]:
    """Return the records in a piece; `msgspec.DecodeError` when it is none."""
    return _decode_piece(piece).records


def beginning(run: Run) -> Position:
    """Return the position before the first piece of `run`."""
    seed = f"{run.node}/{run.id}/{run.begins}".encode()
    return Position(run.begins, blake2b(seed, digest_size=_DIGEST_BYTES).hexdigest())


def advance(position: Position, pieces: Iterable[bytes | msgspec.Raw]) -> Position:
    """Return the position behind `pieces` that follow `position`."""
    at, digest = position.at, bytes.fromhex(position.digest)
    for piece in pieces:
        digest = blake2b(piece, key=digest, digest_size=_DIGEST_BYTES).digest()
        at += 1
    return Position(at, digest.hex())


def accepted(kept: Position | None, shipment: Shipment) -> Position | None:
    """Return the hub's position after it has taken `shipment`; None when it takes nothing of it.

    `kept` is where the hub is in that run; None in one that it has never heard of.
    """
    position = kept or beginning(shipment.run)
    if shipment.after != position.at or not shipment.pieces:
        return None
    moved = advance(position, shipment.pieces)
    return moved if moved.digest == shipment.digest else None


class Kept(msgspec.Struct, frozen=True):
    """Part of a log that its node still has: the first and last position from which it can go on."""

    first: int
    last: int


def check_position(kept: Kept, told: Position, known_digest: str | None) -> None:
    """Check that a node can go on from the position that its hub has `told`; else ShippingError.

    `known_digest` is the node's own digest at that position, where it has it.
    """
    if told.at > kept.last:
        raise ShippingError(
            f"the hub has {told.at:,} pieces of this journal, which has {kept.last:,}: the journal was "
            "restored from an older copy; go on under a new run with: inferworks ship restart"
        )
    if told.at < kept.first:
        raise ShippingError(
            f"the hub needs this journal from piece {told.at + 1:,} on, and pieces before {kept.first:,} "
            "were removed here, ship.keep_days after it had acknowledged them: restore a newer backup "
            "of the hub, or accept the loss with: inferworks ship restart"
        )
    if known_digest != told.digest:
        raise ShippingError(
            f"the hub has other records than this journal up to piece {told.at:,}: the journal was "
            "copied to two machines, or restored from an older copy and written on; go on under a new run "
            "with: inferworks ship restart"
        )
