"""Fixtures that the tests of this folder share: a whole platform, in this process, before an upstream."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager, closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import pytest
import uvloop

from inferworks.accounts.customer import Customer
from inferworks.accounts.key import Grant, mint
from inferworks.accounts.pepper import load_pepper
from inferworks.accounts.stores.sqlite import SqliteAccounts
from inferworks.config import Config, Data, Engine, Gateway, Log, Observe, Upstream
from inferworks.folder import DataFolder
from inferworks.http.client import Origin
from inferworks.ids import CustomerId
from inferworks.testing.in_process_gateway import Answered, parse_answer
from inferworks.testing.upstream import Answer, FakeUpstream, open_upstream
from inferworks.wiring import open_platform

A_CUSTOMER = CustomerId("acme")
MODEL = "gpt-5-mini"
ASKED: dict[str, Any] = {"model": MODEL, "messages": [{"role": "user", "content": "hello"}]}


@dataclass
class World:
    """A running platform and what is around it."""

    url: str
    folder: DataFolder
    upstream: FakeUpstream

    def key(self, **flags: bool) -> str:
        """The secret of a new key; a running platform knows it within a second."""
        return new_key(self.folder, **flags)

    async def ask(
        self,
        secret: str,
        path: str = "/v1/chat/completions",
        body: object = None,
        *,
        headers: Mapping[str, str] | None = None,
        at: str = "",
    ) -> Answered:
        """Ask on a connection of its own: POST when there is a body, else GET."""
        origin = Origin.parse(at or self.url)
        reader, writer = await asyncio.open_connection(origin.host, origin.port)
        data = b"" if body is None else msgspec.json.encode(body)
        fields = {"host": "here", "connection": "close", "content-length": str(len(data))}
        if secret:
            fields["authorization"] = f"Bearer {secret}"
        lines = [f"{name}: {value}\r\n" for name, value in {**fields, **(headers or {})}.items()]
        method = "GET" if body is None else "POST"
        writer.write(f"{method} {path} HTTP/1.1\r\n{''.join(lines)}\r\n".encode() + data)
        try:
            return parse_answer(await reader.read())
        finally:
            writer.close()


def new_key(folder: DataFolder, **flags: bool) -> str:
    """The secret of a new key of `A_CUSTOMER`."""
    folder.create()
    with closing(SqliteAccounts(folder.accounts)) as accounts:
        if A_CUSTOMER not in {known.id for known in accounts.customers()}:
            accounts.add_customer(Customer(A_CUSTOMER, 1))
        pepper = load_pepper(accounts, folder.pepper)
        key, secret = mint(A_CUSTOMER, 1, Grant(**flags), pepper=pepper)
        accounts.add_key(key)
    return secret


OpenWorld = Callable[..., AbstractAsyncContextManager[World]]


@pytest.fixture
def open_world(tmp_path: Path) -> OpenWorld:
    """Opens a platform before an upstream that answers as told."""

    @asynccontextmanager
    async def opened(
        *answers: Answer, observe: Observe | None = None, log: Log | None = None, **more: Any
    ) -> AsyncIterator[World]:
        async with open_upstream(*answers) as upstream:
            config = Config(
                gateway=Gateway(port=0),
                data=Data(folder=str(tmp_path / "data")),
                engine=Engine(replicas=0),
                observe=observe or Observe(),
                log=log or Log(),
                upstream=(
                    Upstream(
                        name="fake",
                        url=upstream.origin.url,
                        models=(MODEL,),
                        region="eu-west",
                        **more,
                    ),
                ),
            )
            async with open_platform(config, {}) as platform:
                yield World(platform.url, platform.folder, upstream)

    return opened


Run = Callable[[Coroutine[Any, Any, None]], None]


@pytest.fixture
def run() -> Run:
    """Runs a test's coroutine on the loop that production runs on."""

    async def limited(main: Coroutine[Any, Any, None]) -> None:
        async with asyncio.timeout(180.0):
            await main

    return lambda main: uvloop.run(limited(main))
