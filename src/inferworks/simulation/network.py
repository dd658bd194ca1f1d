"""A network in memory: names, ports, connections with latency, small windows, resets and silence.

Each end of a connection is a transport that calls the protocol that production uses, in pieces that the
seed chooses. Bytes first lie in the transport (`get_write_buffer_size`), then in the kernel, up to a limit
of unread ones, then with the other side. The data of a side that closes is read to its end; a dead process
answers with a reset; a machine without power does not answer at all.
"""

from __future__ import annotations

import asyncio
import errno
import socket
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from itertools import count
from random import Random
from typing import Any, Protocol

from inferworks.simulation.turns import Process, Turns

_HIGH_BYTES = 64 * 1024
"""Bytes in a transport above which its protocol is asked to pause, as asyncio does."""
_LOW_BYTES = 16 * 1024
_PIECES = 12
"""About so many pieces that are waiting are sent, even where they are small."""
_FIRST_FREE_PORT = 40_000

Factory = Callable[[], asyncio.BaseProtocol]


class Loop(Protocol):
    """The event loop of a connection, as far as that needs one."""

    process: Process

    def call_soon(self, callback: Callable[..., object], *args: Any) -> object:
        """Have `callback` called soon."""
        ...

    def call_soon_threadsafe(self, callback: Callable[..., object], *args: Any) -> object:
        """The same, from wherever."""
        ...

    def create_future(self) -> asyncio.Future[Any]:
        """A future of this loop."""
        ...


@dataclass
class Manners:
    """The behaviour of a connection to some host."""

    latency_ns: tuple[int, int] = (20_000, 2_000_000)
    """Least and greatest latency of a piece, in nanoseconds."""
    piece_bytes: tuple[int, int] = (1, 60_000)
    """Sizes of pieces."""
    window_bytes: int = 64 * 1024
    """Bytes that the kernel takes before the other side has read them."""
    connects: str = "yes"
    """`yes`, `refused`, `never`, `no name` or `no descriptors`."""
    cut_after: int | None = None
    """Bytes of answers after which the connection is reset."""


class Listener:
    """Port in use, with the acceptor of its connections."""

    def __init__(self, network: Network, host: str, port: int) -> None:
        self.network = network
        self.host = host
        self.port = port
        self.process = network.turns.process
        self.loop: Loop | None = None
        self.factory: Factory | None = None
        self.waiting: list[Callable[[], None]] = []
        """Connections that came before anybody accepted."""

    def accept(self, loop: Loop, factory: Factory) -> None:
        """Make a protocol for each connection from now on."""
        self.loop, self.factory = loop, factory
        for come in self.waiting:
            come()
        self.waiting.clear()

    def close(self) -> None:
        """Let the port go; connections that nobody has accepted are reset."""
        if self.network.listeners.get((self.host, self.port)) is self:
            del self.network.listeners[self.host, self.port]
        self.loop = self.factory = None
        for come in self.waiting:
            come()
        self.waiting.clear()


class Network:
    """All hosts and connections."""

    def __init__(self, turns: Turns, seed: int) -> None:
        self.turns = turns
        self.random = Random(f"network {seed}")  # noqa: S311 reproducible, no secret
        self.listeners: dict[tuple[str, int], Listener] = {}
        self.ends: dict[End, None] = {}
        """Every end that is open."""
        self.manners: dict[str, Callable[[], Manners]] = {}
        """Manners of the next connection by host; other hosts behave by the defaults of `Manners`."""
        self.names: dict[str, str] = {}
        """Addresses of names."""
        self._ports = count(_FIRST_FREE_PORT)
        self.numbers = count(1)

    def bind(self, host: str, port: int) -> Listener:
        """Take a port; OSError when it is taken."""
        port = port or next(self._ports)
        if (host, port) in self.listeners:
            raise OSError(errno.EADDRINUSE, "Address already in use")
        listener = self.listeners[host, port] = Listener(self, host, port)
        self.turns.process.at_death.append(listener.close)
        return listener

    def manners_of(self, host: str) -> Manners:
        """The behaviour of the next connection to `host`."""
        chosen = self.manners.get(host)
        return chosen() if chosen else Manners()

    async def connect(
        self, loop: Loop, factory: Factory, host: str, port: int
    ) -> tuple[End, asyncio.BaseProtocol]:
        """Connect to `host`; OSError when no process accepts."""
        manners = self.manners_of(host)
        if manners.connects == "no descriptors":
            raise OSError(errno.EMFILE, "Too many open files")
        await asyncio.sleep(self.random.randint(*manners.latency_ns) / 1e9)
        if manners.connects == "never":
            await loop.create_future()
        listener = self.listeners.get((host, port))
        if listener is None or manners.connects == "refused":
            raise OSError(errno.ECONNREFUSED, f"Connect call failed ({host!r}, {port})")
        near, far = End(self, loop, manners), End(self, listener.loop, manners)
        near.peer, far.peer = far, near
        near.cut_after = None
        far.cut_after = manners.cut_after
        far.process = listener.process

        def come() -> None:
            if listener.loop is None or listener.factory is None:
                near.reset()
                return
            far.loop = listener.loop
            far.begin(listener.factory)

        if listener.loop is None:
            listener.waiting.append(come)
        else:
            come()
        near.begin(factory)
        made = loop.create_future()
        loop.call_soon(made.set_result, None)  # after connection_made
        await made
        return near, near.get_protocol()


class End(asyncio.Transport):
    """One end of a connection."""

    def __init__(self, network: Network, loop: Loop | None, manners: Manners) -> None:
        super().__init__()
        self.network = network
        self.number = next(network.numbers)
        self.loop = loop
        self.process: Process = loop.process if loop else network.turns.process
        self.peer: End | None = None
        self.cut_after: int | None = None
        """Bytes after which this end breaks the connection."""
        self._manners = manners
        self._protocol: Any = None
        self._unsent = bytearray()
        """Bytes in the transport."""
        self._under_way = 0
        """Bytes in the kernel, until the other side has read them."""
        self._arrives_ns = 0
        """Arrival of the last piece: none overtakes another."""
        self._inbox: deque[bytes] = deque()
        self._ended = False
        """True if the other side will send no more, after what is in the inbox."""
        self._reads = True
        self._full = False
        self._half_closed = False
        self._closing = False
        self._lost = False
        self._silent = False
        """True if its machine has lost its power, so that nothing answers."""
        network.ends[self] = None

    def __hash__(self) -> int:
        return self.number

    def __eq__(self, other: object) -> bool:
        return self is other

    def begin(self, factory: Factory) -> None:
        """Have its own event loop make its protocol, and tell it."""
        self._soon(self._made, factory)

    # --- what protocols call

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Send `data` after the earlier writes."""
        if self._closing or self._half_closed or self._lost:
            return
        self.network.turns.check()
        self._unsent += data
        self._push()
        if len(self._unsent) > _HIGH_BYTES and not self._full:
            self._full = True
            self._protocol.pause_writing()

    def writelines(self, list_of_data: Any) -> None:
        """Send all of it."""
        self.write(b"".join(list_of_data))

    def get_write_buffer_size(self) -> int:
        """Bytes that the kernel has not taken."""
        return len(self._unsent)

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """Do nothing: the limits are asyncio's own."""

    def can_write_eof(self) -> bool:
        """Return True."""
        return True

    def write_eof(self) -> None:
        """End the sending side after the earlier writes."""
        if not self._half_closed:
            self._half_closed = True
            self._push()

    def pause_reading(self) -> None:
        """Leave incoming bytes in the kernel."""
        self._reads = False

    def resume_reading(self) -> None:
        """Take incoming bytes."""
        if not self._reads:
            self._reads = True
            self._soon(self._read)

    def is_reading(self) -> bool:
        """True while incoming bytes are taken."""
        return self._reads

    def is_closing(self) -> bool:
        """True once it was closed, by whomever."""
        return self._closing

    def close(self) -> None:
        """Close once all is sent."""
        if not self._closing:
            self._closing = True
            self._reads = False
            if not self._unsent:
                self._soon(self._lose, None)

    def abort(self) -> None:
        """Close at once."""
        self._closing = True
        self._unsent.clear()
        if not self._lost:
            self._soon(self._lose, None)

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """The peer's address."""
        return ("127.0.0.1", self.number) if name in {"peername", "sockname"} else default

    def get_protocol(self) -> asyncio.BaseProtocol:
        """Return its protocol."""
        protocol: asyncio.BaseProtocol = self._protocol
        return protocol

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        """Go on with another protocol."""
        self._protocol = protocol

    # --- what the network does

    def reset(self) -> None:
        """The other side has broken the connection, or is gone."""
        if not self._lost and not self.process.dead:
            self._unsent.clear()
            self._inbox.clear()
            self._closing = True
            error = ConnectionResetError(errno.ECONNRESET, "Connection reset by peer")
            self._soon(
                self._soon, self._lose, error
            )  # a turn later than the last data, as asyncio does

    def vanish(self, *, silently: bool) -> None:
        """End the connection as its process dies, or, silently, as its machine does."""
        self._lost = self._closing = True
        self._silent = silently
        self._protocol = self.loop = None
        self._unsent.clear()
        self._inbox.clear()
        self.network.ends.pop(self, None)
        if not silently:
            self._later(lambda peer: peer.reset())

    def _made(self, factory: Factory) -> None:
        self._protocol = factory()
        self._protocol.connection_made(self)
        self._read()

    def _soon(self, act: Callable[..., None], *args: object) -> None:
        if self.loop is not None:
            self.loop.call_soon_threadsafe(act, *args)

    def _later(self, act: Callable[[End], None]) -> None:
        """Schedule `act` at the other end, after the bytes under way."""
        turns, peer = self.network.turns, self.peer
        if peer is None:
            return
        latency_ns = self.network.random.randint(*self._manners.latency_ns)
        self._arrives_ns = max(self._arrives_ns + 1, turns.now_ns + latency_ns)
        turns.after(self._arrives_ns - turns.now_ns, lambda: act(peer))

    def _push(self) -> None:
        """Hand as many bytes to the kernel as it takes."""
        manners, random = self._manners, self.network.random
        while self._unsent and self._under_way < manners.window_bytes:
            room = manners.window_bytes - self._under_way
            least = len(self._unsent) // _PIECES  # or large bodies take all the time
            size = min(room, len(self._unsent), max(least, random.randint(*manners.piece_bytes)))
            piece = bytes(self._unsent[:size])
            del self._unsent[:size]
            if self.cut_after is not None:
                self.cut_after -= size
                if self.cut_after <= 0:
                    self._later(lambda peer: peer.reset())
                    self.reset()
                    return
            self._under_way += size
            self._later(lambda peer, piece=piece: peer._arrived(piece))  # type: ignore[misc]  # noqa: SLF001
        if self._full and len(self._unsent) <= _LOW_BYTES and not self._lost:
            self._full = False
            self._soon(self._resume)
        if not self._unsent:
            if self._closing:
                self._soon(self._lose, None)
            elif self._half_closed:
                self._later(lambda peer: peer._finished())  # noqa: SLF001

    def _resume(self) -> None:
        if not self._full and not self._lost:
            self._protocol.resume_writing()

    def _arrived(self, piece: bytes) -> None:
        if self._lost:
            if not self._silent:
                self._later(lambda peer: peer.reset())
            return
        self._inbox.append(piece)
        self._soon(self._read)

    def _finished(self) -> None:
        if not self._lost:
            self._ended = True
            self._soon(self._read)

    def _read(self) -> None:
        """Give incoming bytes to the protocol."""
        peer = self.peer
        if self._protocol is None:
            return
        while self._inbox and self._reads and not self._closing:
            several = self.network.random.random() < 0.5
            data = b"".join(self._inbox) if several else self._inbox.popleft()
            if several:
                self._inbox.clear()
            if peer is not None:
                peer._taken(len(data))  # noqa: SLF001
            self._protocol.data_received(data)
        if self._ended and not self._inbox and self._reads and not self._closing:
            self._ended = False
            if not self._protocol.eof_received():
                self.close()

    def _taken(self, size: int) -> None:
        """The other side has read so much."""
        self._under_way -= size
        if self._unsent:
            self._soon(self._push)

    def _lose(self, error: Exception | None) -> None:
        if self._lost:
            return
        self._lost = True
        self.network.ends.pop(self, None)
        unread = bool(self._inbox)
        if error is None:
            rude = unread or self.network.random.random() < 0.1
            self._later((lambda peer: peer.reset()) if rude else (lambda peer: peer._finished()))  # noqa: SLF001
        protocol, self._protocol = self._protocol, None
        if protocol is not None:
            protocol.connection_lost(error)


class Socket:
    """Simulation of `socket.socket`, as far as production needs it: it holds a port until it listens."""

    network: Network

    def __init__(self, network: Network, family: int = socket.AF_INET, *_: object) -> None:
        self.network = network
        self.family = family
        self.type = socket.SOCK_STREAM
        self._listener: Listener | None = None

    def setsockopt(self, *_: object) -> None:
        """Do nothing: options have no effect here."""

    def bind(self, address: tuple[str, int]) -> None:
        """Take a port."""
        self._listener = self.network.bind(*address[:2])

    def listen(self, _backlog: int = 0) -> None:
        """Let clients that connect from now on wait to be accepted."""

    def getsockname(self) -> tuple[str, int]:
        """The port it has."""
        listener = self._listener
        return ("0.0.0.0", 0) if listener is None else (listener.host, listener.port)  # noqa: S104

    def close(self) -> None:
        """Let the port go."""
        if self._listener is not None:
            self._listener.close()

    @property
    def listener(self) -> Listener:
        """The port it has taken."""
        assert self._listener is not None, "a socket is bound before it is listened on"
        return self._listener
