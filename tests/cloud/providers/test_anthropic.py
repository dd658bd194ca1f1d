"""Anthropic's API asked over real HTTP, by its own callers and by those of another dialect."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager, closing
from dataclasses import replace
from typing import Any

import msgspec
import pytest

from inferworks.cloud.call import Call, Chunk
from inferworks.cloud.credentials.key import KeyCredential
from inferworks.cloud.operation import Operation
from inferworks.cloud.providers.anthropic import ANTHROPIC
from inferworks.cloud.providers.passthrough import PassthroughProvider
from inferworks.cloud.serving.translating import TranslatingProvider
from inferworks.cloud.translate.table import TRANSLATIONS
from inferworks.errors import UpstreamError
from inferworks.http.client import HttpClient
from inferworks.ids import CallId
from inferworks.meter.reported_usage import ReportedUsage
from inferworks.meter.usage import NO_TOKENS, Items, Tokens
from inferworks.testing.providers import A_MODEL, make_call, make_offer
from inferworks.testing.upstream import Fault
from inferworks.testing.upstreams.anthropic import FakeAnthropic, MessageAnswer, open_anthropic

Run = Callable[[Coroutine[Any, Any, None]], None]
KEY = KeyCredential(b"x-api-key", "sk-ant-1")


def messages_call(
    *, stream: bool = True, operation: Operation = Operation.MESSAGES, **changes: Any
) -> Call:
    """A message, or what is told in `changes`."""
    body = {"model": A_MODEL, "messages": [{"role": "user", "content": "Say hello."}]}
    if operation is Operation.MESSAGES:
        body |= {"max_tokens": 100, "stream": stream}
    call = Call(
        CallId("call_1"),
        operation,
        A_MODEL,
        stream,
        wants_usage=True,
        body=msgspec.json.encode(body),
    )
    return msgspec.structs.replace(call, **changes)


class Line:
    """A provider connected to a fake upstream."""

    def __init__(self, upstream: FakeAnthropic, client: HttpClient) -> None:
        self.upstream = upstream
        provider = PassthroughProvider(client, replace(ANTHROPIC, between_bytes_s=0.2), KEY)
        self.provider = TranslatingProvider(provider, TRANSLATIONS)
        self.offer = make_offer(origin=upstream.origin)

    async def ask(self, call: Call) -> tuple[list[Chunk], UpstreamError | None]:
        """Chunks that came, and the error that broke them off."""
        chunks: list[Chunk] = []
        try:
            async with self.provider.send(self.offer, call) as reply:
                chunks.append(reply.first)
                async for chunk in reply.rest:
                    chunks.append(chunk)
        except UpstreamError as error:
            return chunks, error
        return chunks, None


@asynccontextmanager
async def line(*answers: MessageAnswer) -> AsyncIterator[Line]:
    """A provider and an upstream that follows `answers`."""
    async with open_anthropic(*answers) as upstream:
        with closing(HttpClient()) as client:
            yield Line(upstream, client)


def last_told(chunks: list[Chunk]) -> ReportedUsage | None:
    """Usage that was reported last."""
    return next((chunk.reported for chunk in reversed(chunks) if chunk.reported is not None), None)


MANNERS = {
    "plainly": MessageAnswer(),
    "with CRLF": MessageAnswer(line_end=b"\r\n"),
    "byte by byte": MessageAnswer(piece_bytes=1),
    "byte by byte with CRLF": MessageAnswer(piece_bytes=1, line_end=b"\r\n"),
    "with thoughts": MessageAnswer(thoughts=("Hm", " hm"), thinking_tokens=4),
    "with a tool": MessageAnswer(tool=("f", '{"city": "Rome"}')),
    "with nothing but a tool": MessageAnswer(words=(), tool=("f", "{}")),
    "cached": MessageAnswer(cache_read=7, cache_write_5m=3, cache_write_1h=2),
    "with searches": MessageAnswer(searches=2, service_tier="priority"),
    "of zeros": MessageAnswer(words=(), input_tokens=0),
}


@pytest.mark.parametrize("manner", MANNERS)
@pytest.mark.parametrize("make", [messages_call, make_call])
def test_an_answer_however_it_is_written(run: Run, manner: str, make: Callable[..., Call]) -> None:
    """Whole or in a stream, to both dialects, an answer tells the same; its last chunk comes once."""

    async def main() -> None:
        answer = MANNERS[manner]
        written = answer.cache_write_5m + answer.cache_write_1h
        tokens = Tokens(
            input=answer.input_tokens + answer.cache_read + written,
            output=answer.output_tokens,
            cache_read=answer.cache_read,
            reasoning=answer.thinking_tokens or 0,
            cache_write=written,
            cache_write_1h=answer.cache_write_1h,
        )
        wanted = ReportedUsage(
            tokens, Items(searches=answer.searches or 0), answer.service_tier or ""
        )
        async with line(answer) as on:
            for stream in (True, False):
                chunks, error = await on.ask(make(stream=stream))
                assert error is None
                assert last_told(chunks) == wanted
                assert [chunk.last for chunk in chunks] == [False] * (len(chunks) - 1) + [True]
                data = b"".join(chunk.data for chunk in chunks)
                assert all(word.encode() in data for word in answer.words)
                assert answer.tool is None or b"Rome" in data or answer.tool[1] == "{}"
            assert on.upstream.left_early == 0

    run(main())


BREAKS = {
    Fault.RESET: "closed the connection mid-answer",
    Fault.CLOSE: "before its last event",
    Fault.GARBAGE: "cannot be read",
    Fault.ERROR_EVENT: "Overloaded",
    Fault.HANG: "sent no data for 0.2 s",
}


@pytest.mark.parametrize("fault", BREAKS)
@pytest.mark.parametrize("make", [messages_call, make_call])
def test_a_stream_that_breaks(run: Run, fault: Fault, make: Callable[..., Call]) -> None:
    """A stream that breaks raises after the chunks that came: input exact, output as it was seen."""

    async def main() -> None:
        async with line(MessageAnswer(fault=fault, fault_after=5, cache_read=4)) as on:
            chunks, error = await on.ask(make())
            with pytest.raises(UpstreamError, match=BREAKS[fault]):
                raise error or AssertionError("it did not break")
            assert last_told(chunks) == ReportedUsage(
                Tokens(9, 2, cache_read=4), service_tier="standard", is_estimate=True
            )
            assert not any(chunk.last for chunk in chunks)

    run(main())


@pytest.mark.parametrize("fault", [Fault.RESET, Fault.CLOSE, Fault.ERROR_EVENT])
def test_a_whole_answer_that_breaks(run: Run, fault: Fault) -> None:
    """Half an answer, or an error with status 200, is no answer."""

    async def main() -> None:
        async with line(MessageAnswer(fault=fault, fault_after=1)) as on:
            chunks, error = await on.ask(messages_call(stream=False))
            assert chunks == []
            assert error is not None
            assert error.sent

    run(main())


def test_a_request_passes_as_it_came(run: Run) -> None:
    """The bytes are the caller's; the key and the version are ours unless the caller names a version."""

    async def main() -> None:
        async with line() as on:
            call = messages_call()
            await on.ask(call)
            headers = ((b"anthropic-version", b"2024-01-01"), (b"anthropic-beta", b"files"))
            await on.ask(messages_call(headers=headers))
            first, second = on.upstream.received
            assert (first.path, first.body) == ("/v1/messages", call.body)
            assert first.headers[b"x-api-key"] == b"sk-ant-1"
            assert first.headers[b"anthropic-version"] == b"2023-06-01"
            assert b"anthropic-beta" not in first.headers
            assert second.headers[b"anthropic-version"] == b"2024-01-01"
            assert second.headers[b"anthropic-beta"] == b"files"

    run(main())


def test_the_model_has_its_name_at_the_upstream(run: Run) -> None:
    """Only the name changes; a chat's headers do not go along."""

    async def main() -> None:
        async with line() as on:
            on.offer = msgspec.structs.replace(on.offer, upstream_model="claude-sonnet-4-5")
            await on.ask(messages_call())
            chat = msgspec.structs.replace(make_call(), headers=((b"openai-beta", b"x"),))
            await on.ask(chat)
            for received in on.upstream.received:
                body = msgspec.json.decode(received.body)
                assert body["model"] == "claude-sonnet-4-5"
                assert body["messages"] == [{"role": "user", "content": "Say hello."}]
                assert b"openai-beta" not in received.headers

    run(main())


def test_counting_tokens(run: Run) -> None:
    """A count passes, and costs nothing."""

    async def main() -> None:
        async with line(MessageAnswer(input_tokens=14)) as on:
            call = messages_call(stream=False, operation=Operation.COUNT_TOKENS)
            (chunk,), error = await on.ask(call)
            assert error is None
            assert chunk == Chunk(b'{"input_tokens":14}', ReportedUsage(NO_TOKENS), last=True)
            assert on.upstream.received[0].path == "/v1/messages/count_tokens"

    run(main())


def test_a_refusal_passes_or_is_translated(run: Run) -> None:
    """Anthropic's callers get Anthropic's words, OpenAI's callers OpenAI's; both the same status."""

    async def main() -> None:
        for status in (400, 401, 403, 404, 413, 429, 500, 529):
            async with line(MessageAnswer(status=status)) as on:
                for make in (messages_call, make_call):
                    async with on.provider.send(on.offer, make()) as reply:
                        assert (reply.status, reply.first.reported) == (status, None)
                        body = msgspec.json.decode(reply.first.data)
                        assert ("type" in body) == (make is messages_call)
                        assert body["error"]["message"]

    run(main())


def test_leaving_tells_the_upstream(run: Run) -> None:
    """A caller that leaves amid a stream costs no more than what was said."""

    async def main() -> None:
        async with line(MessageAnswer(words=("a",) * 50, event_s=0.01)) as on:
            async with on.provider.send(on.offer, messages_call()) as reply:
                assert not reply.first.last
            async with asyncio.timeout(5):
                while on.upstream.left_early != 1:
                    await asyncio.sleep(0.005)

    run(main())
