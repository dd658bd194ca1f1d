"""Engines are found on their ports, told apart where they can be, and written down to be served."""

from __future__ import annotations

import asyncio
import datetime as dt
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec

from inferworks.catalog.providers import ProviderRow, provider_catalog
from inferworks.cli.config_text import upstreams_toml
from inferworks.config import load
from inferworks.http.server import Exchange, HttpServer
from inferworks.wiring.discover import Found, discover, unknown_to

ROWS = {row.id: row for row in provider_catalog().rows(dt.date.max)}


@asynccontextmanager
async def engine(path: str, body: bytes) -> AsyncIterator[int]:
    """The port of a server that answers `body` at `path`."""

    async def handle(exchange: Exchange) -> None:
        found = exchange.path == path and exchange.method == "GET"
        await exchange.respond(200 if found else 404, body if found else b"{}")

    server = HttpServer(handle)
    port = await server.start("127.0.0.1", 0)
    try:
        yield port
    finally:
        await server.stop(drain_s=0.0)


def at(provider: str, port: int) -> ProviderRow:
    """The row of `provider`, as if this were its usual port."""
    return msgspec.structs.replace(ROWS[provider], ports=(port,))


def listing(*models: str, owner: str = "") -> bytes:
    """A list of models as OpenAI writes it."""
    return msgspec.json.encode({"data": [{"id": model, "owned_by": owner} for model in models]})


def test_engines_are_found_and_told_apart() -> None:
    """An engine that answers well is found; one that does not, or is another program, is passed over."""

    async def run() -> None:
        async with (
            engine("/v1/models", listing("qwen", "qwen", owner="vllm")) as first,
            engine("/v1/models", b"<html>hello</html>") as second,
            engine("/v1/models", listing()) as third,
        ):
            rows = [at("tensorrt-llm", first), at("vllm", first), at("ollama", second)]
            rows += [at("lm-studio", third), at("sglang", 1), ROWS["openai"]]
            (found,) = await discover(rows)
            assert found == Found("vllm", f"http://127.0.0.1:{first}/v1", ("qwen",))
            assert await discover(rows, skip=[first]) == []

    asyncio.run(run())


def test_what_is_found_can_be_pasted(tmp_path: Path) -> None:
    """The TOML reads back as the upstream, and an address that is configured is not offered twice."""
    found = Found("llama-cpp", "http://127.0.0.1:8080/v1", ("a", "b"))
    path = tmp_path / "inferworks.toml"
    path.write_text(upstreams_toml([found.upstream]))
    (upstream,) = load(path, {}).upstream
    assert upstream == found.upstream
    assert (upstream.name, upstream.provider) == ("llama-cpp-8080", "llama-cpp")
    assert unknown_to([upstream], [found]) == []
    assert unknown_to([], [found]) == [upstream]
    elsewhere = msgspec.structs.replace(upstream, url="http://10.0.0.7:8080/v1")
    assert unknown_to([elsewhere], [found]) == [upstream]
