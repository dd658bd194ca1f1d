"""The OpenAI dialect against an upstream that misbehaves over real HTTP."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager, closing
from dataclasses import replace
from typing import Any

import msgspec
import pytest

from inferworks.cloud.call import Call, Chunk
from inferworks.cloud.credentials.key import KeyCredential, NoCredential
from inferworks.cloud.providers.openai import openai_profile, openai_provider
from inferworks.cloud.providers.passthrough import PassthroughProvider
from inferworks.errors import UpstreamError
from inferworks.http.client import HttpClient, Origin, Timeouts
from inferworks.http.server import Exchange, HttpServer
from inferworks.meter.usage import Tokens
from inferworks.testing.providers import make_call, make_offer, told_tokens
from inferworks.testing.upstream import Answer, FakeUpstream, Fault, Reports, open_upstream
from inferworks.testing.upstreams.vendors import OPENAI, VLLM

Run = Callable[[Coroutine[Any, Any, None]], None]
STREAM = make_call()
WHOLE = make_call(stream=False)


_LIMITS = ("between_bytes_s", "max_answer_bytes")
"""Fields of a profile that bound an answer."""


class Line:
    """A provider connected to a fake upstream."""

    def __init__(self, upstream: FakeUpstream, client: HttpClient, **settings: Any) -> None:
        self.upstream = upstream
        credential = settings.pop("credential", NoCredential())
        limits = {name: settings.pop(name) for name in _LIMITS if name in settings}
        profile = replace(openai_profile("openai", **settings), **limits)
        self.provider = PassthroughProvider(client, profile, credential)
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

    async def gone(self, count: int) -> None:
        """Wait until the upstream has seen `count` clients leave early."""
        async with asyncio.timeout(5):
            while self.upstream.left_early != count:
                await asyncio.sleep(0.005)


@asynccontextmanager
async def line(
    answer: Answer, timeouts: Timeouts | None = None, **settings: Any
) -> AsyncIterator[Line]:
    """A provider, a client and an upstream that follows `answer`: vLLM where it tells along."""
    vendor = VLLM if settings.get("running_usage") else OPENAI
    async with open_upstream(answer, vendor=vendor) as upstream:
        with closing(HttpClient(timeouts or Timeouts())) as client:
            yield Line(upstream, client, **settings)


def reported(chunks: list[Chunk]) -> Tokens | None:
    """The tokens told last."""
    return told_tokens(chunks)


MANNERS = {
    "plainly": Answer(),
    "with CRLF": Answer(line_end=b"\r\n"),
    "byte by byte": Answer(piece_bytes=1),
    "in sevens": Answer(piece_bytes=7),
    "byte by byte with CRLF": Answer(piece_bytes=1, line_end=b"\r\n"),
    "with spaces": Answer(spaced=True),
    "with comments": Answer(comment_before_each="keep-alive"),
    "with its end apart": Answer(end_apart=True),
    "in a huge event": Answer(words=("x" * 3_000_000, "y", "z")),
    "unasked": Answer(reports=Reports.ALWAYS),
}


@pytest.mark.parametrize("running", [False, True])
@pytest.mark.parametrize("manner", MANNERS)
def test_a_stream_however_it_is_written(run: Run, manner: str, running: bool) -> None:
    """The text is whole and the tokens are exact, however an upstream writes its stream."""

    async def main() -> None:
        answer = MANNERS[manner]
        async with line(answer, running_usage=running) as on:
            chunks, error = await on.ask(STREAM)
            assert error is None
            assert reported(chunks) == Tokens(input=5, output=3)
            assert [c.last for c in chunks].count(True) == 1
            assert chunks[-1].last
            data = b"".join(chunk.data for chunk in chunks)
            assert all(data.count(word.encode()) >= 1 for word in answer.words)
            assert (await on.ask(WHOLE))[1] is None
            assert on.upstream.connections == 1, "the connection is kept"
            assert on.upstream.left_early == 0

    run(main())


BREAKS = {
    "reset": (Answer(fault=Fault.RESET, fault_after=3), "closed the connection mid-answer"),
    "closed": (Answer(fault=Fault.CLOSE, fault_after=3), "before its last event"),
    "garbage": (Answer(fault=Fault.GARBAGE, fault_after=3), "cannot be read"),
    "error": (
        Answer(fault=Fault.ERROR_EVENT, fault_after=3),
        "of status 500: The server had",
    ),
    "hang": (Answer(fault=Fault.HANG, fault_after=3), "sent no data for 0.1 s"),
}


@pytest.mark.parametrize("kind", BREAKS)
def test_a_stream_that_breaks(run: Run, kind: str) -> None:
    """A stream that breaks raises after the chunks that came, with the tokens told so far."""

    async def main() -> None:
        answer, words = BREAKS[kind]
        async with line(answer, running_usage=True, between_bytes_s=0.1) as on:
            chunks, error = await on.ask(STREAM)
            with pytest.raises(UpstreamError, match=words):
                raise error or AssertionError("it did not break")
            assert error is not None
            assert error.sent
            assert reported(chunks) == Tokens(input=5, output=2)
            assert not any(chunk.last for chunk in chunks)
            await on.gone(1 if kind == "hang" else 0)

    run(main())


@pytest.mark.parametrize("call", [STREAM, WHOLE], ids=["stream", "whole"])
@pytest.mark.parametrize(
    "answer",
    [
        Answer(fault=Fault.RESET),
        Answer(fault=Fault.CLOSE),
        Answer(fault=Fault.GARBAGE),
        Answer(fault=Fault.HANG_BEFORE_HEADERS),
        Answer(fault=Fault.HANG),
    ],
    ids=lambda answer: answer.fault.name.lower(),
)
def test_breaking_before_the_first_chunk(run: Run, call: Call, answer: Answer) -> None:
    """Nothing of an answer that breaks at once is taken for one, so it can be tried elsewhere."""

    async def main() -> None:
        timeouts = Timeouts(first_byte_s=0.1)
        async with line(answer, timeouts, between_bytes_s=0.1) as on:
            chunks, error = await on.ask(call)
            assert error is not None
            assert error.sent
            if answer.fault is not Fault.HANG:  # whose keep-alive comment passes
                assert chunks == []

    run(main())


@pytest.mark.parametrize("fault", [Fault.RESET, Fault.CLOSE, Fault.HANG])
def test_half_a_body_is_no_answer(run: Run, fault: Fault) -> None:
    """A body that breaks off in its middle is never handed on."""

    async def main() -> None:
        async with line(Answer(fault=fault, fault_after=1), between_bytes_s=0.1) as on:
            chunks, error = await on.ask(WHOLE)
            assert chunks == []
            assert error is not None

    run(main())


@pytest.mark.parametrize("call", [STREAM, WHOLE], ids=["stream", "whole"])
@pytest.mark.parametrize(
    ("answer", "tokens"),
    [
        (Answer(cached_tokens=4, reasoning_tokens=2), Tokens(5, 3, cache_read=4, reasoning=2)),
        (Answer(reports=Reports.ZERO), Tokens()),
        (Answer(reports=Reports.NEVER), None),
    ],
    ids=["details", "zero", "none"],
)
def test_usage_is_what_the_upstream_says(
    run: Run, call: Call, answer: Answer, tokens: Tokens | None
) -> None:
    """Details, explicit zeros and silence are three different things."""

    async def main() -> None:
        async with line(answer) as on:
            chunks, error = await on.ask(call)
            assert error is None
            assert reported(chunks) == tokens

    run(main())


def test_what_the_upstream_is_sent(run: Run) -> None:
    """The call's own bytes, the provider's key, the call's id; of a stream the usage is asked for."""

    async def main() -> None:
        async with line(Answer(), credential=KeyCredential.bearer("sk-secret")) as on:
            await on.ask(WHOLE)
            await on.ask(STREAM)
            whole, stream = on.upstream.received
            assert whole.body == WHOLE.body
            assert whole.path == "/v1/chat/completions"
            assert whole.headers[b"authorization"] == b"Bearer sk-secret"
            assert whole.headers[b"x-inferworks-call-id"] == b"call_1"
            assert whole.headers[b"content-type"] == b"application/json"
            assert msgspec.json.decode(stream.body) == {
                **msgspec.json.decode(STREAM.body),
                "stream_options": {"include_usage": True},
            }

    run(main())


def test_a_whole_body_in_place_of_a_stream(run: Run) -> None:
    """An upstream that does not stream when asked has failed; its body is no stream of nothing."""

    async def main() -> None:
        async with line(Answer(never_streams=True)) as on:
            chunks, error = await on.ask(STREAM)
            assert chunks == []
            assert error is not None

    run(main())


def test_a_stream_in_place_of_a_whole_body(run: Run) -> None:
    """A stream that nobody asked for is not taken for an answer."""

    async def main() -> None:
        async with line(Answer()) as on:
            chunks, error = await on.ask(msgspec.structs.replace(WHOLE, body=STREAM.body))
            assert chunks == []
            assert error is not None

    run(main())


@pytest.mark.parametrize("call", [STREAM, WHOLE], ids=["stream", "whole"])
def test_an_error_in_place_of_an_answer(run: Run, call: Call) -> None:
    """An answer of status 200 that is an error is what it would be with its own status."""

    async def main() -> None:
        async with (
            line(Answer(fault=Fault.ERROR_EVENT)) as on,
            on.provider.send(on.offer, call) as reply,
        ):
            assert (reply.status, reply.content_type) == (500, b"application/json")
            assert reply.first.last
            assert b"The server had an error" in reply.first.data

    run(main())


def test_an_answer_over_the_limit(run: Run) -> None:
    """A body larger than allowed is dropped, not collected."""

    async def main() -> None:
        answer = Answer(words=("x" * 100_000,))
        async with line(answer, max_answer_bytes=10_000) as on:
            chunks, error = await on.ask(WHOLE)
            assert chunks == []
            assert "larger than 10000 bytes" in str(error)

    run(main())


def test_many_at_once_leave_nothing(run: Run) -> None:
    """Streams cut at every chunk tell the upstream and leave no task and no connection in use."""

    async def main() -> None:
        async with line(Answer(words=("a",) * 20, event_s=0.005)) as on:
            calls = [leave_after(on, count) for count in range(10)]
            await asyncio.gather(*calls)
            await on.gone(len(calls))

    run(main())


async def leave_after(on: Line, count: int) -> None:
    """Take `count` chunks after the first and leave."""
    async with on.provider.send(on.offer, STREAM) as reply:
        for _ in range(count):
            await anext(reply.rest)


async def repeating(exchange: Exchange) -> None:
    """Refuse a request by repeating all of it, as servers made for debugging do."""
    said = {name.decode(): value.decode() for name, value in exchange.headers.items()}
    await exchange.respond(
        400, msgspec.json.encode({"you_sent": said, "body": exchange.body.decode()})
    )


@pytest.mark.parametrize(
    "credential",
    [
        KeyCredential.bearer("sk-never-to-be-seen"),
        KeyCredential(b"x-api-key", "sk-never-to-be-seen"),
        KeyCredential(b"x-amz-security-token", "sk-never-to-be-seen"),
    ],
)
@pytest.mark.parametrize("call", [STREAM, WHOLE])
def test_a_refusal_does_not_repeat_our_credential(
    run: Run, credential: KeyCredential, call: Call
) -> None:
    """An upstream's refusal reaches the caller with its own words and the caller's, and nothing of ours."""

    async def main() -> None:
        server = HttpServer(repeating)
        port = await server.start("127.0.0.1", 0)
        with closing(HttpClient()) as client:
            provider = openai_provider(client, credential, name="openai")
            offer = make_offer(origin=Origin.parse(f"http://127.0.0.1:{port}/v1"))
            async with provider.send(offer, call) as reply:
                assert reply.status == 400
                said = msgspec.json.decode(reply.first.data)
        await server.stop(0.0)
        assert b"never-to-be-seen" not in reply.first.data
        assert "***" in str(said["you_sent"])
        assert said["you_sent"]["content-type"] == "application/json"
        assert '"model"' in said["body"]

    run(main())
