"""The client against upstreams that behave, and against those that do not."""

from __future__ import annotations

import asyncio
import gc
import os
import random
import resource
import socket
import struct
from contextlib import contextmanager, suppress

import pytest

from inferworks.errors import ConfigError, UpstreamError
from inferworks.http.client import HttpClient, Origin, Timeouts
from inferworks.http.server import Exchange

LOOK_UPS = 8
"""More than can run at once."""
OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhi"


def answering(*answers: bytes):
    """A script that gives one of `answers` to each request of a connection, then closes."""

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for answer in answers:
            try:
                await reader.readuntil(b"\r\n\r\n")
            except asyncio.IncompleteReadError:
                return
            writer.write(answer)
            await writer.drain()

    return script


async def fetch(client: HttpClient, origin: Origin, limit_bytes: int = 1000) -> tuple[int, bytes]:
    """Status and body of a GET."""
    async with client.stream("GET", origin, "/x") as response:
        return response.status, await response.read(2.0, limit_bytes)


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


WHOLE = {
    "length": OK,
    "chunked": b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1\r\nh\r\n1\r\ni\r\n0\r\n\r\n",
    "until close": b"HTTP/1.1 200 OK\r\n\r\nhi",
    "HTTP/1.0": b"HTTP/1.0 200 OK\r\n\r\nhi",
    "after 100": b"HTTP/1.1 100 Continue\r\n\r\n" + OK,
    "after 103": b"HTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\n" + OK,
    "trailers": b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\na: b\r\n\r\n",
    "more than asked for": OK + b"rubbish",
    "second answer": OK + b"HTTP/1.1 500 No\r\ncontent-length: 2\r\n\r\nno",
}


@pytest.mark.parametrize("answer", WHOLE.values(), ids=WHOLE)
def test_whole_answers(kit, answer):
    """Every way HTTP/1.1 delimits a body gives the same answer, and no more than the answer."""

    async def main():
        async with (
            kit.upstream(answering(answer)) as (client, origin),
            client.stream("GET", origin, "/x") as response,
        ):
            assert response.status == 200
            assert await response.read(2.0, 1000) == b"hi"
            assert not {b"link", b"a"} & response.headers.keys()

    kit.run(main())


@pytest.mark.parametrize("answer", WHOLE.values(), ids=WHOLE)
def test_answers_split_at_every_offset(kit, answer):
    """An answer reads the same wherever the network cuts it."""

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        at = next(offsets)
        writer.write(answer[:at])
        await asyncio.sleep(0)
        writer.write(answer[at:])

    offsets = iter(range(1, len(answer)))

    async def main():
        async with kit.upstream(script) as (client, origin):
            for _ in range(1, len(answer)):
                assert await fetch(client, origin) == (200, b"hi")
                client._pool.idle.clear()

    kit.run(main())


@pytest.mark.parametrize("status", [204, 304])
def test_answers_without_a_body_keep_the_connection(kit, status):
    """204 and 304 have no body, whatever their headers say, and the connection goes on."""

    async def main():
        empty = b"HTTP/1.1 %d Empty\r\n\r\n" % status
        async with kit.upstream(answering(empty, OK)) as (client, origin):
            assert await fetch(client, origin) == (status, b"")
            assert await fetch(client, origin) == (200, b"hi")

    kit.run(main())


BROKEN = {
    "nothing": b"",
    "half a head": b"HTTP/1.1 200 OK\r\ncont",
    "half a body": b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nhi",
    "no last chunk": b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nhi\r\n",
    "garbage": b"SSH-2.0-OpenSSH_9.2\r\n",
    "garbage in chunks": b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nhello\r\n",
    "two lengths": b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\ncontent-length: 2\r\n\r\nhi",
    "length and chunked": (
        b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\ntransfer-encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n"
    ),
    "another protocol": b"HTTP/1.1 101 Go\r\nconnection: upgrade\r\nupgrade: x\r\n\r\n" + OK,
    "endless head": b"HTTP/1.1 200 OK\r\na: " + b"x" * 600_000,
    "only 100": b"HTTP/1.1 100 Continue\r\n\r\n",
}


@pytest.mark.parametrize("answer", BROKEN.values(), ids=BROKEN)
def test_broken_answers(kit, answer):
    """An answer that is not whole is an UpstreamError that may have cost, and its connection is gone."""

    async def main():
        async with kit.upstream(answering(answer)) as (client, origin):
            with pytest.raises(UpstreamError) as caught:
                await fetch(client, origin)
            assert caught.value.sent
            assert not any(client._pool.idle.values())

    kit.run(main())


def test_answer_without_length_that_is_reset_is_not_whole(kit):
    """A body that ends with the connection is whole only when the connection was closed in order."""

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\n\r\nhal")
        await sent.wait()
        writer.transport.abort()  # with bytes unread, so that the other end sees a reset

    sent = asyncio.Event()

    async def main():
        async with (
            kit.upstream(script) as (client, origin),
            client.stream("POST", origin, "/x", body=bytes(4_000_000)) as response,
        ):
            assert await response.next_piece(2.0) == b"hal"
            sent.set()
            with pytest.raises(UpstreamError, match="closed the connection mid-answer"):
                await response.next_piece(2.0)

    kit.run(main())


async def _silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read()


async def _stalls(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.readuntil(b"\r\n\r\n")
    writer.write(b"HTTP/1.1 200 OK\r\n\r\nhal")
    await reader.read()


def test_silence_before_the_head(kit):
    """An upstream that never answers is given up after `first_byte_s`."""

    async def main():
        async with kit.upstream(_silent) as (_, origin):
            client = HttpClient(Timeouts(first_byte_s=0.05))
            with pytest.raises(UpstreamError, match=r"sent no data for 0\.05 s") as caught:
                await fetch(client, origin)
            assert caught.value.sent

    kit.run(main())


def test_silence_in_a_body_without_length(kit):
    """A body that stalls is an error, also where an end of the connection would be its end."""

    async def main():
        async with kit.upstream(_stalls) as (client, origin):
            with pytest.raises(UpstreamError, match=r"sent no data for 0\.05 s"):
                async with client.stream("GET", origin, "/x") as response:
                    await response.read(0.05, 1000)

    kit.run(main())


def test_upstream_that_reads_nothing(kit):
    """A large request that the upstream does not read is given up too."""

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.transport.pause_reading()
        await done.wait()

    done = asyncio.Event()

    async def main():
        async with kit.upstream(script) as (_, origin):
            client = HttpClient(Timeouts(first_byte_s=0.1))
            with pytest.raises(UpstreamError, match="sent no data"):
                async with client.stream("POST", origin, "/x", body=bytes(20_000_000)):
                    raise AssertionError
            done.set()

    kit.run(main())


def test_early_answer_to_a_large_request(kit):
    """An upstream may answer before it has read the request; that connection is not used again."""

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.transport.pause_reading()
        writer.write(OK)
        await done.wait()

    done = asyncio.Event()

    async def main():
        async with kit.upstream(script) as (client, origin):
            async with client.stream("POST", origin, "/x", body=bytes(20_000_000)) as response:
                assert await response.read(2.0, 100) == b"hi"
            assert not any(client._pool.idle.values())
            done.set()

    kit.run(main())


def test_no_connection(kit):
    """A refused connection and an unknown name are errors after which a retry is safe."""

    async def main():
        client = HttpClient()
        label = "x" * 70
        for address in (
            f"http://127.0.0.1:{free_port()}",
            "http://no-such-host.invalid",
            f"http://{label}.invalid",
            "http://a..invalid",
            f"https://127.0.0.1:{free_port()}",
        ):
            with pytest.raises(UpstreamError, match="could not connect to") as caught:
                await fetch(client, Origin.parse(address))
            assert not caught.value.sent
        client.close()

    kit.run(main())


def test_connecting_takes_too_long(kit):
    """A connection that does not come about is given up after `connect_s`."""

    async def main():
        # A full backlog leaves further connections waiting.
        with socket.socket() as full:
            full.bind(("127.0.0.1", 0))
            full.listen(0)
            port = full.getsockname()[1]
            crowd = [socket.socket() for _ in range(3)]
            for sock in crowd:
                sock.setblocking(False)
                sock.connect_ex(("127.0.0.1", port))
            client = HttpClient(Timeouts(connect_s=0.1))
            with pytest.raises(UpstreamError, match=r"in 0\.1 s") as caught:
                await fetch(client, Origin.parse(f"http://127.0.0.1:{port}"))
            assert not caught.value.sent
            for sock in crowd:
                sock.close()

    kit.run(main())


@pytest.mark.slow
def test_a_name_that_is_looked_up_for_too_long(kit):
    """A look-up that fails after it was given up is nobody's news any more."""

    async def main():
        loop = asyncio.get_running_loop()
        complaints: list[str] = []
        loop.set_exception_handler(lambda _, context: complaints.append(context["message"]))
        client = HttpClient(Timeouts(connect_s=1e-6))
        with pytest.raises(UpstreamError, match=r"no-such-host\.invalid within") as caught:
            await fetch(client, Origin.parse("http://no-such-host.invalid"))
        assert not caught.value.sent
        del caught
        for _ in range(LOOK_UPS):  # one after the other, so that the one given up is over too
            with pytest.raises(socket.gaierror):
                await loop.getaddrinfo("no-such-host.invalid", 80)
        gc.collect()
        assert not complaints
        client.close()

    kit.run(main())


def test_a_name_with_several_addresses(kit, monkeypatch):
    """The next address of a name is tried where one fails; the reasons of all are told once."""

    async def two(_: Origin) -> list[str]:
        return ["127.0.0.2", "127.0.0.1"]

    async def none(_: Origin) -> list[str]:
        return []

    async def main():
        async with kit.upstream(answering(OK)) as (client, origin):  # it listens on the second
            monkeypatch.setattr("inferworks.http.client._addresses", two)
            assert await fetch(client, origin) == (200, b"hi")
        nobody = Origin("two.invalid", free_port(), tls=False, base_path="")
        with pytest.raises(UpstreamError, match=r"^[^;]*refused$"):
            await fetch(client, nobody)
        monkeypatch.setattr("inferworks.http.client._addresses", none)
        with pytest.raises(UpstreamError, match="its host name has no address"):
            await fetch(client, nobody)

    kit.run(main())


def test_tls_with_one_who_does_not_speak_it(kit):
    """A failed handshake is an error after which a retry is safe."""

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 400 This is plain HTTP\r\n\r\n")
        await reader.read()

    async def main():
        async with kit.upstream(script) as (client, origin):
            with pytest.raises(UpstreamError, match="could not connect to") as caught:
                await fetch(client, Origin(origin.host, origin.port, tls=True, base_path=""))
            assert not caught.value.sent

    kit.run(main())


def test_answer_larger_than_allowed(kit):
    """A whole answer is read up to its limit only."""

    async def main():
        async with kit.upstream(answering(OK)) as (client, origin):
            with pytest.raises(UpstreamError, match="larger than 1 bytes"):
                await fetch(client, origin, limit_bytes=1)

    kit.run(main())


def test_request_as_sent(kit):
    """The request has the base path, host, length and headers it was given, in one piece."""

    async def main():
        asked = []

        async def note(exchange: Exchange):
            asked.append((exchange.method, exchange.path, exchange.query, exchange.body))
            asked.append(exchange.headers)
            await exchange.respond(200, b"")

        async with kit.serving(note) as world:
            client = HttpClient()
            origin = Origin.parse(f"http://127.0.0.1:{world.port}/v1/")
            headers = [(b"content-type", b"application/json"), (b"x", b"")]
            async with client.stream("POST", origin, "/chat?a=b", headers, b"{}") as response:
                assert await response.read(2.0, 10) == b""
            client.close()
        assert asked[0] == ("POST", "/v1/chat", "a=b", b"{}")
        assert asked[1] == {
            b"host": b"127.0.0.1:%d" % world.port,
            b"content-length": b"2",
            b"content-type": b"application/json",
            b"x": b"",
            b"accept-encoding": b"identity",
        }

    kit.run(main())


@pytest.mark.parametrize("value", [b"key\n", b"a\r\nhost: b", b"a\0"])
def test_header_with_a_line_break_is_not_sent(kit, value):
    """A key with a line break is refused before a connection is made, and not shown."""

    async def main():
        origin = Origin.parse(f"http://127.0.0.1:{free_port()}")
        with pytest.raises(UpstreamError, match=r"request headers \['x-api-key'\]") as caught:
            async with HttpClient().stream("GET", origin, "/", [(b"x-api-key", value)]):
                raise AssertionError
        assert not caught.value.sent
        assert value.decode() not in str(caught.value)

    kit.run(main())


@pytest.mark.parametrize("path", ["/a b", "/a\r\nhost: b", "a", "/é", "/\x7f"])
def test_path_that_is_none_is_not_sent(kit, path):
    """A path with a space or line break would be read as another request."""

    async def main():
        origin = Origin.parse(f"http://127.0.0.1:{free_port()}")
        with pytest.raises(UpstreamError, match="invalid request path"):
            async with HttpClient().stream("GET", origin, path):
                raise AssertionError

    kit.run(main())


def test_connection_is_kept(kit):
    """One answer read to its end, the next request goes over the same connection."""

    async def main():
        async with kit.serving() as world:
            client = HttpClient()
            origin = Origin.parse(f"http://127.0.0.1:{world.port}")
            seen = set()
            for _ in range(5):
                await fetch(client, origin)
                seen |= world.server.connections
            assert len(seen) == 1
            client.close()
            await world.alone()

    kit.run(main())


def test_kept_connection_that_the_upstream_closed(kit):
    """A connection that was closed while it was kept is replaced unseen."""

    async def main():
        async with kit.upstream(answering(OK)) as (client, origin):
            for _ in range(3):
                assert await fetch(client, origin) == (200, b"hi")
                (kept,) = client._pool.idle[origin]
                await kit.until(lambda connection=kept: not connection.usable)

    kit.run(main())


class Blocking:
    """An upstream that does all it does between two turns of the event loop."""

    def __init__(self) -> None:
        self.listening = socket.create_server(("127.0.0.1", 0))
        self.origin = Origin("127.0.0.1", self.listening.getsockname()[1], tls=False, base_path="")
        self.accepted: list[socket.socket] = []

    async def serve(self, client: HttpClient, calls: int) -> None:
        """Answer so many calls at once, each on a connection of its own, and keep these."""
        asking = [asyncio.create_task(fetch(client, self.origin)) for _ in range(calls)]
        for _ in asking:
            connection, _ = await asyncio.to_thread(self.listening.accept)
            self.accepted.append(connection)
        for connection in self.accepted:
            await asyncio.to_thread(connection.recv, 1000)
            connection.sendall(OK)
        assert await asyncio.gather(*asking) == [(200, b"hi")] * calls

    def end(self, *, reset: bool) -> None:
        """Close every connection, in order or by a reset; the client's event loop has no turn."""
        for connection in self.accepted:
            if reset:
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            connection.close()
        self.accepted.clear()


@pytest.mark.parametrize("reset", [False, True])
def test_kept_connection_whose_end_is_under_way(kit, reset):
    """Used just as it is closed, it says that nobody has read the request; the next one is new."""

    async def main():
        upstream, client = Blocking(), HttpClient()
        await upstream.serve(client, calls=2)
        assert len(client._pool.idle[upstream.origin]) == 2
        upstream.end(reset=reset)
        with pytest.raises(UpstreamError, match="just as it was reused") as caught:
            await fetch(client, upstream.origin)
        assert (caught.value.unread, caught.value.sent) == (True, True)
        assert not client._pool.idle.get(upstream.origin), "what waited longer is gone too"
        await upstream.serve(client, calls=1)
        upstream.end(reset=False)
        upstream.listening.close()
        client.close()

    kit.run(main())


@pytest.mark.parametrize(
    ("kept", "begins", "under_way_s", "unread"),
    [
        (True, b"", 1.0, True),
        (False, b"", 1.0, False),
        (True, b"HTTP/1.1 200 OK\r\ncont", 1.0, False),
        (True, b"", 0.0, False),
    ],
    ids=["kept", "new", "begun", "later"],
)
def test_connection_that_ends_without_an_answer(
    kit, monkeypatch, kept, begins, under_way_s, unread
):
    """A new one, one that has begun to answer and one that ends later may have read the request."""
    monkeypatch.setattr("inferworks.http.upstream._UNDER_WAY_S", under_way_s)

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        if kept:
            writer.write(OK)
            await reader.readuntil(b"\r\n\r\n")
        writer.write(begins)

    async def main():
        async with kit.upstream(script) as (client, origin):
            if kept:
                assert await fetch(client, origin) == (200, b"hi")
            with pytest.raises(UpstreamError, match="closed the connection") as caught:
                await fetch(client, origin)
            assert (caught.value.sent, caught.value.unread) == (True, unread)

    kit.run(main())


def test_unasked_answer_is_not_taken_for_the_next(kit):
    """An answer that nobody asked for ends the connection."""

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(OK)
        await push.wait()
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nevil")
        await reader.read()

    push = asyncio.Event()

    async def main():
        async with kit.upstream(script) as (client, origin):
            assert await fetch(client, origin) == (200, b"hi")
            (kept,) = client._pool.idle[origin]
            push.set()
            await kit.until(lambda: not kept.usable)
            assert await fetch(client, origin) == (200, b"hi")

    kit.run(main())


def test_kept_connections_are_few_and_not_for_ever(kit):
    """No more are kept than asked for, and none longer than `idle_s`."""

    async def main():
        async with kit.serving() as world:
            client = HttpClient(Timeouts(idle_s=0.05), kept_per_origin=2)
            origin = Origin.parse(f"http://127.0.0.1:{world.port}")
            await asyncio.gather(*[fetch(client, origin) for _ in range(5)])
            await kit.until(lambda: len(world.server.connections) == 2)
            (old, _) = client._pool.idle[origin]
            await asyncio.sleep(0.06)
            await fetch(client, origin)
            assert old not in client._pool.idle[origin]
            await kit.until(lambda: len(world.server.connections) == 1)
            client.close()
            await world.alone()

    kit.run(main())


def test_nothing_is_kept_after_closing(kit):
    """An answer that ends after the client was closed leaves no connection behind."""

    async def main():
        async with kit.serving() as world:
            client = HttpClient()
            async with client.stream(
                "GET", Origin.parse(f"http://127.0.0.1:{world.port}"), "/"
            ) as r:
                client.close()
                await r.read(2.0, 100)
            await world.alone()

    kit.run(main())


def test_leaving_early_is_noticed_upstream(kit):
    """Leaving before the end of an answer cancels whatever made it."""

    async def main():
        cancelled = asyncio.Event()

        async def endless(exchange: Exchange):
            await exchange.start(200, [])
            await exchange.send(b"x")
            try:
                await asyncio.Event().wait()
            finally:
                cancelled.set()

        async with kit.serving(endless) as world:
            client = HttpClient()
            origin = Origin.parse(f"http://127.0.0.1:{world.port}")
            async with client.stream("GET", origin, "/") as response:
                assert await response.next_piece(2.0) == b"x"
            await asyncio.wait_for(cancelled.wait(), 2.0)
            await world.alone()

    kit.run(main())


def test_slow_reader_makes_the_upstream_wait(kit):
    """Data that is not read is not fetched: back-pressure reaches the producer."""

    async def main():
        sent = 0

        async def producer(exchange: Exchange):
            nonlocal sent
            await exchange.start(200, [])
            for _ in range(600):
                await exchange.send(bytes(50_000))
                sent += 50_000
            await exchange.end()

        async with kit.serving(producer) as world:
            client = HttpClient()
            origin = Origin.parse(f"http://127.0.0.1:{world.port}")
            async with client.stream("GET", origin, "/") as response:
                before = -1
                while sent != before:
                    before = sent
                    await asyncio.sleep(0.05)
                assert sent < 30_000_000
                assert response._connection.buffered_bytes < 1_000_000
                size = 0
                async for piece in response.pieces(2.0):
                    size += len(piece)
                assert size == sent == 30_000_000
            client.close()

    kit.run(main())


@pytest.mark.slow
def test_cancelling_leaves_nothing(kit):
    """A cancelled request takes its connection with it: connecting, waiting or reading."""

    async def slow(exchange: Exchange):
        await exchange.start(200, [])
        for _ in range(5):
            await exchange.send(b"x")
            await asyncio.sleep(0)
        await exchange.end()

    async def main():
        async with kit.serving(slow) as world:
            client = HttpClient()
            origin = Origin.parse(f"http://127.0.0.1:{world.port}")
            done = 0
            for steps in range(60):
                task = asyncio.ensure_future(fetch(client, origin))
                for _ in range(steps):
                    await asyncio.sleep(0)
                task.cancel()
                (outcome,) = await asyncio.gather(task, return_exceptions=True)
                assert isinstance(outcome, tuple | asyncio.CancelledError)
                done += isinstance(outcome, tuple)
                if steps % 2:
                    client.close()
                    client = HttpClient()
            assert 0 < done < 60
            client.close()
            await world.alone()
        gc.collect()  # an unclosed transport would warn here, and warnings are errors

    kit.run(main())


@pytest.mark.parametrize(
    ("address", "origin", "authority"),
    [
        ("http://127.0.0.1:8000/v1", Origin("127.0.0.1", 8000, False, "/v1"), "127.0.0.1:8000"),
        ("http://[::1]:8000", Origin("::1", 8000, False, ""), "[::1]:8000"),
        ("http://[::1]:80/", Origin("::1", 80, False, ""), "[::1]"),
        (
            "https://api.example.com/v1/",
            Origin("api.example.com", 443, True, "/v1"),
            "api.example.com",
        ),
        (
            "https://API.example.com:80",
            Origin("api.example.com", 80, True, ""),
            "api.example.com:80",
        ),
    ],
)
def test_origin(address, origin, authority):
    """An address names host, port, scheme and base path; the host header brackets IPv6."""
    assert Origin.parse(address) == origin
    assert origin.authority == authority


@pytest.mark.parametrize(
    "address",
    [
        "", "127.0.0.1:8000", "ftp://x", "http://", "http://x:99999", "http://x:y", "http://[::1",
        "http://user:secret@x", "http://x?a=b", "http://x/#a", "http://a b", "http://é",
    ],
)  # fmt: skip
def test_address_that_is_none(address):
    """An address that cannot be one, or says more than an origin can keep, is refused in one line."""
    with pytest.raises(ConfigError) as caught:
        Origin.parse(address)
    assert "\n" not in str(caught.value)
    assert "secret" not in str(caught.value)


def test_ipv6(kit):
    """An upstream on an IPv6 address is reached."""

    async def main():
        try:
            server = await asyncio.start_server(answer, "::1", 0)
        except OSError as error:
            pytest.skip(f"nobody can listen on ::1 here: {error.strerror}")
        port = server.sockets[0].getsockname()[1]
        client = HttpClient()
        assert await fetch(client, Origin.parse(f"http://[::1]:{port}")) == (200, b"hi")
        client.close()
        server.close()
        await server.wait_closed()

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        request = await reader.readuntil(b"\r\n\r\n")
        assert b"host: [::1]:" in request
        writer.write(OK)
        await kit.shut(writer)

    kit.run(main())


def test_connections_given_up_as_they_are_made(kit):
    """A request cancelled at any moment of connecting leaves nothing behind in the client."""

    async def main():
        server = await asyncio.start_server(answer, "127.0.0.1", 0, backlog=1024)
        origin = Origin("127.0.0.1", server.sockets[0].getsockname()[1], tls=False, base_path="")
        client = HttpClient()
        chance = random.Random(1)

        async def one() -> None:
            with suppress(TimeoutError):
                async with asyncio.timeout(chance.random() * 0.004):
                    await fetch(client, origin)

        try:
            for _ in range(10):
                await asyncio.gather(*[one() for _ in range(25)])
            kept = {id(c) for waiting in client._pool.idle.values() for c in waiting}
            async with asyncio.timeout(5):
                while {id(c) for c in client._pool._deadlines.members} - kept:
                    await asyncio.sleep(0.002)
        finally:
            client.close()
            server.close()
            await server.wait_closed()

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(asyncio.IncompleteReadError, ConnectionError):
            while await reader.readuntil(b"\r\n\r\n"):
                writer.write(OK)
        writer.transport.abort()

    kit.run(main())


def dripping(start: bytes, drop: bytes, every_s: float = 0.01):
    """A script that sends `start`, then `drop` again and again for ever."""

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(start)
        while True:
            writer.write(drop)
            await writer.drain()
            await asyncio.sleep(every_s)

    return script


CHUNKS = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
SLOW_HEADS = {
    "a header a time": (b"HTTP/1.1 200 OK\r\n", b"a: b\r\n"),
    "a byte a time": (b"HTTP/1.1 200 OK\r\na: ", b"x"),
    "interim answers": (b"", b"HTTP/1.1 102 Processing\r\n\r\n"),
    "blank lines": (b"", b"\r\n"),
}
NO_BODY = {
    "chunk extension": (CHUNKS + b"3;a=", b"x"),
    "trailers": (CHUNKS + b"0\r\n", b"a: b\r\n"),
    "size of a chunk": (CHUNKS, b"0"),
}
ENDLESS = {
    "a flood": (CHUNKS, b"4000\r\n" + bytes(0x4000) + b"\r\n", 0.0),
    "a flood without length": (b"HTTP/1.1 200 OK\r\n\r\n", bytes(0x4000), 0.0),
    "pings": (CHUNKS, b"8\r\n: ping\n\n\r\n", 0.01),
    "a head without end": (b"HTTP/1.1 200 OK\r\na: ", b"x", 0.01),
}


@pytest.mark.parametrize(("start", "drop"), SLOW_HEADS.values(), ids=SLOW_HEADS)
def test_a_head_that_does_not_come(kit, start, drop):
    """Bytes that are no whole head do not put off the time that a head has to come."""

    async def main():
        async with kit.upstream(dripping(start, drop)) as (_, origin):
            client = HttpClient(Timeouts(first_byte_s=0.1))
            with pytest.raises(
                UpstreamError,
                match=r"did not send complete response headers within 0\.1 s|not HTTP",
            ) as caught:
                await asyncio.wait_for(fetch(client, origin), 2.0)
            assert caught.value.sent
            client.close()

    kit.run(main())


@pytest.mark.parametrize(("start", "drop"), NO_BODY.values(), ids=NO_BODY)
def test_bytes_that_are_no_body_are_silence(kit, start, drop):
    """Framing that never comes to a byte of the body ends as a silence does."""

    async def main():
        async with (
            kit.upstream(dripping(start, drop)) as (client, origin),
            client.stream("GET", origin, "/x") as response,
        ):
            with pytest.raises(UpstreamError, match=r"sent no data for 0\.1 s|not HTTP"):
                await asyncio.wait_for(response.read(0.1, 1000), 2.0)

    kit.run(main())


@pytest.mark.slow
@pytest.mark.parametrize(("start", "drop", "every_s"), ENDLESS.values(), ids=ENDLESS)
@pytest.mark.parametrize("reads", [True, False], ids=["read", "unread"])
def test_an_answer_ends_in_its_time(kit, start, drop, every_s, reads):
    """An answer that never pauses ends at `answer_s` too, whether anybody reads it or not."""

    async def main():
        async with kit.upstream(dripping(start, drop, every_s)) as (_, origin):
            client = HttpClient(Timeouts(answer_s=0.2))
            began = asyncio.get_running_loop().time()

            async def read() -> None:
                async with client.stream("GET", origin, "/x") as response:
                    if not reads:
                        await asyncio.sleep(0.3)
                    while await response.next_piece(10.0):
                        pass

            with pytest.raises(UpstreamError, match="did not finish its answer in time") as caught:
                await asyncio.wait_for(read(), 2.0)
            assert caught.value.sent
            assert caught.value.gave_up
            assert asyncio.get_running_loop().time() - began < 1.0
            client.close()

    kit.run(main())


def test_a_kept_connection_is_not_late(kit):
    """A deadline that was met does not count later, however long the connection is kept."""

    async def main():
        async with kit.upstream(answering(OK, OK, OK)) as (_, origin):
            client = HttpClient(Timeouts(first_byte_s=0.05, answer_s=0.05))
            for _ in range(3):
                assert await fetch(client, origin) == (200, b"hi")
                await asyncio.sleep(0.08)
                assert [len(kept) for kept in client._pool.idle.values()] == [1]
            client.close()

    kit.run(main())


@pytest.fixture
def no_descriptor():
    """Has no descriptor left in this process, while the block runs."""

    @contextmanager
    def nothing_left():
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        taken: list[int] = []
        lowest = os.dup(0)
        resource.setrlimit(resource.RLIMIT_NOFILE, (lowest + 1, hard))
        try:
            with suppress(OSError):
                while True:
                    taken.append(os.dup(0))
            yield
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
            for descriptor in [*taken, lowest]:
                os.close(descriptor)

    return nothing_left


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "no-such-host.invalid"])
def test_no_descriptor_is_left(kit, no_descriptor, host):
    """A connection that cannot be made for want of a descriptor says that it is our fault; then it can."""

    async def main():
        async with kit.upstream(answering(OK)) as (client, origin):
            target = Origin(host, origin.port, tls=False, base_path="")
            with no_descriptor(), pytest.raises(UpstreamError, match="nothing left here") as caught:
                await fetch(client, target)
            assert caught.value.ours
            assert not caught.value.sent
            assert await fetch(client, origin) == (200, b"hi")

    kit.run(main())


def test_a_silence_ends_though_its_timer_rang_while_nobody_waited(kit):
    """Bytes that are no body may come just as the timer rings: the silence they do not break still ends."""

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(CHUNKS + b"3;a=")
        await reader.read()

    async def main():
        async with (
            kit.upstream(script) as (client, origin),
            client.stream("GET", origin, "/x") as response,
        ):
            connection = response._connection
            reading = asyncio.ensure_future(response.next_piece(0.05))
            await asyncio.sleep(0.01)
            connection.data_received(b"x")  # the reader is woken, and has not run yet
            connection._deadlines._fire()
            with pytest.raises(UpstreamError, match="sent no data for"):
                await asyncio.wait_for(reading, 2.0)

    kit.run(main())
