"""Anthropic's models on Bedrock in their own words, over real HTTP, signed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager, closing
from typing import Any

import botocore.session
import msgspec
import pytest
from anthropic import AnthropicBedrock
from tests.support.clouds import bedrock_key, stage_bedrock_claude

from inferworks.cloud.call import Call, Chunk
from inferworks.cloud.operation import Operation
from inferworks.cloud.providers.bedrock_messages import bedrock_messages
from inferworks.cloud.providers.passthrough import PassthroughProvider, Profile
from inferworks.cloud.serving.translating import TranslatingProvider
from inferworks.cloud.translate.table import TRANSLATIONS
from inferworks.errors import UpstreamError
from inferworks.http.client import HttpClient
from inferworks.ids import CallId
from inferworks.meter.usage import NO_TOKENS, Tokens
from inferworks.testing.providers import (
    A_MODEL,
    check_provider,
    make_call,
    make_offer,
    told_tokens,
)
from inferworks.testing.upstream import Fault
from inferworks.testing.upstreams.anthropic import MessageAnswer
from inferworks.testing.upstreams.bedrock import KEY, REGION, TOKEN
from inferworks.testing.upstreams.bedrock_claude import FakeBedrockClaude, open_bedrock_claude

pytestmark = pytest.mark.slow

Run = Callable[[Coroutine[Any, Any, None]], None]
MODEL = "eu.anthropic.claude-sonnet-4-5-20250929-v1:0"


def messages_call(
    *, stream: bool = True, operation: Operation = Operation.MESSAGES, **body: Any
) -> Call:
    """A message to Claude."""
    given = {
        "model": "claude",
        "max_tokens": 100,
        "messages": [{"role": "user", "content": "Say hello."}],
        "stream": stream,
        **body,
    }
    data = msgspec.json.encode(given)
    return Call(CallId("call_1"), operation, A_MODEL, stream, wants_usage=True, body=data)


class Line:
    """A provider connected to a fake upstream."""

    def __init__(self, upstream: FakeBedrockClaude, client: HttpClient) -> None:
        self.upstream = upstream
        profile = Profile("bedrock", bedrock_messages(), between_bytes_s=0.2)
        provider = PassthroughProvider(client, profile, bedrock_key())
        self.provider = TranslatingProvider(provider, TRANSLATIONS)
        offer = make_offer(origin=upstream.origin)
        self.offer = msgspec.structs.replace(offer, upstream_model=MODEL)
        self.status = 0

    async def ask(self, call: Call) -> tuple[list[Chunk], UpstreamError | None]:
        """Chunks that came, and the error that broke them off."""
        chunks: list[Chunk] = []
        try:
            async with self.provider.send(self.offer, call) as reply:
                self.status = reply.status
                chunks.append(reply.first)
                async for chunk in reply.rest:
                    chunks.append(chunk)
        except UpstreamError as error:
            return chunks, error
        return chunks, None


@asynccontextmanager
async def line(*answers: MessageAnswer) -> AsyncIterator[Line]:
    """A provider and an upstream that follows `answers`."""
    async with open_bedrock_claude(*answers) as upstream:
        with closing(HttpClient()) as client:
            yield Line(upstream, client)


def data_of(chunks: list[Chunk]) -> bytes:
    """Bytes of an answer that the client sees."""
    return b"".join(chunk.data for chunk in chunks)


def test_it_keeps_the_contract(run: Run) -> None:
    """Every promise of the seam is kept, running counts of a stream among them."""
    run(check_provider(stage_bedrock_claude))


MANNERS = {
    "plainly": MessageAnswer(),
    "byte by byte": MessageAnswer(piece_bytes=1),
    "with thoughts and a tool": MessageAnswer(
        thoughts=("Hm",), thinking_tokens=2, tool=("f", '{"city": "Rome"}')
    ),
    "cached": MessageAnswer(cache_read=7, cache_write_5m=3, cache_write_1h=2),
}


@pytest.mark.parametrize("manner", MANNERS)
@pytest.mark.parametrize("make", [messages_call, make_call], ids=["messages", "chat"])
def test_an_answer_however_it_is_written(run: Run, manner: str, make: Callable[..., Call]) -> None:
    """Whole or in a stream, to both dialects, an answer tells the same as from Anthropic itself."""

    async def main() -> None:
        answer = MANNERS[manner]
        cache_written = answer.cache_write_5m + answer.cache_write_1h
        tokens = Tokens(
            input=answer.input_tokens + answer.cache_read + cache_written,
            output=answer.output_tokens,
            cache_read=answer.cache_read,
            reasoning=answer.thinking_tokens or 0,
            cache_write=cache_written,
            cache_write_1h=answer.cache_write_1h,
        )
        async with line(answer) as on:
            for stream in (True, False):
                chunks, error = await on.ask(make(stream=stream))
                assert (error, on.status) == (None, 200)
                assert told_tokens(chunks) == tokens
                assert [chunk.last for chunk in chunks] == [False] * (len(chunks) - 1) + [True]
                assert all(word.encode() in data_of(chunks) for word in answer.words)

    run(main())


BREAKS = {
    Fault.RESET: "closed the connection mid-answer",
    Fault.CLOSE: "before its last event",
    Fault.GARBAGE: "checksum|middle of an event",
    Fault.ERROR_EVENT: "modelStreamErrorException",
    Fault.HANG: "sent no data for 0.2 s",
}


@pytest.mark.parametrize("fault", BREAKS)
@pytest.mark.parametrize("make", [messages_call, make_call], ids=["messages", "chat"])
def test_a_stream_that_breaks(run: Run, fault: Fault, make: Callable[..., Call]) -> None:
    """A stream that breaks raises after the chunks that came: input exact, output as it was seen."""

    async def main() -> None:
        async with line(MessageAnswer(fault=fault, fault_after=5, cache_read=4)) as on:
            chunks, error = await on.ask(make())
            with pytest.raises(UpstreamError, match=BREAKS[fault]):
                raise error or AssertionError("it did not break")
            assert not any(chunk.last for chunk in chunks)
            assert told_tokens(chunks) == Tokens(input=9, output=2, cache_read=4)

    run(main())


def test_what_the_model_gets(run: Run) -> None:
    """Model and stream are in the path, version and betas in the body; all else as it was written."""

    async def main() -> None:
        kept = {
            "system": [{"type": "text", "text": "Hi", "cache_control": {"type": "ephemeral"}}],
            "thinking": {"type": "enabled", "budget_tokens": 1024},
            "tools": [{"type": "bash_20250124", "name": "bash"}],
        }
        headers = (
            (b"anthropic-version", b"2023-06-01"),
            (b"anthropic-beta", b"context-1m-2025-08-07, computer-use-2025-01-24"),
        )
        async with line() as on:
            call = msgspec.structs.replace(messages_call(**kept), headers=headers)
            await on.ask(call)
            newer = ((b"anthropic-version", b"2026-10-21"),)
            await on.ask(msgspec.structs.replace(messages_call(stream=False), headers=newer))
            first, second = on.upstream.bodies
            paths = [received.path for received in on.upstream.received]
        name = "eu.anthropic.claude-sonnet-4-5-20250929-v1%3A0"
        assert paths == [
            f"/model/{name}/invoke-with-response-stream",
            f"/model/{name}/invoke",
        ]
        assert {key: first[key] for key in kept} == kept
        assert first["anthropic_beta"] == ["context-1m-2025-08-07", "computer-use-2025-01-24"]
        assert first["anthropic_version"] == "bedrock-2023-05-31"
        assert second["anthropic_version"] == "2026-10-21"

    run(main())


def test_tokens_are_counted(run: Run) -> None:
    """`count_tokens` is put as Bedrock wants it, with a limit, and its answer as Anthropic writes it."""

    async def main() -> None:
        async with line(MessageAnswer(input_tokens=42)) as on:
            call = messages_call(stream=False, operation=Operation.COUNT_TOKENS)
            body = {"model": "claude", "messages": [{"role": "user", "content": "Hi"}]}
            call = msgspec.structs.replace(call, body=msgspec.json.encode(body))
            chunks, error = await on.ask(call)
            assert (error, on.status) == (None, 200)
            assert data_of(chunks) == b'{"input_tokens":42}'
            assert told_tokens(chunks) == NO_TOKENS

    run(main())


def test_refusals_are_in_anthropics_words(run: Run) -> None:
    """A client of Anthropic's gets an error that it knows, with Amazon's sentence."""

    async def main() -> None:
        async with line(MessageAnswer(status=429)) as on:
            chunks, _ = await on.ask(messages_call())
            assert msgspec.json.decode(data_of(chunks)) == {
                "type": "error",
                "error": {
                    "type": "rate_limit_error",
                    "message": "Too many requests, please wait before trying again.",
                },
            }

    run(main())


def test_the_vendors_own_clients_understand_the_fake(run: Run) -> None:
    """Anthropic's client for Bedrock reads its streams, Amazon's its counts."""

    def ask(url: str) -> tuple[str, int]:
        keys = {"aws_access_key_id": KEY.access_key_id, "aws_secret_access_key": KEY.secret}
        with AnthropicBedrock(
            api_key=TOKEN, aws_region=REGION, base_url=url, max_retries=0
        ) as client:
            asked: Any = {"model": MODEL, "messages": [{"role": "user", "content": "Hi"}]}
            with client.messages.stream(max_tokens=9, **asked) as stream:
                text = stream.get_final_text()
        amazon = botocore.session.Session().create_client(
            "bedrock-runtime", region_name=REGION, endpoint_url=url, **keys
        )
        reported = {"max_tokens": 1, "messages": asked["messages"]}
        body = msgspec.json.encode({"anthropic_version": "bedrock-2023-05-31", **reported})
        with closing(amazon):
            counted = amazon.count_tokens(modelId=MODEL, input={"invokeModel": {"body": body}})
        return text, counted["inputTokens"]

    async def main() -> None:
        async with open_bedrock_claude() as upstream:
            assert await asyncio.to_thread(ask, upstream.origin.url) == ("Hello there.", 5)

    run(main())
