"""A whole gateway before Bedrock: the official clients work unmodified, and every token is on record."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager, closing
from dataclasses import replace
from typing import Any

import pytest
from anthropic import AsyncAnthropic
from openai import AsyncOpenAI
from tests.support.clouds import bedrock_key

from inferworks.cloud.providers.bedrock import BEDROCK
from inferworks.cloud.providers.bedrock_messages import bedrock_messages
from inferworks.cloud.providers.passthrough import PassthroughProvider, Profile
from inferworks.cloud.providers.stub import Script, StubProvider
from inferworks.cloud.serving.translating import TranslatingProvider
from inferworks.cloud.translate.table import TRANSLATIONS
from inferworks.http.client import HttpClient
from inferworks.meter.usage import Confidence, Outcome, Tokens
from inferworks.testing.in_process_gateway import InProcessGateway, open_gateway_over
from inferworks.testing.providers import A_MODEL
from inferworks.testing.upstream import Fault
from inferworks.testing.upstreams.anthropic import MessageAnswer
from inferworks.testing.upstreams.bedrock import ConverseAnswer, open_bedrock
from inferworks.testing.upstreams.bedrock_claude import open_bedrock_claude

pytestmark = pytest.mark.slow

Run = Callable[[Coroutine[Any, Any, None]], None]
ROME = ConverseAnswer(
    words=("I", " look."),
    thoughts=("Hm",),
    tool=("weather", '{"city": "Rome"}'),
    cache_read=7,
    service_tier="priority",
)
ROME_TOKENS = Tokens(input=12, output=4, cache_read=7)
HELLO: Any = [{"role": "user", "content": "The weather in Rome?"}]
SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}}


@asynccontextmanager
async def house_before(
    *answers: ConverseAnswer, more: tuple[Any, ...] = ()
) -> AsyncIterator[InProcessGateway]:
    """A gateway before Bedrock, and the providers `more`."""
    async with open_bedrock(*answers) as upstream:
        with closing(HttpClient()) as client:
            provider = PassthroughProvider(
                client, replace(BEDROCK, between_bytes_s=1.0), bedrock_key()
            )
            translating = TranslatingProvider(provider, TRANSLATIONS)
            async with open_gateway_over(translating, *more, origin=upstream.origin) as gateway:
                yield gateway


async def record(gateway: InProcessGateway) -> Any:
    """The one call on record."""
    (usage,) = await gateway.usages()
    return usage


@pytest.mark.parametrize("stream", [True, False])
def test_openais_client(run: Run, stream: bool) -> None:
    """Text, a call of a tool, its reason and the usage arrive; the record has cache and tier."""

    async def main() -> None:
        async with house_before(ROME) as gateway:
            tools: Any = [
                {"type": "function", "function": {"name": "weather", "parameters": SCHEMA}}
            ]
            async with AsyncOpenAI(
                base_url=gateway.url, api_key=gateway.secret, max_retries=0
            ) as client:
                if stream:
                    asking = client.chat.completions.stream(
                        model=A_MODEL,
                        messages=HELLO,
                        tools=tools,
                        stream_options={"include_usage": True},
                    )
                    async with asking as events:
                        said = await events.get_final_completion()
                else:
                    said = await client.chat.completions.create(
                        model=A_MODEL, messages=HELLO, tools=tools
                    )
            choice = said.choices[0]
            assert choice.finish_reason == "tool_calls"
            assert choice.message.content == "I look."
            (call,) = choice.message.tool_calls or ()
            assert (call.function.name, call.function.arguments.replace(" ", "")) == (
                "weather", '{"city":"Rome"}',
            )  # fmt: skip
            assert said.usage is not None
            assert (said.usage.prompt_tokens, said.usage.completion_tokens) == (12, 4)
            usage = await record(gateway)
            assert (usage.tokens, usage.confidence) == (ROME_TOKENS, Confidence.REPORTED)
            assert usage.legs[0].service_tier == "priority"

    run(main())


@pytest.mark.parametrize("stream", [True, False])
def test_anthropics_client(run: Run, stream: bool) -> None:
    """The same over two translations, for a client that has never heard of Bedrock."""

    async def main() -> None:
        async with house_before(ROME) as gateway:
            url = gateway.url.removesuffix("/v1")
            async with AsyncAnthropic(
                base_url=url, api_key=gateway.secret, max_retries=0
            ) as client:
                asked: Any = {
                    "model": A_MODEL,
                    "max_tokens": 99,
                    "messages": HELLO,
                    "tools": [{"name": "weather", "input_schema": SCHEMA}],
                }
                if stream:
                    async with client.messages.stream(**asked) as events:
                        said = await events.get_final_message()
                else:
                    said = await client.messages.create(**asked)
            assert said.stop_reason == "tool_use"
            assert [block.type for block in said.content] == ["thinking", "text", "tool_use"]
            assert said.content[-1].input == {"city": "Rome"}
            assert (said.usage.input_tokens, said.usage.cache_read_input_tokens) == (5, 7)
            assert (await record(gateway)).tokens == ROME_TOKENS

    run(main())


def test_openais_client_for_responses(run: Run) -> None:
    """Responses become chats, and these Converse."""

    async def main() -> None:
        async with house_before() as gateway:
            async with AsyncOpenAI(
                base_url=gateway.url, api_key=gateway.secret, max_retries=0
            ) as client:
                said = await client.responses.create(model=A_MODEL, input="Say hello.")
            assert said.output_text == "Hello there."
            assert (await record(gateway)).tokens == Tokens(5, 3)

    run(main())


@pytest.mark.parametrize("fault", [Fault.RESET, Fault.ERROR_EVENT, Fault.GARBAGE])
def test_a_stream_that_breaks_is_on_record(run: Run, fault: Fault) -> None:
    """The client's answer is not whole; what was made, of which Bedrock told nothing, is estimated."""

    async def main() -> None:
        answer = ConverseAnswer(words=("one",) * 9, fault=fault, fault_after=5)
        async with house_before(answer) as gateway:
            body = {"model": A_MODEL, "messages": HELLO, "stream": True}
            answered = await gateway.chat(body)
            assert b"one" in answered.body
            assert b"[DONE]" not in answered.body
            usage = await record(gateway)
            assert usage.outcome is Outcome.FAILED
            (leg,) = usage.legs
            assert leg.confidence is Confidence.ESTIMATED
            assert leg.tokens.input > 0
            assert leg.tokens.output > 0

    run(main())


@pytest.mark.parametrize(
    "answer",
    [
        ConverseAnswer(status=429),
        ConverseAnswer(status=424),
        ConverseAnswer(status=403),
        ConverseAnswer(fault=Fault.ERROR_EVENT, exception="throttlingException"),
    ],
)
def test_another_offer_takes_over(run: Run, answer: ConverseAnswer) -> None:
    """Another offer serves a call that Bedrock cannot, even if a stream's first event is what says so."""

    async def main() -> None:
        stub = StubProvider([Script()])
        async with house_before(answer, more=(stub,)) as gateway:
            answered = await gateway.chat({"model": A_MODEL, "messages": HELLO, "stream": True})
            assert (answered.status, answered.whole) == (200, True)
            usage = await record(gateway)
            assert [leg.outcome for leg in usage.legs] == [Outcome.FAILED, Outcome.ANSWERED]

    run(main())


def test_claude_on_bedrock_in_its_own_words(run: Run) -> None:
    """Anthropic's client, its betas and its marks for the cache reach the model as they were written."""

    async def main() -> None:
        answer = MessageAnswer(cache_write_1h=3, cache_read=2)
        async with open_bedrock_claude(answer) as upstream:
            with closing(HttpClient()) as http:
                profile = Profile("bedrock", bedrock_messages())
                provider = PassthroughProvider(http, profile, bedrock_key())
                async with open_gateway_over(provider, origin=upstream.origin) as gateway:
                    await ask_claude(gateway)
                    usage = await record(gateway)
        assert usage.tokens == Tokens(10, 3, cache_read=2, cache_write=3, cache_write_1h=3)
        (body,) = upstream.bodies
        assert body["system"][0]["cache_control"] == {"type": "ephemeral", "ttl": "1h"}
        assert body["anthropic_beta"] == ["extended-cache-ttl-2025-04-11"]

    run(main())


async def ask_claude(gateway: InProcessGateway) -> None:
    """One message with a mark for the cache and a beta."""
    url = gateway.url.removesuffix("/v1")
    mark: Any = {"type": "ephemeral", "ttl": "1h"}
    async with AsyncAnthropic(base_url=url, api_key=gateway.secret, max_retries=0) as client:
        said = await client.messages.create(
            model=A_MODEL,
            max_tokens=9,
            system=[{"type": "text", "text": "Be brief.", "cache_control": mark}],
            messages=HELLO,
            extra_headers={"anthropic-beta": "extended-cache-ttl-2025-04-11"},
        )
        assert said.content[0].type == "text"
