"""The official `openai` client works unmodified, sync and async."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import openai
import pytest
from openai import AsyncOpenAI, OpenAI
from openai.types.chat import ChatCompletionMessageParam

from inferworks.cloud.providers.stub import Script, StubProvider
from inferworks.http.server import Limits
from inferworks.meter.usage import Outcome, Tokens
from inferworks.testing.in_process_gateway import InProcessGateway, open_gateway, open_gateway_over
from inferworks.testing.providers import A_MODEL
from inferworks.testing.upstream import Answer, Fault

pytestmark = pytest.mark.slow

Run = Callable[[Coroutine[Any, Any, None]], None]
MESSAGES: list[ChatCompletionMessageParam] = [{"role": "user", "content": "Say hello."}]


def client_of(gateway: InProcessGateway, secret: str | None = None) -> AsyncOpenAI:
    """A client as anybody would make it, but that it does not try again."""
    return AsyncOpenAI(base_url=gateway.url, api_key=secret or gateway.secret, max_retries=0)


def test_a_whole_answer(run: Run) -> None:
    """A completion with every common parameter is parsed by the client's own types."""

    async def main() -> None:
        async with (
            open_gateway(Answer(cached_tokens=3)) as (gateway, _),
            client_of(gateway) as client,
        ):
            got = await client.chat.completions.create(
                model=A_MODEL, messages=MESSAGES, stop=["END"], max_tokens=2, temperature=0.5,
                top_p=0.9, seed=7, n=2, user="u",
            )  # fmt: skip
            assert [choice.message.content for choice in got.choices] == ["Hello there"] * 2
            assert [choice.finish_reason for choice in got.choices] == ["length"] * 2
            assert got.usage is not None
            assert (got.usage.prompt_tokens, got.usage.completion_tokens) == (5, 4)
            (usage,) = await gateway.usages()
            assert usage.tokens == Tokens(5, 4, cache_read=3)

    run(main())


@pytest.mark.parametrize("asking", [False, True])
def test_a_stream(run: Run, asking: bool) -> None:
    """A stream comes as chunks; usage comes in the last one to those who asked."""

    async def main() -> None:
        async with open_gateway() as (gateway, _), client_of(gateway) as client:
            stream = await client.chat.completions.create(
                model=A_MODEL, messages=MESSAGES, stream=True, max_completion_tokens=2,
                stream_options={"include_usage": True} if asking else openai.omit,
            )  # fmt: skip
            chunks = [chunk async for chunk in stream]
            texts = [chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices]
            assert "".join(texts) == "Hello there"
            totals = [chunk.usage.total_tokens for chunk in chunks if chunk.usage]
            assert totals == ([7] if asking else [])

    run(main())


def test_the_synchronous_client(run: Run) -> None:
    """The client without asyncio, on a kept connection, whole and streamed."""

    def work(gateway: InProcessGateway) -> list[str | None]:
        with OpenAI(base_url=gateway.url, api_key=gateway.secret, max_retries=0) as client:
            create = client.chat.completions.create
            whole = create(model=A_MODEL, messages=MESSAGES)
            stream = create(model=A_MODEL, messages=MESSAGES, stream=True)
            text = "".join(chunk.choices[0].delta.content or "" for chunk in stream)
            return [whole.choices[0].message.content, text, client.models.list().data[0].id]

    async def main() -> None:
        async with open_gateway() as (gateway, _):
            answers = await asyncio.to_thread(work, gateway)
            assert answers == ["Hello there.", "Hello there.", A_MODEL]

    run(main())


def test_models(run: Run) -> None:
    """Models are listed and found, also one whose name holds a slash."""

    async def main() -> None:
        async with open_gateway_over(StubProvider()) as gateway, client_of(gateway) as client:
            slashed = "acme/large v2"
            gateway.catalogue.ready[slashed] = ()  # type: ignore[index]
            models = await client.models.list()
            assert [model.id for model in models.data] == [A_MODEL, slashed]
            for name in (A_MODEL, slashed):
                assert (await client.models.retrieve(name)).id == name
            with pytest.raises(openai.NotFoundError) as caught:
                await client.models.retrieve("nothing")
            assert caught.value.code == "model_not_found"

    run(main())


def test_errors_are_the_clients_own(run: Run) -> None:
    """Each refusal becomes the exception that the client has for it, with code and parameter."""

    async def main() -> None:
        limits = Limits(body_bytes=10_000)
        async with (
            open_gateway_over(StubProvider(), limits=limits) as gateway,
            client_of(gateway) as client,
        ):
            create = client.chat.completions.create
            with pytest.raises(openai.BadRequestError) as bad:
                await create(model=A_MODEL, messages=MESSAGES, temperature=3)
            assert (bad.value.param, bad.value.code) == ("temperature", "decimal_above_max_value")
            with pytest.raises(openai.NotFoundError) as missing:
                await create(model="gpt-5", messages=MESSAGES)
            assert missing.value.code == "model_not_found"
            with pytest.raises(openai.APIStatusError) as large:
                await create(model=A_MODEL, messages=MESSAGES, user="x" * 20_000)
            assert large.value.status_code == 413
            headers = {"x-inferworks-purpose": "evaluate"}
            with pytest.raises(openai.PermissionDeniedError):
                await create(model=A_MODEL, messages=MESSAGES, extra_headers=headers)
            async with client_of(gateway, "iw_wrong") as stranger:
                with pytest.raises(openai.AuthenticationError) as unknown:
                    await stranger.models.list()
            assert unknown.value.code == "invalid_api_key"

    run(main())


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (Answer(status=503), openai.InternalServerError),
        (Answer(status=429), openai.RateLimitError),
        (Answer(status=400), openai.BadRequestError),
        (Answer(fault=Fault.RESET), openai.InternalServerError),
    ],
)
def test_upstream_failures(run: Run, answer: Answer, error: type[Exception]) -> None:
    """Failures of an upstream become the exception that fits the caller's side of them."""

    async def main() -> None:
        async with open_gateway(answer) as (gateway, _), client_of(gateway) as client:
            with pytest.raises(error):
                await client.chat.completions.create(model=A_MODEL, messages=MESSAGES, stream=True)

    run(main())


def test_a_stream_that_breaks_off_raises(run: Run) -> None:
    """A client cannot take half an answer for a whole one."""

    async def main() -> None:
        answer = Answer(fault=Fault.RESET, fault_after=2)
        async with open_gateway(answer) as (gateway, _), client_of(gateway) as client:
            stream = await client.chat.completions.create(
                model=A_MODEL, messages=MESSAGES, stream=True
            )
            with pytest.raises(openai.APIError, match="ended its answer early"):
                _ = [chunk async for chunk in stream]

    run(main())


def test_closing_a_stream_early(run: Run) -> None:
    """Closing the client's stream cancels the call and tells the upstream."""

    async def main() -> None:
        provider = StubProvider([Script(words=("a",) * 500, token_s=0.01)])
        async with open_gateway_over(provider) as gateway, client_of(gateway) as client:
            stream = await client.chat.completions.create(
                model=A_MODEL, messages=MESSAGES, stream=True
            )
            async for _ in stream:
                break
            await stream.close()
            while not await gateway.usages():
                await asyncio.sleep(0.005)
            (usage,) = await gateway.usages()
            assert usage.outcome is Outcome.CANCELLED
            assert 1 <= usage.tokens.output < 50
            assert provider.left_early == 1

    run(main())


def test_a_client_that_tries_again(run: Run) -> None:
    """The client's own retries are calls of their own: each has its Usage."""

    async def main() -> None:
        async with open_gateway(Answer(status=503), Answer()) as (gateway, _):
            async with AsyncOpenAI(base_url=gateway.url, api_key=gateway.secret) as client:
                await client.chat.completions.create(model=A_MODEL, messages=MESSAGES)
            outcomes = [usage.outcome for usage in await gateway.usages()]
            assert outcomes == [Outcome.FAILED, Outcome.ANSWERED]

    run(main())
