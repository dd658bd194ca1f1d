"""Conformance suite of the provider seam.

A driver's author supplies a *stage*: given a `Script`, an async context manager with the provider, an
offer, and an upstream behind it that does what the script says. `stage_stub` stages the fake itself,
`stage_openai` OpenAI's dialect and `stage_anthropic` Anthropic's over real HTTP; a stranger's driver needs
an upstream of its own.

    def test_my_provider() -> None:
        asyncio.run(check_provider(stage_mine))
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, closing, suppress
from dataclasses import dataclass, field
from itertools import product
from typing import Any, TypeVar

import msgspec
import pytest

from inferworks.cloud.call import Call, Chunk, Reply
from inferworks.cloud.credentials.key import NoCredential
from inferworks.cloud.offer import Offer
from inferworks.cloud.operation import Operation
from inferworks.cloud.providers.anthropic import ANTHROPIC
from inferworks.cloud.providers.base import Provider
from inferworks.cloud.providers.openai import openai_provider
from inferworks.cloud.providers.passthrough import PassthroughProvider
from inferworks.cloud.providers.stub import Script, StubProvider
from inferworks.cloud.serving.translating import TranslatingProvider
from inferworks.cloud.translate.table import TRANSLATIONS
from inferworks.errors import UpstreamError
from inferworks.http.client import HttpClient, Origin, Timeouts
from inferworks.ids import CallId, ModelId, OfferId
from inferworks.meter.usage import Tokens
from inferworks.testing.upstream import Answer, Fault, open_upstream
from inferworks.testing.upstreams.anthropic import MessageAnswer, open_anthropic
from inferworks.testing.upstreams.script import Scripted
from inferworks.testing.upstreams.scripted_server import ScriptedUpstream
from inferworks.testing.upstreams.vendors import VLLM

A_MODEL = ModelId("inferworks-tiny")
_WAIT_S = 5.0
_FOREVER_S = 3600.0
_UNUSED_PORT = 1

S = TypeVar("S", bound=Scripted)


@dataclass(frozen=True, slots=True)
class Stage:
    """A provider with an upstream that follows a script."""

    provider: Provider
    offer: Offer
    left_early: Callable[[], int]
    """Count of clients that the upstream has seen leave before their answer was complete."""
    tells_along: bool = True
    """True if the stream reports tokens before its end; otherwise an interrupted stream reports none."""
    call_of: Callable[..., Call] = field(default_factory=lambda: make_call)
    """Maker of calls: a chat as `make_call` makes it, or another operation that is not streamed."""


Staging = Callable[[Script], AbstractAsyncContextManager[Stage]]


def make_offer(
    *, offer_id: str = "offer-1", provider: str = "stub", origin: Origin | None = None
) -> Offer:
    """An offer of `A_MODEL`."""
    nowhere = Origin("127.0.0.1", 9, tls=False, base_path="/v1")
    return Offer(OfferId(offer_id), A_MODEL, provider, origin or nowhere)


def make_call(*, stream: bool = True, wants_usage: bool = False, call_id: str = "call_1") -> Call:
    """A chat with one message, its body in agreement with its fields."""
    body: dict[str, object] = {
        "model": A_MODEL,
        "messages": [{"role": "user", "content": "Say hello."}],
        "stream": stream,
    }
    if wants_usage:
        body["stream_options"] = {"include_usage": True}
    return Call(
        id=CallId(call_id),
        operation=Operation.CHAT,
        model=A_MODEL,
        stream=stream,
        wants_usage=wants_usage,
        body=msgspec.json.encode(body),
    )


@asynccontextmanager
async def stage_stub(script: Script) -> AsyncIterator[Stage]:
    """The fake that ships with the seam."""
    provider = StubProvider([script])
    yield Stage(provider, make_offer(), lambda: provider.left_early)


def stage_openai(script: Script) -> AbstractAsyncContextManager[Stage]:
    """The OpenAI dialect, over HTTP to a fake upstream that reports its usage as it goes."""
    opening = open_upstream(scripted(Answer, script, first_events=1), vendor=VLLM)
    return staged(
        script,
        opening,
        lambda client: openai_provider(client, NoCredential(), name="openai", running_usage=True),
    )


def stage_anthropic(script: Script) -> AbstractAsyncContextManager[Stage]:
    """Anthropic's dialect, over HTTP to a fake upstream, and chats translated to it and back."""
    opening = open_anthropic(scripted(MessageAnswer, script, first_events=3))
    return staged(
        script,
        opening,
        lambda client: TranslatingProvider(
            PassthroughProvider(client, ANTHROPIC, NoCredential()), TRANSLATIONS
        ),
    )


def scripted(kind: type[S], script: Script, *, first_events: int) -> S:
    """`script` for a fake upstream; the first events of its streams are no tokens."""
    after = script.breaks_after
    return kind(
        words=script.words,
        input_tokens=script.input_tokens,
        status=script.status,
        fault=Fault.NONE if after is None else Fault.RESET,
        fault_after=first_events + after if after else 0,
        event_s=script.token_s,
    )


@asynccontextmanager
async def staged(
    script: Script,
    opening: AbstractAsyncContextManager[ScriptedUpstream[Any]],
    provider: Callable[[HttpClient], Provider],
    *,
    tells_along: bool = True,
    call_of: Callable[..., Call] = make_call,
) -> AsyncIterator[Stage]:
    """A provider before the upstream that `opening` opens, or before nothing if that is the script."""
    async with opening as upstream:
        origin = upstream.origin
        if script.unreachable:
            origin = msgspec.structs.replace(origin, port=_UNUSED_PORT)
        with closing(HttpClient(Timeouts(connect_s=1.0))) as client:
            yield Stage(
                provider(client),
                make_offer(origin=origin),
                lambda: upstream.left_early,
                tells_along,
                call_of,
            )


async def check_provider(stage: Staging) -> None:
    """Check a driver against the whole contract. AssertionError names the broken rule."""
    for check in CHECKS:
        await check(stage)


async def check_stream(stage: Staging) -> None:
    """A stream comes chunk by chunk, its last chunk once, its tokens exact at the end."""
    async with _alone(), stage(Script(words=("a", "b", "c"), input_tokens=7)) as on:
        async with on.provider.send(on.offer, make_call()) as reply:
            assert (reply.status, reply.first.last) == (200, False)
            assert reply.content_type.startswith(b"text/event-stream")
            chunks = [reply.first, *[chunk async for chunk in reply.rest]]
        assert [chunk.last for chunk in chunks] == [False] * (len(chunks) - 1) + [True]
        assert told_tokens(chunks) == Tokens(input=7, output=3)
        assert b'"usage":{' not in b"".join(chunk.data for chunk in chunks)
        assert on.left_early() == 0


async def check_usage_event(stage: Staging) -> None:
    """The usage event of a stream reaches the client that asked for it, once."""
    async with _alone(), stage(Script()) as on:
        async with on.provider.send(on.offer, make_call(wants_usage=True)) as reply:
            data = [reply.first.data, *[chunk.data async for chunk in reply.rest]]
        assert sum(b'"usage":{' in event for event in data) == 1
        assert sum(b"[DONE]" in event for event in data) == 1
        assert b'"usage":{' in data[-2]
        assert b"[DONE]" in data[-1]


async def check_whole(stage: Staging) -> None:
    """An answer that is not streamed is one chunk, the last, with its exact tokens."""
    async with _alone(), stage(Script(words=("a", "b"), input_tokens=9)) as on:
        async with on.provider.send(on.offer, make_call(stream=False)) as reply:
            assert (reply.status, reply.first.last) == (200, True)
            assert told_tokens([reply.first]) == Tokens(input=9, output=2)
            assert [chunk async for chunk in reply.rest] == []
            assert b'"content":"ab"' in reply.first.data
        assert on.left_early() == 0


async def check_refusal(stage: Staging) -> None:
    """A refusal is a reply with its status and one last chunk, and tells of no tokens."""
    for status, stream in product((400, 401, 404, 429, 500, 503), (True, False)):
        async with _alone(), stage(Script(status=status)) as on:
            async with on.provider.send(on.offer, on.call_of(stream=stream)) as reply:
                assert (reply.status, reply.first.last) == (status, True)
                assert reply.first.reported is None
                assert b'"error' in reply.first.data
                assert [chunk async for chunk in reply.rest] == []
            assert on.left_early() == 0


async def check_unreachable(stage: Staging) -> None:
    """An upstream that cannot be reached did no work."""
    async with _alone(), stage(Script(unreachable=True)) as on:
        with pytest.raises(UpstreamError) as caught:
            await _enter(on, on.call_of(stream=True))
        assert not caught.value.sent


async def check_breaks_before_the_first(stage: Staging) -> None:
    """Breaking off before the first chunk fails on entering; the work may have begun."""
    for stream in (True, False):
        async with _alone(), stage(Script(breaks_after=0)) as on:
            with pytest.raises(UpstreamError) as caught:
                await _enter(on, on.call_of(stream=stream))
            assert caught.value.sent


async def check_breaks_amid(stage: Staging) -> None:
    """Check that a break amid a stream raises there, after earlier chunks, with usage if reported."""
    async with _alone(), stage(Script(words=("a", "b", "c"), breaks_after=2, input_tokens=7)) as on:
        async with on.provider.send(on.offer, make_call()) as reply:
            chunks = [reply.first]
            with pytest.raises(UpstreamError) as caught:
                await _take_all(reply, chunks)
        assert caught.value.sent
        assert not any(chunk.last for chunk in chunks)
        if on.tells_along:
            assert told_tokens(chunks) == Tokens(input=7, output=2)
        else:
            assert all(chunk.reported is None or chunk.reported.is_estimate for chunk in chunks)


async def check_leaving_amid(stage: Staging) -> None:
    """Leaving a stream early, in order or by an exception, tells the upstream to stop."""
    for error in (None, RuntimeError("we failed"), asyncio.CancelledError()):
        async with _alone(), stage(Script(words=("a",) * 50, token_s=0.01)) as on:
            with suppress(*() if error is None else (type(error),)):
                async with on.provider.send(on.offer, on.call_of()) as reply:
                    assert not reply.first.last
                    if error is not None:
                        raise error
            await _until(lambda: on.left_early() == 1)


async def check_cancelled_while_waiting(stage: Staging) -> None:
    """A call cancelled before its answer has begun tells the upstream to stop."""
    for stream in (True, False):
        async with _alone(), stage(Script(token_s=_FOREVER_S)) as on:
            entering = asyncio.ensure_future(_enter(on, on.call_of(stream=stream)))
            await asyncio.sleep(0.05)
            assert not entering.done(), "entering waits for the first chunk"
            entering.cancel()
            await asyncio.wait({entering})
            assert entering.cancelled()
            await _until(lambda: on.left_early() == 1)


CHECKS: tuple[Callable[[Staging], Awaitable[None]], ...] = (
    check_stream,
    check_usage_event,
    check_whole,
    check_refusal,
    check_unreachable,
    check_breaks_before_the_first,
    check_breaks_amid,
    check_leaving_amid,
    check_cancelled_while_waiting,
)
"""The contract, one promise each; `check_provider` runs them all."""


EVERYWHERE = (
    check_refusal,
    check_unreachable,
    check_breaks_before_the_first,
    check_cancelled_while_waiting,
)
"""The part of the contract that has nothing to do with chats: every operation keeps it."""


async def _enter(on: Stage, call: Call) -> None:
    async with on.provider.send(on.offer, call):
        pass


async def _take_all(reply: Reply, chunks: list[Chunk]) -> None:
    """Append all chunks of `reply` to `chunks`; they are kept when it breaks off."""
    async for chunk in reply.rest:
        chunks.append(chunk)  # noqa: PERF401 a comprehension would lose them


def told_tokens(chunks: Sequence[Chunk]) -> Tokens | None:
    """The tokens that `chunks` told last."""
    reported = [chunk.reported.tokens for chunk in chunks if chunk.reported is not None]
    return reported[-1] if reported else None


@asynccontextmanager
async def _alone() -> AsyncIterator[None]:
    """The block leaves no task behind."""
    before = asyncio.all_tasks()
    yield
    await _until(lambda: asyncio.all_tasks() <= before)


async def _until(condition: Callable[[], bool]) -> None:
    """Wait for `condition`, and fail when it does not come true."""
    async with asyncio.timeout(_WAIT_S):
        while not condition():  # noqa: ASYNC110 the other end of a socket sets no event
            await asyncio.sleep(0.002)
