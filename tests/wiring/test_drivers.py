"""Answers are read by the row that says how their provider counts."""

from __future__ import annotations

import asyncio
import datetime as dt
from contextlib import closing

import msgspec
import pytest

from inferworks.catalog.providers import provider_catalog
from inferworks.config import Upstream
from inferworks.http.client import HttpClient
from inferworks.http.server import Exchange, HttpServer
from inferworks.meter.usage import Tokens
from inferworks.testing.providers import make_call, make_offer
from inferworks.wiring.drivers import open_provider
from inferworks.wiring.upstreams import account_of

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
                told = reply.first.told
        await server.stop(drain_s=0.0)
        assert told is not None
        assert (told.cost_pico, told.currency) == (cost_pico, "USD")
        assert told.tokens == Tokens(10, 105, reasoning=100)

    asyncio.run(run())
