"""Ends of connections and handlers: leaving and late clients, failing handlers, a stopping server."""

from __future__ import annotations

import asyncio
import random
import socket
import struct

import pytest

from inferworks.http.budget import FREE_BYTES
from inferworks.http.server import (
    Admission,
    ClientGone,
    Exchange,
    HttpServer,
    Limits,
    Refused,
    RequestHead,
    bind,
)

GET = b"GET / HTTP/1.1\r\nhost: x\r\n\r\n"
POST = b"POST / HTTP/1.1\r\nhost: x\r\n"
LAST = b"GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n"
LARGE = bytes(8_000_000)


class Endless:
    """A handler that streams a little, then waits for ever; counts how it is left."""

    def __init__(self) -> None:
        self.entered = 0
        self.cancelled = 0

    async def __call__(self, exchange: Exchange) -> None:
        """Stream three pieces and wait."""
        self.entered += 1
        try:
            await exchange.start(200, [(b"content-type", b"text/event-stream")])
            for number in range(3):
                await exchange.send(b"data: %d\n\n" % number)
                await asyncio.sleep(0)
            await asyncio.Event().wait()
        except (asyncio.CancelledError, ClientGone):  # the latter when it sends just as it is left
            self.cancelled += 1
            raise


def reset(writer: asyncio.StreamWriter) -> None:
    """Make closing send RST, as a crashed client's machine does."""
    linger = struct.pack("ii", 1, 0)
    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)


async def small_reader(port: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """A connection whose receive buffer is small, so that the server soon has to wait."""
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16 * 1024)
    sock.setblocking(False)
    await asyncio.get_running_loop().sock_connect(sock, ("127.0.0.1", port))
    return await asyncio.open_connection(sock=sock, limit=16 * 1024)


@pytest.mark.slow
@pytest.mark.parametrize("hard", [False, True], ids=["FIN", "RST"])
def test_leaving_at_every_byte_of_a_stream_cancels_once(kit, hard):
    """Wherever in the answer a client leaves, its handler is cancelled, once, and nothing is left."""

    async def main():
        handler = Endless()
        async with kit.serving(handler) as world:
            reader, writer = await world.open()
            writer.write(GET)
            whole = len(await reader.readuntil(b"data: 2\n\n\r\n"))
            await kit.shut(writer)
            for offset in range(whole + 1):
                reader, writer = await world.open()
                writer.write(GET)
                await kit.until(lambda wanted=offset + 2: handler.entered == wanted)
                await reader.readexactly(offset)
                if hard:
                    reset(writer)
                await kit.shut(writer)
            await world.alone()
            assert handler.entered == handler.cancelled == whole + 2
            assert not world.errors

    kit.run(main())


def test_leaving_in_the_middle_of_a_request_starts_nothing(kit):
    """A client that leaves before its request is whole is forgotten."""

    async def main():
        handler = Endless()
        async with kit.serving(handler) as world:
            for offset in range(len(GET)):
                _, writer = await world.open()
                writer.write(GET[:offset])
                await kit.shut(writer)
            await world.alone()
            assert handler.entered == 0

    kit.run(main())


def test_half_closed_client_has_left(kit):
    """Closing the sending half counts as leaving: nothing tells it apart from a client that is gone."""

    async def main():
        handler = Endless()
        async with kit.serving(handler) as world:
            reader, writer = await world.open()
            writer.write(GET)
            await reader.readuntil(b"data: 2\n\n\r\n")
            writer.write_eof()
            await kit.until(lambda: handler.cancelled == 1)
            await kit.shut(writer)
            await world.alone()

    kit.run(main())


def test_half_closed_client_that_does_not_read_has_left(kit):
    """A client that both stops reading and half-closes does not hold its handler until a timeout."""

    async def main():
        left = asyncio.Event()

        async def large(exchange: Exchange):
            try:
                await exchange.respond(200, LARGE)
            finally:
                left.set()

        async with kit.serving(large) as world:
            _, writer = await small_reader(world.port)
            writer.write(GET)
            await kit.until(lambda: any(c._writable for c in world.server.connections))
            writer.write_eof()
            await asyncio.wait_for(left.wait(), 2.0)
            await kit.shut(writer)

    kit.run(main())


def test_leaving_client_is_noticed_behind_a_pipelined_request(kit):
    """Having sent more requests does not hide that a client has left."""

    async def main():
        handler = Endless()
        async with kit.serving(handler) as world:
            _, writer = await world.open()
            writer.write(GET + GET)
            await kit.until(lambda: handler.entered == 1)
            writer.write(GET)
            await kit.shut(writer)
            await world.alone()
            assert (handler.entered, handler.cancelled) == (1, 1)

    kit.run(main())


def test_sending_to_a_client_that_left(kit):
    """A handler that goes on after its cancellation is told at its next piece, and is no error."""

    async def main():
        seen = []

        async def stubborn(exchange: Exchange):
            await exchange.start(200, [])
            await exchange.send(b"x")
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                with pytest.raises(ClientGone):
                    await exchange.send(b"y")
                seen.append(exchange.finished)
                await exchange.end(b"z")

        async with kit.serving(stubborn) as world:
            reader, writer = await world.open()
            writer.write(GET)
            await reader.readuntil(b"x")
            await kit.shut(writer)
            await world.alone()
            assert seen == [False]
            assert not world.errors

    kit.run(main())


LATE = {
    "sends nothing": (b"", Limits(keep_alive_s=0.05)),
    "head does not end": (b"GET / HTTP/1.1\r\nhos", Limits(request_timeout_s=0.05)),
    "body does not end": (
        b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 9\r\n\r\nabc", Limits(request_timeout_s=0.05),
    ),
    "sends nothing more": (GET, Limits(keep_alive_s=0.05)),
    "next head does not end": (GET + b"GET", Limits(request_timeout_s=0.05)),
    "only blank lines": (b"\r\n\r\n", Limits(keep_alive_s=0.05, request_timeout_s=0.05)),
}  # fmt: skip


@pytest.mark.parametrize(("sent", "limits"), LATE.values(), ids=LATE)
def test_slow_client_is_dropped(kit, sent, limits):
    """A client that keeps a connection without finishing a request loses it at the deadline."""

    async def main():
        async with kit.serving(limits=limits) as world:
            answer = await asyncio.gather(world.ask(sent), return_exceptions=True)
            assert isinstance(answer[0], ConnectionResetError | bytes)
            await world.alone()

    kit.run(main())


def test_dripping_client_is_dropped(kit):
    """A byte now and then does not prolong the deadline of a request."""

    async def main():
        async with kit.serving(limits=Limits(request_timeout_s=0.1)) as world:
            _, writer = await world.open()
            writer.write(b"GET / HTTP/1.1\r\n")
            await kit.until(lambda: len(world.server.connections) == 1)
            async with asyncio.timeout(2.0):
                while world.server.connections:
                    writer.write(b"a: b\r\n")
                    await asyncio.sleep(0.01)
            await kit.shut(writer)

    kit.run(main())


def test_client_that_stops_reading_is_dropped(kit):
    """A full socket is waited for as long as `write_timeout_s`, then the handler is cancelled."""

    async def main():
        cancelled = 0

        async def large(exchange: Exchange):
            nonlocal cancelled
            try:
                await exchange.start(200, [])
                while True:
                    await exchange.send(bytes(100_000))
            except asyncio.CancelledError:
                cancelled += 1
                raise

        async with kit.serving(large, Limits(write_timeout_s=0.05)) as world:
            _, writer = await small_reader(world.port)
            writer.write(GET)
            await kit.until(lambda: cancelled == 1)
            await world.alone()
            await kit.shut(writer)

    kit.run(main())


@pytest.mark.slow
def test_slow_but_steady_reader_gets_a_large_answer(kit):
    """The timeout is for each part of an answer, so a large one may take longer than that."""

    async def main():
        loop = asyncio.get_running_loop()

        async def large(exchange: Exchange):
            await exchange.respond(200, LARGE)

        async with kit.serving(large, Limits(write_timeout_s=0.5)) as world:
            reader, writer = await small_reader(world.port)
            writer.write(LAST)
            began, size = loop.time(), 0
            while piece := await reader.read(100_000):
                size += len(piece)
                due = began + size / 10_000_000
                await asyncio.sleep(max(0.0, due - loop.time()))
            assert size > len(LARGE)
            assert loop.time() - began > 0.6
            await kit.shut(writer)

    kit.run(main())


async def _nothing(exchange: Exchange) -> None:
    return


async def _fails(exchange: Exchange) -> None:
    raise RuntimeError("broken")


async def _fails_midway(exchange: Exchange) -> None:
    await exchange.start(200, [])
    await exchange.send(b"half")
    raise RuntimeError("broken")


async def _ends_midway(exchange: Exchange) -> None:
    await exchange.start(200, [])
    await exchange.send(b"half")


async def _fails_after(exchange: Exchange) -> None:
    await exchange.respond(200, b"whole")
    raise RuntimeError("broken")


@pytest.mark.parametrize(("handler", "reported"), [(_fails, 1), (_nothing, 0)])
def test_handler_that_does_not_answer(kit, handler, reported):
    """A handler that fails or ends before it answered is answered for, and what escaped is reported."""

    async def main():
        async with kit.serving(handler) as world:
            answer = await world.ask(GET)
            assert answer.startswith(b"HTTP/1.1 500 ")
            assert b"broken" not in answer
            assert len(world.errors) == reported

    kit.run(main())


@pytest.mark.parametrize(("handler", "reported"), [(_fails_midway, 1), (_ends_midway, 0)])
def test_handler_that_answers_half(kit, handler, reported):
    """Half a stream is cut off, never ended as if it were whole."""

    async def main():
        async with kit.serving(handler) as world:
            reader, writer = await world.open()
            writer.write(GET)
            answer = (await asyncio.gather(reader.read(), return_exceptions=True))[0]
            assert isinstance(answer, ConnectionResetError) or not answer.endswith(b"0\r\n\r\n")
            await kit.shut(writer)
            assert len(world.errors) == reported

    kit.run(main())


def test_handler_that_fails_after_its_answer(kit):
    """A whole answer stays whole, and its connection goes on, whatever the handler does after it."""

    async def main():
        async with kit.serving(_fails_after) as world:
            answers = await world.ask(GET + LAST)
            assert answers.count(b"whole") == 2
            assert len(world.errors) == 2

    kit.run(main())


def test_unheard_failure_goes_to_the_loop(kit):
    """Without `on_error` an escaped exception goes where asyncio sends them all."""

    async def main():
        heard = []
        asyncio.get_running_loop().set_exception_handler(
            lambda loop, context: heard.append(context)
        )
        async with kit.serving(_fails) as world:
            world.server._on_error = None
            await world.ask(GET)
        assert [str(context["exception"]) for context in heard] == ["broken"]

    kit.run(main())


def test_answering_twice_is_a_bug(kit):
    """An exchange is answered once; the second answer fails in the handler and harms no one."""

    async def twice(exchange: Exchange):
        await exchange.respond(200, b"one")
        with pytest.raises(AssertionError):
            await exchange.respond(200, b"two")
        with pytest.raises(AssertionError):
            await exchange.send(b"two")

    async def main():
        async with kit.serving(twice) as world:
            assert (await world.ask(LAST)).endswith(b"\r\n\r\none")
            assert not world.errors

    kit.run(main())


def test_connection_limit(kit):
    """One client too many is refused where all are busy; when another has left there is room again."""

    async def main():
        handler = Endless()
        async with kit.serving(handler, Limits(connections=2), drain_s=0.0) as world:
            busy = [await world.open() for _ in range(2)]
            for _, writer in busy:
                writer.write(GET)
            await kit.until(lambda: handler.entered == 2)
            answer = await world.ask(GET)
            assert answer.startswith(b"HTTP/1.1 503 ")
            assert b"\r\nretry-after: 1\r\n" in answer
            await kit.shut(busy[0][1])
            await kit.until(lambda: len(world.server.connections) == 1)
            reader, newcomer = await world.open()
            newcomer.write(GET)
            assert (await reader.readline()).startswith(b"HTTP/1.1 200 ")
            await kit.shut(newcomer)
            await kit.shut(busy[1][1])
            await world.alone()

    kit.run(main())


def test_connections_beyond_the_limit_are_few(kit):
    """Few clients are told why when all are busy, however many come, and none of the others is held."""

    async def main():
        handler = Endless()
        async with kit.serving(handler, Limits(connections=2), drain_s=0.0) as world:
            busy = [await world.open() for _ in range(2)]
            for _, writer in busy:
                writer.write(GET)
            await kit.until(lambda: handler.entered == 2)
            crowd = [await world.open() for _ in range(100)]
            assert len(world.server.connections) < 30
            for _, writer in [*crowd, *busy]:
                await kit.shut(writer)
            await world.alone()

    kit.run(main())


SILENT = {
    "says nothing": b"",
    "says one letter": b"G",
    "has a head without end": GET[:-2],
    "sends an unadmitted body": b"POST /no HTTP/1.1\r\nhost: x\r\ncontent-length: 9\r\n\r\nab",
    "was answered": GET,
}


@pytest.mark.parametrize("says", SILENT.values(), ids=SILENT)
def test_idle_connections_shut_nobody_out(kit, says):
    """Clients that hold all connections without using them make room for those that come."""

    async def main():
        async with kit.serving(limits=Limits(connections=5), admit=by_path) as world:
            crowd = [await world.open() for _ in range(5)]
            for _, writer in crowd:
                writer.write(says)
            await kit.until(lambda: len(world.server.connections) == 5)
            await asyncio.sleep(0.01)
            for _ in range(12):
                assert (await world.ask(LAST)).startswith(b"HTTP/1.1 200 ")
            for _, writer in crowd:
                await kit.shut(writer)
            await world.alone()

    kit.run(main())


def test_who_has_shown_a_key_gives_way_last(kit):
    """Strangers go before those that are known, even if they are newer; and who sends a body stays."""

    async def main():
        async with kit.serving(limits=Limits(connections=3), admit=by_path) as world:
            known, sending = await world.open(), await world.open()
            known[1].write(POST + b"content-length: 2\r\n\r\nhi")
            await known[0].readuntil(b"hi")
            sending[1].write(POST + b"content-length: 2\r\n\r\n")
            await kit.until(lambda: len(world.server.connections) == 2)
            await asyncio.sleep(0.01)
            unauthenticated = [await world.open() for _ in range(20)]
            await kit.until(lambda: len(world.server.connections) <= 3)
            for reader, writer in (known, sending):
                writer.write(
                    b"hi" if writer is sending[1] else POST + b"content-length: 2\r\n\r\nhi"
                )
                await reader.readuntil(b"hi")
            for _, writer in [known, sending, *unauthenticated]:
                await kit.shut(writer)
            await world.alone()

    kit.run(main())


def by_path(head: RequestHead) -> Admission | Refused:
    """Knows everybody but those who ask for /no."""
    return Refused(401, b"text/plain", b"") if head.path == "/no" else Admission(owner="k")


HELD = 1024 * 1024
PIECE = bytes(HELD // 4)


def owned(head: RequestHead) -> Admission:
    """The owner is named in the request."""
    return Admission(owner=head.query)


def test_one_owner_does_not_take_every_connection_with_half_sent_bodies(kit):
    """Of all connections half at most are sending for one owner; the others are served, and it later."""

    async def main():
        async with kit.serving(limits=Limits(connections=8), admit=owned) as world:
            crowd = [await world.open() for _ in range(8)]
            for _, writer in crowd:
                writer.write(begin(b"a", 2))
            refused = await asyncio.wait_for(crowd[-1][0].read(), 5.0)
            assert refused.startswith(b"HTTP/1.1 503 ")
            for _ in range(12):
                assert (await world.ask(begin(b"b", 2), b"hi")).startswith(b"HTTP/1.1 200 ")
            for _, writer in crowd[:4]:
                await kit.shut(writer)
            await kit.until(lambda: len(world.server.connections) <= 4)
            assert (await world.ask(begin(b"a", 2), b"hi")).startswith(b"HTTP/1.1 200 ")
            for _, writer in crowd[4:]:
                await kit.shut(writer)
            await world.alone()

    kit.run(main())


@pytest.mark.slow
def test_owners_that_agree_do_not_take_every_connection(kit):
    """With half-sent bodies of two owners on all that they may have, a third owner is served."""

    async def main():
        async with kit.serving(limits=Limits(connections=12), admit=owned) as world:
            crowd = [await world.open() for _ in range(12)]
            for number, (_, writer) in enumerate(crowd):
                writer.write(begin(b"ab"[number % 2 :][:1], 2))
            await kit.until(lambda: len(world.server.connections) <= 8)
            for _ in range(12):
                assert (await world.ask(begin(b"c", 2), b"hi")).startswith(b"HTTP/1.1 200 ")
            for _, writer in crowd:
                await kit.shut(writer)
            await world.alone()

    kit.run(main())


def begin(owner: bytes, length: int = HELD) -> bytes:
    """The head of an upload."""
    line = b"POST /p?%b HTTP/1.1\r\nhost: x\r\nconnection: close\r\n" % owner
    return line + b"content-length: %d\r\n\r\n" % length


def test_unfinished_bodies_are_bounded_together(kit):
    """A body that does not fit is refused by 503; those begun are finished; then there is room again."""

    async def main():
        limits = Limits(held_bytes=HELD)
        async with kit.serving(limits=limits, admit=owned) as world:
            held = world.server.budget
            uploads = [(await world.open(), owner) for owner in (b"a", b"b")]
            for (_, writer), owner in uploads:
                writer.write(begin(owner, HELD // 2) + PIECE)
            await kit.until(lambda: held.held_bytes > HELD // 3)
            beyond = await world.ask(begin(b"a") + PIECE + PIECE + PIECE)
            assert beyond.startswith(b"HTTP/1.1 503 ")
            assert b"\r\nretry-after: 1\r\n" in beyond
            small = await world.ask(begin(b"a", 1000) + bytes(1000))
            assert small.startswith(b"HTTP/1.1 200 "), "what is small is always taken"
            for (reader, writer), _ in uploads:
                writer.write(PIECE)
                assert (await reader.read()).startswith(b"HTTP/1.1 200 ")
                await kit.shut(writer)
            await world.alone()
            assert held.held_bytes == 0
            again = await world.ask(begin(b"a", HELD // 2) + PIECE + PIECE)
            assert again.startswith(b"HTTP/1.1 200 ")

    kit.run(main())


def test_one_owner_leaves_room_for_others(kit):
    """Half of what may be held is left to the others, whatever one owner uploads."""

    async def main():
        limits = Limits(held_bytes=HELD)
        async with kit.serving(limits=limits, admit=owned) as world:
            greedy = [await world.open() for _ in range(8)]
            for _, writer in greedy:
                writer.write(begin(b"greedy") + PIECE)
            await kit.until(lambda: world.server.budget.held_bytes > HELD // 4)
            await asyncio.sleep(0.02)
            other = await world.ask(begin(b"other", HELD // 2) + PIECE + PIECE)
            assert other.startswith(b"HTTP/1.1 200 ")
            for _, writer in greedy:
                await kit.shut(writer)
            await world.alone()

    kit.run(main())


def test_a_body_is_counted_until_its_call_is_over(kit):
    """A body that was handed on is held by its handler, so it is counted still."""

    async def main():
        go_on = asyncio.Event()

        async def slow(exchange: Exchange):
            await go_on.wait()
            await kit.echo(exchange)

        async with kit.serving(slow, Limits(held_bytes=4 * HELD), admit=owned) as world:
            reader, writer = await world.open()
            writer.write(begin(b"a", HELD) + bytes(HELD))
            await kit.until(lambda: bool(world.server.running))
            assert world.server.budget.held_bytes > HELD - 2 * FREE_BYTES
            go_on.set()
            await reader.read()
            await kit.shut(writer)
            await world.alone()
            assert world.server.budget.held_bytes == 0

    kit.run(main())


def test_what_is_sent_ahead_is_counted(kit):
    """Clients that pipeline behind an answer they do not read are bounded together, then dropped."""

    async def main():
        handler = Endless()
        async with kit.serving(handler, Limits(held_bytes=HELD), drain_s=0.0) as world:
            crowd = [await world.open() for _ in range(20)]
            for _, writer in crowd:
                writer.write(GET * 5000)
            await kit.until(lambda: handler.entered == 20)
            await kit.until(lambda: len(world.server.connections) < 20)
            assert world.server.budget.held_bytes <= HELD
            for _, writer in crowd:
                await kit.shut(writer)

    kit.run(main())


def test_answers_that_are_not_read_are_bounded_together(kit):
    """Clients that do not read are dropped when what waits for them is too much; a reader is served."""

    async def main():
        async def large(exchange: Exchange):
            await exchange.respond(200, LARGE)

        limits = Limits(held_bytes=3 * len(LARGE))
        async with kit.serving(large, limits, drain_s=0.0) as world:
            lazy = [await small_reader(world.port) for _ in range(10)]
            for _, writer in lazy:
                writer.write(GET)
                writer.transport.pause_reading()
            await kit.until(lambda: len(world.server.connections) == 1)
            assert world.server.budget.held_bytes == len(LARGE)
            for _, writer in lazy:
                writer.transport.abort()
            await world.alone()
            assert (await world.ask(LAST)).endswith(LARGE)

    kit.run(main())


def test_stop_lets_running_streams_finish(kit):
    """A stop waits for answers that run, says goodbye in their heads, and accepts nothing new."""

    async def main():
        entered, go_on = asyncio.Event(), asyncio.Event()

        async def stream(exchange: Exchange):
            entered.set()
            await go_on.wait()
            await exchange.start(200, [])
            await exchange.end(b"done")

        async with kit.serving(stream) as world:
            idle_reader, idle = await world.open()
            await kit.until(lambda: len(world.server.connections) == 1)
            reader, writer = await world.open()
            writer.write(GET + GET)
            await entered.wait()
            stopping = asyncio.ensure_future(world.server.stop(5.0))
            assert await idle_reader.read() == b""
            with pytest.raises(OSError):
                await world.open()
            go_on.set()
            answer = await reader.read()
            assert answer.count(b"done") == 1
            assert b"connection: close" in answer
            assert await stopping == 0
            await kit.shut(idle)
            await kit.shut(writer)

    kit.run(main())


def test_stop_lets_the_end_of_an_answer_leave(kit):
    """An answer that is made but not yet taken by its client is not cut off by a stop."""

    async def main():
        async def large(exchange: Exchange):
            await exchange.respond(200, LARGE)

        async with kit.serving(large) as world:
            reader, writer = await small_reader(world.port)
            writer.write(GET)
            await kit.until(lambda: bool(world.server.running))
            stopping = asyncio.ensure_future(world.server.stop(5.0))
            await asyncio.sleep(0)
            assert (await reader.read()).endswith(LARGE)
            assert await stopping == 0
            await kit.shut(writer)

    kit.run(main())


def test_stop_drops_and_counts_what_is_stuck(kit):
    """Unfinished requests are cancelled once and counted when the time is up; the idle are not."""

    async def main():
        handler = Endless()
        async with kit.serving(handler) as world:
            _, idle = await world.open()
            stuck = [await world.open() for _ in range(3)]
            for _, writer in stuck:
                writer.write(GET)
            await kit.until(lambda: handler.entered == 3)
            assert await world.server.stop(0.05) == 3
            assert handler.cancelled == 3
            for writer in [idle, *(writer for _, writer in stuck)]:
                await kit.shut(writer)

    kit.run(main())


def test_stop_waits_for_handlers_whose_client_left(kit):
    """A handler that still writes its record after its client left is not torn down with the loop."""

    async def main():
        recorded = False

        async def records(exchange: Exchange):
            nonlocal recorded
            try:
                await asyncio.Event().wait()
            finally:
                await asyncio.sleep(0.05)
                recorded = True

        async with kit.serving(records) as world:
            _, writer = await world.open()
            writer.write(GET)
            await kit.until(lambda: bool(world.server.running))
            await kit.shut(writer)
            await kit.until(lambda: not world.server.connections)
            await world.server.stop(0.0)
            assert recorded

    kit.run(main())


def test_many_clients_leaving_at_random(kit):
    """Two hundred clients that leave at random offsets leave nothing behind."""

    async def main():
        handler = Endless()
        chance = random.Random(7)

        async def visit(world, offset: int, hard: bool):
            reader, writer = await world.open()
            writer.write(GET)
            await reader.read(offset)
            if hard:
                reset(writer)
            await kit.shut(writer)

        async with kit.serving(handler) as world:
            visits = [
                visit(world, chance.randrange(1, 200), chance.random() < 0.5) for _ in range(200)
            ]
            await asyncio.gather(*visits)
            await world.alone()
            assert handler.entered == handler.cancelled == 200

    kit.run(main())


def test_port_is_held_before_it_is_listened_on(kit):
    """A bound port serves when its server listens, and from then on is refused to others."""

    async def main():
        bound = bind("127.0.0.1", 0)
        port = bound.getsockname()[1]
        server = HttpServer(kit.echo)
        assert await server.listen(bound) == port
        with pytest.raises(OSError, match="in use"):
            bind("127.0.0.1", port)
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(LAST)
        assert (await reader.read()).startswith(b"HTTP/1.1 200 ")
        await kit.shut(writer)
        await server.stop(1.0)

    kit.run(main())
