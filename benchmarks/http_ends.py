"""CPU time of one call through `inferworks.http`: a server that asks an upstream and answers.

    python benchmarks/http_ends.py [--calls 40000]

A child process is the gateway under test. This process is its clients (32 connections, one request at a
time each) and its upstream (a constant answer of 0.5 kB). The child's CPU time over the calls it served is
what is printed, so other load on the machine hardly shows. `bare` is the floor: the same work in the
fewest lines of `asyncio.Protocol`, with no limits, deadlines, refusals, cancellation or back-pressure.
Both decode request and answer with msgspec, and forward the answer's bytes.
"""

from __future__ import annotations

import argparse
import asyncio
import subprocess
import sys
import time
from collections import deque

import httptools
import msgspec
import uvloop

from inferworks.http.client import HttpClient, Origin
from inferworks.http.server import Exchange, HttpServer

CLIENTS = 32
QUESTION = msgspec.json.encode({"model": "m", "messages": [{"role": "user", "content": "hi" * 40}]})
ANSWER = msgspec.json.encode({"id": "x", "choices": [{"message": {"content": "word " * 85}}]})
REQUEST = (
    b"POST /v1/chat/completions HTTP/1.1\r\nhost: 127.0.0.1\r\nauthorization: Bearer iw_x\r\n"
    b"content-type: application/json\r\ncontent-length: %d\r\n\r\n%b" % (len(QUESTION), QUESTION)
)
RESPONSE = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%b" % (
    len(ANSWER),
    ANSWER,
)


class Question(msgspec.Struct):
    """Part of a request that a gateway reads."""

    model: str


class Answer(msgspec.Struct):
    """Part of an answer that a gateway reads."""

    id: str


read_question = msgspec.json.Decoder(Question).decode
read_answer = msgspec.json.Decoder(Answer).decode


# --- the two gateways


async def ours(upstream: str) -> int:
    """A gateway on `inferworks.http`."""
    client, origin = HttpClient(), Origin.parse(upstream)
    headers = ((b"content-type", b"application/json"),)

    async def forward(exchange: Exchange) -> None:
        read_question(exchange.body)
        async with client.stream("POST", origin, "/chat", headers, exchange.body) as response:
            body = await response.read(10.0, 1_000_000)
        read_answer(body)
        await exchange.respond(200, body)

    return await HttpServer(forward).start("127.0.0.1", 0)


class BareUpstream(asyncio.Protocol):
    """The floor's end towards the upstream."""

    def __init__(self, pool: deque[BareUpstream]) -> None:
        self.pool = pool
        self.parser = httptools.HttpResponseParser(self)

    def connection_made(self, transport) -> None:
        """Remember where to write."""
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        """Parse."""
        self.parser.feed_data(data)

    def on_body(self, body: bytes) -> None:
        """The answers fit one piece."""
        self.body = body

    def on_message_complete(self) -> None:
        """Hand the answer to its waiter."""
        self.pool.append(self)
        self.client.answer(self.body)


class BareServer(asyncio.Protocol):
    """The floor's end towards the client."""

    def __init__(self, pool: deque[BareUpstream], port: int) -> None:
        self.pool, self.port = pool, port
        self.parser = httptools.HttpRequestParser(self)

    def connection_made(self, transport) -> None:
        """Remember where to write."""
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        """Parse."""
        self.parser.feed_data(data)

    def on_header(self, name: bytes, value: bytes) -> None:
        """A gateway has to look at the headers."""

    def on_body(self, body: bytes) -> None:
        """The requests fit one piece."""
        self.body = body

    def on_message_complete(self) -> None:
        """Ask over a free connection, or make one."""
        read_question(self.body)
        if self.pool:
            self.ask(self.pool.popleft())
        else:
            self.connecting = asyncio.ensure_future(self.connect())

    async def connect(self) -> None:
        """Ask over a new connection."""
        loop = asyncio.get_running_loop()
        self.ask(
            (await loop.create_connection(lambda: BareUpstream(self.pool), "127.0.0.1", self.port))[
                1
            ]
        )

    def ask(self, upstream: BareUpstream) -> None:
        """Send the request on."""
        upstream.client = self
        upstream.transport.write(
            b"POST /v1/chat HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/json\r\n"
            b"content-length: %d\r\n\r\n%b" % (len(self.body), self.body)
        )

    def answer(self, body: bytes) -> None:
        """Send the answer back."""
        read_answer(body)
        self.transport.write(
            b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%b"
            % (len(body), body)
        )


async def bare(upstream: str) -> int:
    """The floor."""
    pool: deque[BareUpstream] = deque()
    port = Origin.parse(upstream).port
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: BareServer(pool, port), "127.0.0.1", 0)
    return server.sockets[0].getsockname()[1]


async def gateway(kind: str, upstream: str) -> None:
    """Run a gateway; for each line on standard input, print the CPU time used so far."""
    port = await (ours if kind == "ours" else bare)(upstream)
    print(port, flush=True)
    loop = asyncio.get_running_loop()
    while await loop.run_in_executor(None, sys.stdin.readline):
        print(time.process_time_ns(), flush=True)


# --- clients and upstream


class Upstream(asyncio.Protocol):
    """Answers each segment, which is one request, with the constant answer."""

    def connection_made(self, transport) -> None:
        """Remember where to write."""
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        """Answer."""
        self.transport.write(RESPONSE)


class Client(asyncio.Protocol):
    """Client that sends a request, waits for the answer, and sends the next while there are any left."""

    def __init__(self, left: list[int], done: asyncio.Event) -> None:
        self.left, self.done = left, done

    def connection_made(self, transport) -> None:
        """Begin."""
        self.transport = transport
        transport.write(REQUEST)

    def data_received(self, data: bytes) -> None:
        """An answer ends with the constant body."""
        if not data.endswith(ANSWER[-20:]):
            return
        self.left[0] -= 1
        if self.left[0] >= CLIENTS:
            self.transport.write(REQUEST)
        elif self.left[0] == 0:
            self.done.set()


async def load(port: int, calls: int) -> None:
    """Send `calls` requests over `CLIENTS` connections."""
    left, done = [calls], asyncio.Event()
    loop = asyncio.get_running_loop()
    ends = [
        (await loop.create_connection(lambda: Client(left, done), "127.0.0.1", port))[0]
        for _ in range(CLIENTS)
    ]
    await done.wait()
    for end in ends:
        end.close()


async def measure(kind: str, calls: int) -> float:
    """CPU microseconds of the gateway per call."""
    loop = asyncio.get_running_loop()
    server = await loop.create_server(Upstream, "127.0.0.1", 0)
    address = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"
    command = [sys.executable, __file__, "--gateway", kind, "--upstream", address]
    with subprocess.Popen(  # noqa: ASYNC220 (nothing else runs while it starts)
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as child:
        assert child.stdin
        assert child.stdout
        port = int(child.stdout.readline())
        await load(port, 2000)  # warm
        readings = []
        for number in (0, calls):
            if number:
                await load(port, number)
            child.stdin.write("\n")
            child.stdin.flush()
            readings.append(int(child.stdout.readline()))
        child.terminate()
    server.close()
    return (readings[1] - readings[0]) / calls / 1000


def main() -> None:
    """Measure both three times, in turns, and print every figure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--calls", type=int, default=40_000)
    parser.add_argument("--gateway", choices=["ours", "bare"], help=argparse.SUPPRESS)
    parser.add_argument("--upstream", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.gateway:
        uvloop.run(gateway(arguments.gateway, arguments.upstream))
        return
    for kind in ("bare", "ours") * 3:
        print(f"{kind}: {uvloop.run(measure(kind, arguments.calls)):.1f} us of CPU per call")


if __name__ == "__main__":
    main()
