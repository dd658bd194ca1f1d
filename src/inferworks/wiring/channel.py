"""Messages between a gateway and its workers, over a socket that only the two of them have.

Each message is a struct in MessagePack after its length in four bytes. The end of the stream is the death
of the other side. Either side sends without waiting: what it sends is small and seldom, and a side that
takes nothing for long is dead or will be killed.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Mapping
from contextlib import suppress
from typing import Final, Generic, TypeAlias, TypeVar

import msgspec

from inferworks.api.context import Others
from inferworks.cloud.backends.base import ReplicaSpec
from inferworks.config import Config
from inferworks.observe.merged import Snapshot

_LENGTH_BYTES: Final = 4
_encode: Final = msgspec.msgpack.Encoder().encode

M = TypeVar("M")


class State(msgspec.Struct, frozen=True, tag=True):
    """State of the gateway beside the worker that it is sent to."""

    replicas: Mapping[str, str] = {}
    """The state of each of our own replicas."""
    ready: tuple[tuple[ReplicaSpec, str], ...] = ()
    """Replicas that are ready, with their URLs."""
    others: Others = Others()


class Start(msgspec.Struct, frozen=True, tag=True):
    """Order to serve, with everything needed for it."""

    config: Config
    """Configuration with the worker's share in each limit."""
    number: int
    workers: int
    token: str
    """Token that our own replicas ask for."""
    state: State


class Configure(msgspec.Struct, frozen=True, tag=True):
    """Order to serve by another configuration."""

    config: Config


class Cover(msgspec.Struct, frozen=True, tag=True):
    """Order to take the clients of the worker `number` as well, or no more."""

    number: int
    covers: bool


class Ask(msgspec.Struct, frozen=True, tag=True):
    """Question for the worker's figures; `Told` answers it."""


class Shown(msgspec.Struct, frozen=True, tag=True):
    """Metrics of the whole gateway, as `Show` asked for them."""

    text: bytes


class Stop(msgspec.Struct, frozen=True, tag=True):
    """Order to finish the running calls, and end."""


class Hello(msgspec.Struct, frozen=True, tag=True):
    """First message of a worker, which can be given its orders now."""


class Ready(msgspec.Struct, frozen=True, tag=True):
    """The worker serves calls."""


class Failed(msgspec.Struct, frozen=True, tag=True):
    """The worker cannot serve, and ends."""

    error: str
    is_full: bool
    """True when the disk is full."""


class Applied(msgspec.Struct, frozen=True, tag=True):
    """Result of `Configure`; an error leaves the old configuration in force."""

    error: str = ""


class Told(msgspec.Struct, frozen=True, tag=True):
    """Figures of a worker."""

    metrics: Snapshot
    running_calls: int
    failing: tuple[str, ...]
    ill: tuple[str, ...]
    settled_to: int
    """Position in the outbox of the worker's journal up to which it takes nothing back."""


class Show(msgspec.Struct, frozen=True, tag=True):
    """Question for the metrics of the whole gateway."""


ToWorker: TypeAlias = Start | State | Configure | Cover | Ask | Shown | Stop
FromWorker: TypeAlias = Hello | Ready | Failed | Applied | Told | Show


class Channel(Generic[M]):
    """One side of the socket; it takes messages of type `M`."""

    def __init__(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        decoder: msgspec.msgpack.Decoder[M],
    ) -> None:
        self._reader = reader
        self._writer = writer
        self._decoder = decoder

    def send(self, message: ToWorker | FromWorker) -> None:
        """Send `message`; it is lost if the other side is dead."""
        if self._writer.is_closing():
            return
        data = _encode(message)
        self._writer.write(len(data).to_bytes(_LENGTH_BYTES, "big") + data)

    async def take(self) -> M | None:
        """Return the next message; None when the other side is dead."""
        try:
            length = int.from_bytes(await self._reader.readexactly(_LENGTH_BYTES), "big")
            return self._decoder.decode(await self._reader.readexactly(length))
        except (asyncio.IncompleteReadError, ConnectionError):
            return None

    def close(self) -> None:
        """Close it."""
        self._writer.close()

    async def closed(self) -> None:
        """Close it once all that was sent is on its way."""
        self._writer.close()
        with suppress(ConnectionError):
            await self._writer.wait_closed()


async def to_worker(ours: socket.socket) -> Channel[FromWorker]:
    """Return the gateway's side of `ours`."""
    decoder: msgspec.msgpack.Decoder[FromWorker] = msgspec.msgpack.Decoder(FromWorker)
    return Channel(*await asyncio.open_unix_connection(sock=ours), decoder)


async def to_gateway(ours: socket.socket) -> Channel[ToWorker]:
    """Return a worker's side of `ours`."""
    decoder: msgspec.msgpack.Decoder[ToWorker] = msgspec.msgpack.Decoder(ToWorker)
    return Channel(*await asyncio.open_unix_connection(sock=ours), decoder)
