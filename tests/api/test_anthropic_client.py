"""The official `anthropic` client works unmodified, before upstreams of both dialects."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager, closing
from typing import Any

import anthropic
import pytest
from anthropic import AsyncAnthropic

from inferworks.cloud.credentials.key import NoCredential
from inferworks.cloud.providers.anthropic import ANTHROPIC
from inferworks.cloud.providers.base import Provider
from inferworks.cloud.providers.openai import openai_provider
from inferworks.cloud.providers.passthrough import PassthroughProvider
from inferworks.cloud.serving.translating import TranslatingProvider
from inferworks.cloud.translate.table import TRANSLATIONS
from inferworks.http.client import HttpClient, Origin
from inferworks.meter.usage import Outcome, Tokens
from inferworks.testing.in_process_gateway import InProcessGateway, open_gateway_over
from inferworks.testing.providers import A_MODEL
from inferworks.testing.upstream import open_upstream
from inferworks.testing.upstreams.anthropic import MessageAnswer, open_anthropic

pytestmark = pytest.mark.slow

Run = Callable[[Coroutine[Any, Any, None]], None]
HELLO = [{"role": "user", "content": "Say hello."}]
WEATHER = {
    "name": "get_weather",
    "input_schema": {"type": "object", "properties": {"city": {"type": "string"}}},
}


@asynccontextmanager
async def opened(dialect: str, **answer: Any) -> AsyncIterator[tuple[InProcessGateway, Any]]:
    """A gateway before an upstream of `dialect`, and a client as anybody would make it."""
    asking = open_anthropic(MessageAnswer(**answer)) if dialect == "anthropic" else open_upstream()
    async with asking as upstream:
        with closing(HttpClient()) as http:
            async with open_gateway_over(
                provider_of(dialect, http), origin=origin_of(upstream)
            ) as gateway:
                url = gateway.url.removesuffix("/v1")
                client = AsyncAnthropic(base_url=url, api_key=gateway.secret, max_retries=0)
                async with client:
                    yield gateway, client


def origin_of(upstream: Any) -> Origin:
    """Origin at which an upstream listens."""
    origin: Origin = upstream.origin
    return origin


def provider_of(dialect: str, client: HttpClient) -> Provider:
    """Provider that speaks `dialect`."""
    if dialect == "anthropic":
        return TranslatingProvider(
            PassthroughProvider(client, ANTHROPIC, NoCredential()), TRANSLATIONS
        )
    return TranslatingProvider(openai_provider(client, NoCredential(), name=dialect), TRANSLATIONS)


@pytest.mark.parametrize("dialect", ["anthropic", "openai"])
def test_a_whole_answer(run: Run, dialect: str) -> None:
    """A message with common parameters is parsed by the client's own types."""

    async def main() -> None:
        async with opened(dialect) as (gateway, client):
            got = await client.messages.create(
                model=A_MODEL, max_tokens=2, messages=HELLO, system="Be brief.",
                stop_sequences=["END"], metadata={"user_id": "u"},
            )  # fmt: skip
            assert (got.content[0].text, got.stop_reason) == ("Hello there", "max_tokens")
            assert (got.usage.input_tokens, got.usage.output_tokens) == (5, 2)
            (usage,) = await gateway.usages()
            assert (usage.tokens, usage.end_user) == (Tokens(5, 2), "u")

    run(main())


@pytest.mark.parametrize("dialect", ["anthropic", "openai"])
def test_a_stream(run: Run, dialect: str) -> None:
    """The client's own accumulation of a stream gives the whole message."""

    async def main() -> None:
        async with opened(dialect) as (gateway, client):
            async with client.messages.stream(
                model=A_MODEL, max_tokens=9, messages=HELLO
            ) as stream:
                words = [word async for word in stream.text_stream]
                message = await stream.get_final_message()
            assert words == ["Hello", " there", "."]
            assert (message.content[0].text, message.stop_reason) == ("Hello there.", "end_turn")
            assert (message.usage.input_tokens, message.usage.output_tokens) == (5, 3)
            (usage,) = await gateway.usages()
            assert (usage.outcome, usage.tokens) == (Outcome.ANSWERED, Tokens(5, 3))

    run(main())


def test_a_tool(run: Run) -> None:
    """Thoughts, text and a call of a tool come one after the other."""

    async def main() -> None:
        tool = ("get_weather", '{"city": "Rome"}')
        async with opened("anthropic", thoughts=("Hm",), tool=tool) as (_, client):
            async with client.messages.stream(
                model=A_MODEL, max_tokens=9, messages=HELLO, tools=[WEATHER]
            ) as stream:
                message = await stream.get_final_message()
            assert [block.type for block in message.content] == ["thinking", "text", "tool_use"]
            assert message.content[0].signature == "c2lnbmVk"
            assert message.content[2].input == {"city": "Rome"}

    run(main())


def test_a_count(run: Run) -> None:
    """Tokens are counted."""

    async def main() -> None:
        async with opened("anthropic", input_tokens=14) as (_, client):
            got = await client.messages.count_tokens(model=A_MODEL, messages=HELLO)
            assert got.input_tokens == 14

    run(main())


def test_errors_are_the_clients_own(run: Run) -> None:
    """Each status raises the error that the client has for it."""

    async def main() -> None:
        async with opened("openai") as (gateway, client):
            with pytest.raises(anthropic.NotFoundError):
                await client.messages.create(model="nothing", max_tokens=9, messages=HELLO)
            with pytest.raises(anthropic.BadRequestError, match="cannot be used"):
                await client.messages.count_tokens(model=A_MODEL, messages=HELLO)
            stranger = client.with_options(api_key="iw_wrong")
            with pytest.raises(anthropic.AuthenticationError):
                await stranger.messages.create(model=A_MODEL, max_tokens=9, messages=HELLO)
            assert len(await gateway.usages()) == 2

    run(main())
