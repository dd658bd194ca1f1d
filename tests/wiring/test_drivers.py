"""Answers are read by the row that says how their provider counts."""

from __future__ import annotations

import asyncio
import datetime as dt
from contextlib import closing

import msgspec
import pytest

from inferworks.catalog.providers import ProviderRow, provider_catalog
from inferworks.config import Upstream
from inferworks.errors import ConfigError
from inferworks.http.client import HttpClient
from inferworks.http.server import Exchange, HttpServer
from inferworks.meter.usage import Tokens
from inferworks.testing.providers import make_call, make_offer
from inferworks.wiring.drivers import check_driver, credential_of, open_provider
from inferworks.wiring.upstreams import Account, account_of

USAGE = {
    "prompt_tokens": 10,
    "completion_tokens": 5,
    "total_tokens": 115,
    "completion_tokens_details": {"reasoning_tokens": 100},
    "cost": 0.25,
    "cost_in_usd_ticks": 7,
    "estimated_cost": 0.125,
}


async def _answer(exchange: Exchange) -> None:
    await exchange.respond(200, msgspec.json.encode({"choices": [{}], "usage": USAGE}))


@pytest.mark.parametrize(
    ("provider", "cost_pico"),
    [("openai", None), ("xai", 700), ("openrouter", 25 * 10**10), ("deepinfra", 125 * 10**9)],
)
def test_a_row_says_where_the_cost_stands(provider: str, cost_pico: int | None) -> None:
    """The upstream's own cost is told in picodollars, and its total shows reasoning left out."""
    row = provider_catalog().row(provider, dt.date.max)

    async def run() -> None:
        server = HttpServer(_answer)
        port = await server.start("127.0.0.1", 0)
        upstream = Upstream(name="u", models=("m",), url=f"http://127.0.0.1:{port}/v1")
        account = account_of(upstream, row, {row.key_variable: "key"})
        offer = make_offer(provider="u", origin=account.origin)
        with closing(HttpClient()) as client:
            async with open_provider(client, account).send(offer, make_call(stream=False)) as reply:
                told = reply.first.reported
        await server.stop(drain_s=0.0)
        assert told is not None
        assert (told.cost_pico, told.currency) == (cost_pico, "USD")
        assert told.tokens == Tokens(10, 105, reasoning=100)

    asyncio.run(run())


ROWS = {row.id: row for row in provider_catalog().rows(dt.date(2027, 1, 1))}


def account_at(row: ProviderRow, *, key: str = "env:KEY") -> Account:
    """An account at the provider of `row`, with all that its address may need."""
    upstream = Upstream(
        name="u", models=("m",), provider=row.id, key=key,
        url="" if row.url else "https://up.example/v1",
        region="eu-central-1" if "region" in row.placeholders or row.auth == "aws" else "",
        resource="r" if "resource" in row.placeholders else "",
        project="p" if "project" in row.placeholders else "",
    )  # fmt: skip
    return account_of(upstream, row, {"KEY": "secret-key"})


@pytest.mark.parametrize("row", ROWS.values(), ids=ROWS)
def test_a_provider_serves_all_that_its_row_says(row: ProviderRow) -> None:
    """Each operation of a row has a driver that speaks it; a key is shown to nobody but the upstream."""
    account = account_at(row)
    check_driver(account)
    with closing(HttpClient()) as client:
        provider = open_provider(client, account)
    assert provider.name == "u"
    assert set(row.operations) <= provider.operations
    assert "secret-key" not in repr(provider) + repr(account)


@pytest.mark.parametrize(
    ("provider", "header"),
    [
        ("openai", (b"authorization", b"Bearer secret-key")),
        ("anthropic", (b"x-api-key", b"secret-key")),
        ("azure", (b"api-key", b"secret-key")),
    ],
)
def test_a_key_is_shown_in_the_header_of_its_row(
    provider: str, header: tuple[bytes, bytes]
) -> None:
    """Bearer where the row names none."""
    credential = credential_of(account_at(ROWS[provider]))
    assert asyncio.run(credential.headers("GET", "https://h", [], b"")) == [header]


def test_an_engine_without_a_key_is_asked_without_one() -> None:
    """An engine on this machine mostly wants none."""
    credential = credential_of(account_at(ROWS["vllm"], key=""))
    assert asyncio.run(credential.headers("GET", "https://h", [], b"")) == []


def test_a_driver_that_is_not_there_is_refused() -> None:
    """A row of a later version, say: the upstream, its provider and the drivers are named."""
    row = msgspec.structs.replace(ROWS["openai"], driver="telepathy")
    with pytest.raises(ConfigError) as refused:
        check_driver(account_at(row))
    assert str(refused.value) == (
        "upstream u: provider openai needs the driver telepathy, which is not there yet; there are: "
        "openai, anthropic, azure, bedrock, stability, vertex"
    )
