"""The network in memory: bytes come whole and in order, connections end in each way of real ones."""

from __future__ import annotations

import asyncio
import errno
from collections.abc import Coroutine
from typing import Any, TypeVar

import pytest

from inferworks.simulation.loop import SimLoop
from inferworks.simulation.network import Manners, Network, Socket
from inferworks.simulation.turns import Process, Turns

T = TypeVar("T")
HOST, PORT = "a-host", 80


class Side(asyncio.Protocol):
    """One side of a connection, which remembers all that it was told."""

    def __init__(self) -> None:
        self.came = bytearray()
        self.told: list[object] = []
        self.ended = asyncio.Event()
        self.stays_half_open = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        self.transport: Any = transport

    def data_received(self, data: bytes) -> None:
        """Keep the data."""
        self.came += data

    def eof_received(self) -> bool:
        """Remember the end of the other side."""
        self.told.append("eof")
        return self.stays_half_open

    def pause_writing(self) -> None:
        """Remember that the buffer is full."""
        self.told.append("full")

    def resume_writing(self) -> None:
        """Remember that there is room again."""
        self.told.append("room")

    def connection_lost(self, exc: Exception | None) -> None:
        """Remember the end."""
        self.told.append(exc)
        self.ended.set()


class Net:
    """A network with an event loop, and a server on `HOST`."""

    def __init__(self, turns: Turns, seed: int = 1) -> None:
        self.turns = turns
        self.network = Network(turns, seed)
        self.loop = SimLoop(turns, self.network)
        self.served: list[Side] = []

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Run `work` to its end, and close the loop."""
        try:
            return self.loop.run_until_complete(work)
        finally:
            self.loop.drop()

    def serve(self) -> Side:
        """Make the protocol of an accepted connection."""
        self.served.append(Side())
        return self.served[-1]

    async def connect(self, manners: Manners | None = None) -> tuple[Side, Side]:
        """Both sides of a new connection, the client's first."""
        if manners is not None:
            self.network.manners[HOST] = lambda: manners
        self.network.bind(HOST, PORT).accept(self.loop, self.serve)
        _, near = await self.loop.create_connection(Side, HOST, PORT)
        await asyncio.sleep(0.1)
        return near, self.served[-1]


@pytest.fixture
def net(turns: Turns) -> Net:
    """A network without any host."""
    return Net(turns)


def test_a_port_is_taken_by_one(turns: Turns) -> None:
    """A port is free again once it is closed, or its process is dead; port 0 takes a free one."""
    network = Network(turns, 1)
    taken = network.bind(HOST, PORT)
    with pytest.raises(OSError, match="Address already in use") as refused:
        network.bind(HOST, PORT)
    assert refused.value.errno == errno.EADDRINUSE
    assert network.bind("other", PORT).port == PORT
    assert network.bind(HOST, 0).port != network.bind(HOST, 0).port
    taken.close()
    process = Process("server")
    turns.join(turns.spawn("server", lambda: network.bind(HOST, PORT) and None, process))
    taken.close()  # closed before: the port is another's now
    assert (HOST, PORT) in network.listeners
    turns.kill(process)
    assert (HOST, PORT) not in network.listeners


@pytest.mark.parametrize("seed", range(5))
def test_bytes_come_whole_and_in_order(turns: Turns, seed: int) -> None:
    """Cuts and delays change nothing, either way, and a half-closed side still hears the other."""
    net = Net(turns, seed)
    sent = bytes(range(256)) * 300

    async def work() -> None:
        near, far = await net.connect(Manners(piece_bytes=(1, 9000), window_bytes=5000))
        far.stays_half_open = True
        near.transport.writelines([sent[:7], sent[7:]])
        near.transport.write_eof()
        near.transport.write(b"ignored: the end was sent")
        while "eof" not in far.told:
            await asyncio.sleep(0.1)
        assert far.came == sent
        far.transport.write(b"thank you")
        far.transport.close()
        await near.ended.wait()
        assert near.came == b"thank you"

    net.run(work())


def test_a_writer_is_told_when_nobody_reads(net: Net) -> None:
    """The kernel takes a window; the rest waits in the transport, and drains once it is read again."""
    size = 200_000

    async def work() -> None:
        near, far = await net.connect(Manners(window_bytes=1000))
        far.transport.pause_reading()
        assert not far.transport.is_reading()
        near.transport.write(bytes(size))
        await asyncio.sleep(10)
        assert (len(far.came), near.told) == (0, ["full"])
        assert near.transport.get_write_buffer_size() == size - 1000
        far.transport.resume_reading()
        await asyncio.sleep(60)
        assert (len(far.came), near.told) == (size, ["full", "room"])
        assert near.transport.get_write_buffer_size() == 0
        near.transport.abort()
        await near.ended.wait()

    net.run(work())


@pytest.mark.parametrize(
    ("connects", "number", "words"),
    [
        ("yes", errno.ECONNREFUSED, "Connect call failed"),
        ("refused", errno.ECONNREFUSED, "Connect call failed"),
        ("no descriptors", errno.EMFILE, "Too many open files"),
    ],
)
def test_a_connection_may_not_be_made(net: Net, connects: str, number: int, words: str) -> None:
    """Refused where nobody listens, or as the manners of the host say."""
    net.network.manners[HOST] = lambda: Manners(connects=connects)

    async def work() -> None:
        with pytest.raises(OSError, match=words) as refused:
            await net.loop.create_connection(Side, HOST, PORT)
        assert refused.value.errno == number

    net.run(work())


def test_a_host_may_never_answer(net: Net) -> None:
    """The caller's own time limit ends the wait."""
    net.network.manners[HOST] = lambda: Manners(connects="never")

    async def work() -> None:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(net.loop.create_connection(Side, HOST, PORT), 30)

    net.run(work())


def test_names_are_looked_up(net: Net) -> None:
    """A name has the address that it was given, or is its own; one without any is an OSError."""
    net.network.names["known"] = "10.0.0.1"
    net.network.manners["missing"] = lambda: Manners(connects="no name")

    async def work() -> None:
        assert [place[4] for place in await net.loop.getaddrinfo("known", 1)] == [("10.0.0.1", 1)]
        assert [place[4] for place in await net.loop.getaddrinfo(HOST, 2)] == [(HOST, 2)]
        with pytest.raises(OSError, match="Name or service not known"):
            await net.loop.getaddrinfo("missing", 1)

    net.run(work())


def test_an_answer_may_be_cut_off(net: Net) -> None:
    """After so many bytes both sides find the connection reset."""

    async def work() -> None:
        near, far = await net.connect(Manners(piece_bytes=(10, 10), cut_after=25))
        for _ in range(5):
            far.transport.write(b"0123456789")
        await near.ended.wait()
        await far.ended.wait()
        assert len(near.came) < 25
        assert isinstance(near.told[-1], ConnectionResetError)
        assert isinstance(far.told[-1], ConnectionResetError)

    net.run(work())


def test_the_manners_of_a_host_are_those_of_its_answers(net: Net) -> None:
    """A limit on the bytes of answers does not hold for the request."""

    async def work() -> None:
        near, far = await net.connect(Manners(cut_after=25))
        near.transport.write(bytes(1000))
        await asyncio.sleep(1)
        assert (len(far.came), far.told) == (1000, [])
        near.transport.abort()
        await near.ended.wait()

    net.run(work())


@pytest.mark.parametrize("silently", [True, False])
def test_a_dead_side_answers_with_a_reset_or_not_at_all(net: Net, silently: bool) -> None:
    """The kernel of a killed process resets; a machine without power says nothing, ever."""

    async def work() -> None:
        near, _ = await net.connect()
        far_end = near.transport.peer
        far_end.vanish(silently=silently)
        assert far_end not in net.network.ends
        near.transport.write(b"anybody?")
        await asyncio.sleep(60)
        assert [type(one) for one in near.told] == ([] if silently else [ConnectionResetError])
        near.transport.abort()

    net.run(work())


def test_a_connection_waits_until_somebody_accepts(net: Net) -> None:
    """A socket that is bound takes connections, and its server hears them later."""

    async def work() -> None:
        socket = Socket(net.network)
        assert socket.getsockname() == ("0.0.0.0", 0)
        socket.setsockopt(1, 2, 3)
        socket.bind((HOST, 0))
        socket.listen()
        _, port = socket.getsockname()
        _, near = await net.loop.create_connection(Side, HOST, port)
        near.transport.write(b"early")
        await asyncio.sleep(1)
        server = await net.loop.create_server(net.serve, sock=socket)
        assert server.is_serving()
        await asyncio.sleep(1)
        assert [bytes(one.came) for one in net.served] == [b"early"]
        server.close()
        await server.wait_closed()
        assert not server.is_serving()
        near.transport.abort()
        await near.ended.wait()
        socket.close()

    net.run(work())


def test_who_waits_at_a_port_that_closes_is_reset(net: Net) -> None:
    """Nobody accepts it any more."""

    async def work() -> None:
        listener = net.network.bind(HOST, PORT)
        _, near = await net.loop.create_connection(Side, HOST, PORT)
        listener.close()
        await near.ended.wait()
        assert isinstance(near.told[-1], ConnectionResetError)

    net.run(work())


def test_a_close_sends_what_was_written_first(net: Net) -> None:
    """Bytes that wait for the window leave before the end; later ones are ignored."""

    async def work() -> None:
        near, far = await net.connect(Manners(window_bytes=1000))
        near.transport.write(bytes(50_000))
        near.transport.close()
        assert near.transport.is_closing()
        near.transport.write(b"ignored")
        await near.ended.wait()
        await far.ended.wait()
        assert (len(far.came), near.told[-1]) == (50_000, None)
        assert net.network.ends == {}

    net.run(work())
