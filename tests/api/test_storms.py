"""Storms: many calls at once before an upstream that misbehaves as no server of ours ever would.

The upstream is a bare socket, so it can send what is no HTTP, no chunk and no JSON, and break off where
it likes. Whatever it does: every call has one record, no client takes half an answer for a whole one, and
no task, connection or file is left.
"""

from __future__ import annotations

import asyncio
import resource
import socket
import struct
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager, closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import pytest
from msgspec.structs import replace as changed
from tests.support.leaks import check_no_task_is_left, no_file_is_left, until

from inferworks.api.drain import DrainLimits
from inferworks.cloud.credentials.key import NoCredential
from inferworks.cloud.providers.openai import openai_profile
from inferworks.cloud.providers.passthrough import PassthroughProvider
from inferworks.cloud.routing.policy import BreakerPolicy, RoutePolicy, Strategy
from inferworks.http.client import HttpClient, Origin, Timeouts
from inferworks.http.server import Limits
from inferworks.meter.usage import Confidence, Outcome, Tokens
from inferworks.testing.in_process_gateway import (
    CHAT,
    InProcessGateway,
    open_gateway_over,
    parse_answer,
)
from inferworks.testing.providers import A_MODEL

Run = Callable[[Coroutine[Any, Any, None]], None]
Behaviour = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]

CALLS = 60
WHOLE = {"model": A_MODEL, "messages": [{"role": "user", "content": "Hello."}]}
STREAM = {**WHOLE, "stream": True}
QUICK = Timeouts(connect_s=2.0, first_byte_s=0.2, between_bytes_s=0.2)
PATIENT = BreakerPolicy(failures_in_row=1 << 30, least_calls=1 << 30)
RESET = struct.pack("ii", 1, 0)
MB = 1 << 20

EVENTS = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
JSON = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n"
BODY = b'{"choices":[],"usage":{"prompt_tokens":5,"completion_tokens":3,"total_tokens":8}}'


def chunk(data: bytes) -> bytes:
    """A piece of a body in chunks."""
    return b"%x\r\n%b\r\n" % (len(data), data)


def word(text: str) -> bytes:
    """An event with a word, in a chunk."""
    body = {"choices": [{"index": 0, "delta": {"content": text}}]}
    return chunk(b"data: " + msgspec.json.encode(body) + b"\n\n")


BEGUN = EVENTS + word("Hello") + word(" there")
DONE = chunk(b"data: " + BODY + b"\n\n") + chunk(b"data: [DONE]\n\n") + b"0\r\n\r\n"


class RawUpstream:
    """A server that reads requests and answers each as its behaviour does, on a bare socket."""

    def __init__(self, behaviour: Behaviour) -> None:
        self.asked = 0
        self.port = 0
        self._behaviour = behaviour
        self._tasks: set[asyncio.Task[None] | None] = set()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection."""
        self._tasks.add(asyncio.current_task())
        try:
            while await read_request(reader):
                self.asked += 1
                await self._behaviour(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass  # the gateway had enough
        finally:
            writer.transport.abort()
            self._tasks.discard(asyncio.current_task())

    async def stop(self) -> None:
        """Wait until the gateway has left all of its connections."""
        await until(lambda: not self._tasks)


async def read_request(reader: asyncio.StreamReader) -> bytes:
    """The body of the next request; empty when there is none."""
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError:
        return b""
    length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
    return await reader.readexactly(length)


@asynccontextmanager
async def storm(
    behaviour: Behaviour,
    *,
    policy: RoutePolicy | None = None,
    limits: Limits | None = None,
    host: str = "127.0.0.1",
    on_leave: str = "cancel",
    breaker: BreakerPolicy = PATIENT,
    timeouts: Timeouts = QUICK,
) -> AsyncIterator[tuple[InProcessGateway, RawUpstream]]:
    """A gateway before such an upstream; nothing is left of it afterwards."""
    upstream = RawUpstream(behaviour)
    server = await asyncio.start_server(upstream.serve, "127.0.0.1", 0, backlog=1024)
    port = server.sockets[0].getsockname()[1]
    try:
        with closing(HttpClient(timeouts)) as client:
            profile = replace(openai_profile("openai"), between_bytes_s=QUICK.between_bytes_s)
            provider = PassthroughProvider(client, profile, NoCredential())
            origin = Origin(host, port, tls=False, base_path="/v1")
            async with open_gateway_over(
                provider, origin=origin, policy=policy, limits=limits
            ) as gateway:
                [offer] = gateway.catalogue.ready[A_MODEL]
                gateway.catalogue.ready[A_MODEL] = [changed(offer, on_leave=on_leave)]
                gateway.context.router.health.use(breaker)
                yield gateway, upstream
                await gateway.alone()
                assert gateway.failures == []
    finally:
        server.close()
        await upstream.stop()
        await server.wait_closed()
    check_no_task_is_left()


async def call_many(gateway: InProcessGateway, calls: int = CALLS) -> list[tuple[int, bool, bool]]:
    """Make calls, streams and others by turns: the status, wholeness and success of each answer."""

    async def one(number: int) -> tuple[int, bool, bool]:
        body = STREAM if number % 2 else WHOLE
        answer = await gateway.chat(body)
        said_well = b"[DONE]" in answer.body if number % 2 else answer.status == 200
        return answer.status, answer.whole, said_well

    return await asyncio.gather(*[one(number) for number in range(calls)])


# --- upstreams that break


def sends(data: bytes, *, then: str = "close") -> Behaviour:
    """Sends `data`, and then closes, resets, half-closes, hangs or keeps the connection."""

    async def behave(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(data)
        await writer.drain()
        match then:
            case "reset":
                line = writer.get_extra_info("socket")
                line.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
                writer.transport.abort()
            case "half-close":
                writer.write_eof()
                await reader.read()
            case "hang":
                await reader.read()
            case "close":
                writer.close()

    return behave


BROKEN = {
    "closed at once": sends(b""),
    "reset at once": sends(b"", then="reset"),
    "half a head": sends(b"HTTP/1.1 200 OK\r\ncontent-ty", then="reset"),
    "closed mid-stream": sends(BEGUN),
    "reset mid-stream": sends(BEGUN, then="reset"),
    "half-closed mid-stream": sends(BEGUN, then="half-close"),
    "half-closed mid-chunk": sends(BEGUN + b"40\r\ndata: {", then="half-close"),
    "ended in order without the end": sends(BEGUN + b"0\r\n\r\n"),
    "no chunk": sends(BEGUN + b"zz\r\ndata: [DONE]\n\n\r\n0\r\n\r\n"),
    "a chunk of a monstrous size": sends(BEGUN + b"ffffffffffffffffff\r\ndata", then="hang"),
    "a chunk longer than it says": sends(BEGUN + b"3\r\ndata: [DONE]\n\n\r\n0\r\n\r\n"),
    "no JSON": sends(BEGUN + chunk(b"data: {{{\n\n") + DONE),
    "binary events": sends(BEGUN + chunk(b"data: " + bytes(range(128, 256)) + b"\n\n") + DONE),
    "nested too deep": sends(BEGUN + chunk(b"data: " + b"[" * 5000 + b"\n\n") + DONE),
    "binary": sends(bytes(range(256)) * 16),
    "another protocol": sends(b"SSH-2.0-OpenSSH_9.6\r\n", then="hang"),
    "HTTP/2": sends(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
    "less body than it says": sends(JSON % (len(BODY) + 10) + BODY, then="half-close"),
    "not what was asked for": sends(
        b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello", then="keep"
    ),
    "hangs before the head": sends(b"", then="hang"),
    "hangs in the head": sends(b"HTTP/1.1 200 OK\r\ncontent-", then="hang"),
    "hangs after the head": sends(EVENTS, then="hang"),
    "hangs mid-stream": sends(BEGUN, then="hang"),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", BROKEN)
def test_upstreams_that_break(run: Run, name: str) -> None:
    """Nobody is told that such an answer is whole, and every call is a failed one with its legs."""

    async def main() -> None:
        async with storm(BROKEN[name]) as (gateway, upstream):
            answers = await call_many(gateway)
            assert not any(said_well for _, _, said_well in answers)
            assert all(whole for _, whole, _ in answers), "what broke off was told in words"
            usages = await gateway.usages()
            assert len(usages) == CALLS
            assert {usage.outcome for usage in usages} == {Outcome.FAILED}
            assert {usage.tokens for usage in usages} == {Tokens()}, "nobody is charged"
            legs = [leg for usage in usages for leg in usage.legs]
            assert {leg.outcome for leg in legs} == {Outcome.FAILED}
            assert {leg.confidence for leg in legs} == {Confidence.ESTIMATED}
            again = sum(len(usage.legs) > 1 for usage in usages)  # over a kept connection it closed
            assert upstream.asked <= len(legs) == CALLS + again
            if name.startswith("hangs"):
                assert all(leg.tokens.input for leg in legs), "it may be at work still"

    with no_file_is_left():
        run(main())


async def trickle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Never silent for long, and never done."""
    writer.write(EVENTS)
    while not writer.is_closing():
        writer.write(word("and"))
        await writer.drain()
        await asyncio.sleep(0.02)


@pytest.mark.slow
def test_an_upstream_that_never_ends(run: Run) -> None:
    """A limit for the whole answer ends what no silence would."""

    async def main() -> None:
        timeouts = Timeouts(first_byte_s=1.0, answer_s=0.3)
        async with storm(trickle, timeouts=timeouts) as (gateway, _):
            answer = await gateway.chat(STREAM)
            assert b"upstream_failed" in answer.body
            [usage] = await gateway.usages()
            [leg] = usage.legs
            assert (usage.outcome, leg.outcome) == (Outcome.FAILED, Outcome.FAILED)
            assert leg.confidence is Confidence.ESTIMATED
            assert 3 < leg.tokens.output < 20

    run(main())


def test_a_host_that_has_no_address(run: Run) -> None:
    """A name that does not resolve costs nothing and is told as 502."""

    async def main() -> None:
        async with storm(sends(b""), host="no-such-host.invalid") as (gateway, upstream):
            answers = await call_many(gateway, calls=8)
            assert {status for status, _, _ in answers} == {502}
            legs = [leg for usage in await gateway.usages() for leg in usage.legs]
            assert len(legs) == 8
            assert {(leg.tokens, leg.confidence) for leg in legs} == {
                (Tokens(), Confidence.COUNTED)
            }
            assert upstream.asked == 0

    with no_file_is_left():
        run(main())


def test_an_upstream_at_its_limit(run: Run) -> None:
    """A storm of 429 is passed on with its wait, each try a leg, and no try comes before its time."""
    busy = (
        b"HTTP/1.1 429 Too Many Requests\r\nretry-after: 30\r\ncontent-type: application/json\r\n"
        b"content-length: 2\r\n\r\n{}"
    )

    async def main() -> None:
        policy = RoutePolicy(strategy=Strategy.FALLBACK, tries_per_offer=2, backoff_ms=1.0)
        async with storm(sends(busy, then="keep"), policy=policy) as (gateway, upstream):

            async def one() -> tuple[int, str]:
                answer = await gateway.chat(WHOLE)
                return answer.status, answer.headers.get("retry-after", "")

            first = await asyncio.gather(*[one() for _ in range(CALLS)])
            assert set(first) <= {(429, "30"), (503, "30")}
            usages = await gateway.usages()
            assert len(usages) == CALLS
            assert {usage.outcome for usage in usages} <= {Outcome.FAILED, Outcome.REFUSED}
            legs = [leg for usage in usages for leg in usage.legs]
            assert {leg.status for leg in legs} == {429}
            assert upstream.asked == len(legs) <= CALLS, "nobody asks again so soon"

    with no_file_is_left():
        run(main())


def test_storms_leave_the_gateway_well(run: Run) -> None:
    """After a storm the next good answer is a good answer."""

    async def by_turns(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        good = EVENTS + word("Hello") + DONE
        behaviours = [*BROKEN.values(), sends(good, then="keep")]
        behaviour = behaviours[turn.pop() % len(behaviours)] if turn else behaviours[-1]
        await behaviour(reader, writer)

    turn: list[int] = list(range(3 * len(BROKEN)))

    async def main() -> None:
        async with storm(by_turns, breaker=BreakerPolicy(cool_down_s=0.01)) as (gateway, _):
            calls = 3 * len(BROKEN)
            await asyncio.gather(*[gateway.chat(STREAM) for _ in range(calls)])
            turn.clear()
            [offer] = gateway.catalogue.ready[A_MODEL]
            await until(lambda: gateway.context.router.health.passes(offer))
            answer = await gateway.chat(STREAM)
            assert b"[DONE]" in answer.body
            usages = await gateway.usages()
            assert len(usages) == calls + 1
            assert usages[-1].tokens == Tokens(5, 3)

    with no_file_is_left():
        run(main())


# --- clients that are slow or odd


def endless(n_bytes: int, written: list[int]) -> Behaviour:
    """Streams `n_bytes` as fast as they are taken; `written` has what each stream has got rid of."""
    piece = word("x" * 16_000)

    async def behave(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        number = len(written)
        written.append(0)
        writer.write(EVENTS)
        while written[number] < n_bytes:
            writer.write(piece)
            await writer.drain()
            written[number] += len(piece)
        writer.write(DONE)
        await writer.drain()

    return behave


async def deaf_client(
    gateway: InProcessGateway,
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """A client that asks for a stream and reads nothing of it."""
    line = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    line.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 64 * 1024)
    line.setblocking(False)
    await asyncio.get_running_loop().sock_connect(line, ("127.0.0.1", gateway.port))
    reader, writer = await asyncio.open_connection(sock=line)
    writer.write(gateway.request("POST", CHAT, msgspec.json.encode(STREAM)))
    writer.transport.pause_reading()  # type: ignore[attr-defined]
    return reader, writer


async def settled(written: list[int], streams: int) -> None:
    """Wait until nothing more is taken of any stream."""
    await until(lambda: len(written) == streams)
    before = -1
    while before != sum(written):
        before = sum(written)
        await asyncio.sleep(0.1)


def memory_bytes() -> int:
    """Bytes of memory that this process has."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize()


@pytest.mark.slow
def test_clients_that_do_not_read(run: Run) -> None:
    """The upstream of a client that does not read is not read either; what is kept meanwhile is little."""
    clients, size = 12, 96 * MB  # much more than the kernel takes for two connections

    async def main() -> None:
        written: list[int] = []
        async with storm(endless(size, written)) as (gateway, _):
            before = memory_bytes()
            lines = [await deaf_client(gateway) for _ in range(clients)]
            await settled(written, clients)
            assert max(written) < size // 2, "the upstream was held back"
            assert memory_bytes() - before < clients * 2 * MB
            for _, writer in lines:
                writer.close()
            await gateway.alone()
            usages = await gateway.usages()
            assert [usage.outcome for usage in usages] == [Outcome.CANCELLED] * clients

    with no_file_is_left():
        run(main())


@pytest.mark.slow
def test_a_slow_client_is_dropped_and_its_answer_drained(run: Run) -> None:
    """A client that reads nothing for too long is dropped; the answer is read on, as that stops no bill."""

    async def main() -> None:
        written: list[int] = []
        limits = Limits(write_timeout_s=0.2)
        async with storm(endless(24 * MB, written), limits=limits, on_leave="drain") as (
            gateway,
            _,
        ):
            gateway.context.drains.limits = DrainLimits(n_bytes=64 * MB)
            _, writer = await deaf_client(gateway)
            await gateway.alone()
            assert written[0] >= 24 * MB
            [usage] = await gateway.usages()
            assert (usage.outcome, usage.tokens) == (Outcome.CANCELLED, Tokens(5, 3))
            assert usage.legs[0].ended_by == "drain"
            writer.close()

    run(main())


GOOD = sends(EVENTS + word("Hello") + DONE, then="keep")


@pytest.mark.slow
def test_clients_that_write_byte_by_byte(run: Run) -> None:
    """A request that comes one byte at a time is a request."""

    async def main() -> None:
        async with storm(GOOD) as (gateway, _):

            async def one() -> bytes:
                reader, writer = await gateway.connect()
                for byte in gateway.request("POST", CHAT, msgspec.json.encode(STREAM)):
                    writer.write(bytes([byte]))
                    await asyncio.sleep(0)
                data = await reader.read()
                writer.close()
                return data

            answers = await asyncio.gather(*[one() for _ in range(CALLS)])
            assert all(parse_answer(data).whole for data in answers)
            assert len(await gateway.usages()) == CALLS

    with no_file_is_left():
        run(main())


@pytest.mark.slow
def test_clients_that_stop_amid_their_request(run: Run) -> None:
    """Half a request is dropped in time, and is no call."""

    async def main() -> None:
        async with storm(GOOD, limits=Limits(request_timeout_s=0.1)) as (gateway, upstream):
            request = gateway.request("POST", CHAT, msgspec.json.encode(STREAM))
            lines = [await gateway.connect() for _ in range(CALLS)]
            for number, (_, writer) in enumerate(lines):
                writer.write(request[: 1 + number * (len(request) - 1) // CALLS])
            await gateway.alone()
            for _, writer in lines:
                writer.close()
            assert await gateway.usages() == []
            assert upstream.asked == 0

    with no_file_is_left():
        run(main())


def test_clients_that_close_their_sending_half(run: Run) -> None:
    """Clients that close their sending half have left: their calls are cancelled, each once."""

    async def main() -> None:
        async with storm(sends(BEGUN, then="hang")) as (gateway, _):

            async def one() -> None:
                reader, writer = await gateway.connect()
                writer.write(gateway.request("POST", CHAT, msgspec.json.encode(STREAM)))
                await reader.readuntil(b"there")
                writer.write_eof()
                assert b"[DONE]" not in await reader.read()
                writer.close()

            await asyncio.gather(*[one() for _ in range(CALLS)])
            usages = await gateway.usages()
            assert [usage.outcome for usage in usages] == [Outcome.CANCELLED] * CALLS
            assert {usage.legs[0].ended_by for usage in usages} == {"cancel"}

    with no_file_is_left():
        run(main())
