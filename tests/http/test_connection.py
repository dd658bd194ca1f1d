"""Memory of connections: none when they have ended, and little while they are open.

Python's search for cycles is off in all of these, since a gateway runs it seldom: what ends must be let go
of by whoever held it last.
"""

from __future__ import annotations

import asyncio
import gc
import socket
import tracemalloc
import weakref
from collections.abc import Iterator
from contextlib import suppress

import pytest

from inferworks.errors import UpstreamError
from inferworks.http.client import HttpClient, Origin, Timeouts
from inferworks.http.connection import Connection
from inferworks.http.server import Admission, Exchange, Limits, Refused
from inferworks.http.upstream import UpstreamConnection

pytestmark = [
    pytest.mark.slow,
    pytest.mark.may_stall("the watch over event loops takes memory, too"),
]
MB = 1024 * 1024
GET = b"GET / HTTP/1.1\r\nhost: x\r\n\r\n"
POST = b"POST / HTTP/1.1\r\nhost: x\r\n"
LARGE = POST + b"content-length: %d\r\n\r\n%b" % (MB, bytes(MB))
CHUNKED = POST + b"transfer-encoding: chunked\r\n\r\n" + b"5\r\nhello\r\n" * 20_000
OFFER = POST + b"connection: upgrade\r\nupgrade: h2c\r\ncontent-length: 5\r\n\r\nhello"


@pytest.fixture(autouse=True)
def no_collection() -> Iterator[None]:
    """Look for no cycles while a test runs."""
    gc.collect()
    gc.disable()
    yield
    gc.enable()


@pytest.fixture
def alive(monkeypatch: pytest.MonkeyPatch) -> list[weakref.ref[object]]:
    """Weak references to the connections made, of either end, to be seen when they are gone."""
    seen: list[weakref.ref[object]] = []
    for kind in (Connection, UpstreamConnection):
        make = kind.__init__

        def noted(self, *args, make=make):
            make(self, *args)
            seen.append(weakref.ref(self))
            if isinstance(self, Connection):
                seen.append(weakref.ref(self._reader))

        monkeypatch.setattr(kind, "__init__", noted)
    return seen


async def all_gone(kit, alive: list[weakref.ref[object]]) -> None:
    """Wait until nothing is left of any connection; there must have been one."""
    assert alive
    await kit.until(lambda: all(one() is None for one in alive))


async def handle(exchange: Exchange) -> None:
    """Answers, in the way that the path asks for."""
    match exchange.path:
        case "/fails":
            raise RuntimeError("as it was asked to")
        case "/waits":
            await exchange.start(200, [])
            await exchange.send(b"x")
            await asyncio.Event().wait()
        case "/large":
            await exchange.respond(200, bytes(8 * MB))
        case _:
            await exchange.respond(200, b"%d" % len(exchange.body))


SENT = {
    "nothing": b"",
    "half a head": GET[:-5],
    "a head of many fields": GET[:-2] + b"".join(b"x-%d: a\r\n" % n for n in range(100)),
    "half a body": LARGE[: -MB // 2],
    "half a chunked body": CHUNKED,
    "one request": GET,
    "the same again and again": GET * 50,
    "a body": LARGE,
    "bodies behind each other": LARGE * 3,
    "a request and half of another": GET + LARGE[: -MB // 2],
    "no HTTP": b"\x16\x03\x01\x02",
    "two hosts": GET[:-2] + b"host: y\r\n\r\n",
    "a body that is too large": POST + b"content-length: 99999999\r\n\r\n" + bytes(MB),
    "chunks that are too many": CHUNKED * 3,
    "an offer": OFFER,
    "offers": OFFER * 30,
    "CONNECT": b"CONNECT * HTTP/1.1\r\nhost: x\r\n\r\n",
    "a body that is not admitted": LARGE.replace(b"POST /", b"POST /no"),
    "a body that is asked about": POST + b"expect: 100-continue\r\ncontent-length: 5\r\n\r\n",
    "one that fails": GET.replace(b"/", b"/fails", 1),
    "one that is left": GET.replace(b"/", b"/waits", 1),
    "one that is left with more behind it": GET.replace(b"/", b"/waits", 1) + GET * 9,
    "an answer that is not read": GET.replace(b"/", b"/large", 1),
}


def admit(head):
    """Takes all bodies but those for /no."""
    return Refused(401, b"text/plain", b"no") if head.path == "/no" else Admission(owner="k")


@pytest.mark.parametrize("who_ends", ["client", "reset", "server", "time"])
def test_nothing_outlives_a_connection(kit, alive, who_ends: str) -> None:
    """Nothing held for a client outlives its connection, however far it came and whoever ended it."""

    async def main() -> None:
        soon = 0.05 if who_ends == "time" else 30.0
        limits = Limits(2 * MB - 1, request_timeout_s=soon, keep_alive_s=soon, write_timeout_s=soon)
        made: dict[str, list[weakref.ref[object]]] = {}
        async with kit.serving(handle, limits, admit=admit, drain_s=0.0) as world:
            writers = []
            for what, sent in SENT.items():
                before = len(alive)
                _, writer = await world.open()
                await kit.until(lambda before=before: len(alive) > before + 1)
                made[what] = alive[before:]
                writer.write(sent)
                writers.append(writer)
            await asyncio.sleep(0.02)
            for sent, writer in zip(SENT.values(), writers, strict=True):
                if who_ends == "reset" or (who_ends == "time" and b"/waits" in sent):
                    writer.transport.abort()  # a handler may take its time
                elif who_ends == "client":
                    await kit.shut(writer)
            if who_ends == "server":
                await world.server.stop(0.0)
            await world.alone()
            world.errors.clear()

            def left() -> list[str]:
                return [what for what, refs in made.items() if any(one() for one in refs)]

            with suppress(TimeoutError):
                await kit.until(lambda: not left())
            assert left() == []
            for writer in writers:
                await kit.shut(writer)

    kit.run(main())


def test_nothing_outlives_connections_that_were_too_many(kit, alive) -> None:
    """Connections that gave way, and those refused with or without a word, are let go of."""

    async def main() -> None:
        async with kit.serving(handle, Limits(connections=2), drain_s=0.0) as world:
            busy = [await world.open() for _ in range(2)]
            for _, writer in busy:
                writer.write(GET.replace(b"/", b"/waits", 1))
            await kit.until(lambda: len(world.server.running) == 2)
            crowd = [await world.open() for _ in range(40)]
            for _, writer in [*busy, *crowd]:
                await kit.shut(writer)
            await world.alone()
            del writer
            busy.clear()
            crowd.clear()
            await all_gone(kit, alive)

    kit.run(main())


ANSWERS = {
    "whole": b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhi",
    "until close": b"HTTP/1.1 200 OK\r\n\r\nhi",
    "half a head": b"HTTP/1.1 200",
    "half a body": b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhi",
    "no HTTP": b"SSH-2.0\r\n",
    "two of them": b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhi" * 2,
    "too large": b"HTTP/1.1 200 OK\r\ncontent-length: 5000\r\n\r\n" + bytes(5000),
    "nothing": b"",
    "silence": None,
}


@pytest.mark.parametrize("answer", ANSWERS.values(), ids=ANSWERS)
def test_nothing_outlives_a_connection_to_an_upstream(kit, alive, answer: bytes | None) -> None:
    """A connection to an upstream is let go of when it has ended, whatever the upstream answers."""

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        if answer is None:
            await reader.read()
        else:
            writer.write(answer)

    async def main() -> None:
        async with kit.upstream(script) as (_, origin):
            client = HttpClient(Timeouts(first_byte_s=0.05))
            for _ in range(3):
                with suppress(UpstreamError):
                    await fetch(client, origin)
            client.close()
            await all_gone(kit, alive)

    kit.run(main())


async def fetch(client: HttpClient, origin: Origin) -> bytes:
    """The answer to a request."""
    async with client.stream("GET", origin, "/x") as response:
        return await response.read(0.05, 1000)


def test_nothing_outlives_a_connection_that_never_was(kit, alive) -> None:
    """A connection that is refused, or not made in time, is let go of with its failure."""

    async def main() -> None:
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))  # nobody listens
            origin = Origin("127.0.0.1", taken.getsockname()[1], tls=False, base_path="")
            for timeouts in (Timeouts(), Timeouts(connect_s=1e-6)):
                client = HttpClient(timeouts)
                with pytest.raises(UpstreamError):
                    async with client.stream("GET", origin, "/"):
                        raise AssertionError
                client.close()
        await all_gone(kit, alive)

    kit.run(main())


def test_a_connection_that_is_given_up_while_its_answer_is_awaited(kit, alive) -> None:
    """Cancelling who waits for an answer lets go of the connection too."""

    async def main() -> None:
        async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.read()

        async def ask() -> None:
            async with client.stream("GET", origin, "/"):
                raise AssertionError

        async with kit.upstream(script) as (client, origin):
            asking = asyncio.ensure_future(ask())
            await kit.until(lambda: bool(alive))
            await asyncio.sleep(0.01)
            asking.cancel()
            await asyncio.wait({asking})
            del asking
            await all_gone(kit, alive)

    kit.run(main())


@pytest.fixture
def traced() -> Iterator[None]:
    """Count what Python allocates."""
    tracemalloc.start()
    yield
    tracemalloc.stop()


def test_bytes_of_an_idle_connection(kit, traced: None) -> None:
    """An idle connection holds a few kilobytes, whatever it was used for."""
    count = 50

    async def main() -> None:
        async with kit.serving(handle) as world:

            async def idle(sent: bytes) -> float:
                """Bytes that each of `count` connections holds when what was sent is answered."""
                before = tracemalloc.get_traced_memory()[0]
                socks = []
                for _ in range(count):
                    sock = socket.create_connection(("127.0.0.1", world.port))
                    sock.setblocking(False)
                    await asyncio.get_running_loop().sock_sendall(sock, sent)
                    if sent:
                        await asyncio.get_running_loop().sock_recv(sock, 4096)
                    socks.append(sock)
                await kit.until(lambda: len(world.server.connections) == count)
                await asyncio.sleep(0.01)
                held = (tracemalloc.get_traced_memory()[0] - before) / count
                for sock in socks:
                    sock.close()
                await world.alone()
                return held

            await idle(GET)  # what is made once is made
            assert await idle(b"") < 8 * 1024
            assert await idle(GET) < 12 * 1024
            assert await idle(LARGE) < 12 * 1024

    kit.run(main())


@pytest.mark.parametrize("framing", ["length", "chunks", "tiny chunks"])
def test_bytes_held_for_a_byte_of_body(kit, traced: None, framing: str) -> None:
    """While a body comes, and when it is handed on, little more than its own size is held."""
    size = 50_000 if framing == "tiny chunks" else 8 * MB
    body = {
        "length": b"content-length: %d\r\n\r\n" % size + bytes(size),
        "chunks": b"transfer-encoding: chunked\r\n\r\n"
        + (b"10000\r\n" + bytes(0x10000) + b"\r\n") * (size // 0x10000)
        + b"0\r\n\r\n",
        "tiny chunks": b"transfer-encoding: chunked\r\n\r\n" + b"1\r\nx\r\n" * size + b"0\r\n\r\n",
    }[framing]
    most = 0

    async def note(exchange: Exchange) -> None:
        nonlocal most
        most = tracemalloc.get_traced_memory()[1]
        assert len(exchange.body) == size
        await exchange.respond(200, b"")

    async def main() -> None:
        async with kit.serving(note) as world:
            request = POST + body
            sock = socket.create_connection(("127.0.0.1", world.port))
            sock.setblocking(False)
            await kit.until(lambda: bool(world.server.connections))
            tracemalloc.reset_peak()
            before = tracemalloc.get_traced_memory()[0]
            loop = asyncio.get_running_loop()
            await loop.sock_sendall(sock, request)
            await loop.sock_recv(sock, 4096)
            assert most - before < 1.3 * size + MB
            await asyncio.sleep(0.01)
            assert tracemalloc.get_traced_memory()[0] - before < 64 * 1024, "dropped when handed on"
            sock.close()

    kit.run(main())


def test_an_answer_that_is_not_read_is_held_once(kit, traced: None) -> None:
    """A client's slowness costs no copy of its answer, however large that is."""
    size = 16 * MB

    async def large(exchange: Exchange) -> None:
        await exchange.respond(200, bytes(size))

    async def main() -> None:
        async with kit.serving(large, drain_s=0.0) as world:
            before = tracemalloc.get_traced_memory()[0]
            tracemalloc.reset_peak()
            _, writer = await world.open()
            writer.transport.pause_reading()
            writer.write(GET)
            await kit.until(lambda: any(c._writable for c in world.server.connections))
            assert tracemalloc.get_traced_memory()[1] - before < 1.1 * size + MB
            assert world.server.budget.held_bytes == size
            writer.transport.abort()
            await world.alone()
            assert world.server.budget.held_bytes == 0

    kit.run(main())
