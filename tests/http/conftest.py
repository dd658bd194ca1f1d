"""A real server on a real socket, and the certainty that nothing of it is left afterwards."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest
import uvloop

from inferworks.http.client import HttpClient, Origin
from inferworks.http.server import Admission, Admit, Exchange, Handler, HttpServer, Limits, Sweep
from inferworks.supervise import Supervisor

WAIT_S = 5.0
DEFAULT = Limits()


@dataclass
class World:
    """A running server and what its handlers let escape."""

    server: HttpServer
    port: int
    errors: list[BaseException] = field(default_factory=list)

    async def open(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """A bare connection to the server."""
        return await asyncio.open_connection("127.0.0.1", self.port)

    async def ask(self, *pieces: bytes) -> bytes:
        """Answer of the server to `pieces`, sent one segment at a time, until it closes."""
        reader, writer = await self.open()
        for piece in pieces:
            writer.write(piece)
            await asyncio.sleep(0)
        try:
            return await asyncio.wait_for(reader.read(), WAIT_S)
        finally:
            await shut(writer)

    async def alone(self) -> None:
        """Wait until the server has neither connection nor running handler."""
        await until(lambda: not self.server.connections and not self.server.running)


async def shut(writer: asyncio.StreamWriter) -> None:
    """Close a bare connection, whatever the other end did to it."""
    writer.close()
    await asyncio.wait({asyncio.ensure_future(_closed(writer))})


async def _closed(writer: asyncio.StreamWriter) -> None:
    try:
        await writer.wait_closed()
    except OSError:
        return


async def until(condition: Callable[[], bool]) -> None:
    """Wait for `condition`, and fail when it does not come true."""
    async with asyncio.timeout(WAIT_S):
        while not condition():
            await asyncio.sleep(0.002)


async def echo(exchange: Exchange) -> None:
    """Answers with the request: its method, path and body."""
    body = f"{exchange.method} {exchange.path} ".encode() + exchange.body
    await exchange.respond(200, body, b"text/plain")


def admit_all(_: object) -> Admission:
    """Takes every body, for one owner."""
    return Admission()


@asynccontextmanager
async def serving(
    handler: Handler = echo,
    limits: Limits = DEFAULT,
    drain_s: float = 1.0,
    admit: Admit = admit_all,
) -> AsyncIterator[World]:
    """Run a server; when it is left there must be no connection, handler, task or byte of it."""
    errors: list[BaseException] = []
    server = HttpServer(
        handler,
        limits=limits,
        admit=admit,
        on_error=errors.append,
        sweep=Sweep(Supervisor(), every_s=0.02),
    )
    port = await server.start("127.0.0.1", 0)
    try:
        yield World(server, port, errors)
    finally:
        await server.stop(drain_s)
        assert not server.connections
        assert not server.running
        assert server.budget.held_bytes == 0
    await until(lambda: asyncio.all_tasks() == {asyncio.current_task()})


Script = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def upstream(script: Script) -> AsyncIterator[tuple[HttpClient, Origin]]:
    """An upstream that does what `script` says with each connection, and a client for it."""
    client = HttpClient()
    ends: set[asyncio.Task[Any]] = set()

    async def play(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        ends.add(task)
        try:
            await script(reader, writer)
        except ConnectionError:
            return
        finally:
            await shut(writer)

    server = await asyncio.start_server(play, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    try:
        yield client, Origin.parse(f"http://127.0.0.1:{port}/v1")
    finally:
        client.close()
        server.close()
        if ends:
            await asyncio.wait(ends, timeout=WAIT_S)
        await server.wait_closed()
    await until(lambda: asyncio.all_tasks() == {asyncio.current_task()})


def run(main: Coroutine[Any, Any, None]) -> None:
    """Run a test's coroutine on the loop that production runs on."""

    async def limited() -> None:
        async with asyncio.timeout(180.0):
            await main

    uvloop.run(limited())


@dataclass(frozen=True)
class Kit:
    """Helpers that the tests of this folder share; a fixture, since test files do not import each other."""

    run = staticmethod(run)
    serving = staticmethod(serving)
    upstream = staticmethod(upstream)
    until = staticmethod(until)
    shut = staticmethod(shut)
    echo = staticmethod(echo)


@pytest.fixture
def kit() -> Kit:
    """The tools of these tests."""
    return Kit()
