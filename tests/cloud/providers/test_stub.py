"""The provider that follows a script: what it answers, and what it remembers."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from inferworks.clock import SimClock
from inferworks.cloud.call import Call, Chunk, Reply
from inferworks.cloud.providers.stub import Script, StubProvider
from inferworks.errors import CallError, UntranslatableError, UpstreamError
from inferworks.meter.reported_usage import ReportedUsage
from inferworks.meter.usage import Tokens
from inferworks.testing.providers import make_call, make_offer

OFFER = make_offer()


def ask(
    provider: StubProvider, call: Call, *, leave_after: int | None = None
) -> tuple[Reply, list[Chunk]]:
    """The reply to `call` and its chunks, `leave_after` of them at most."""

    async def main() -> tuple[Reply, list[Chunk]]:
        async with provider.send(OFFER, call) as reply:
            chunks = [reply.first]
            while not chunks[-1].last and len(chunks) != leave_after:
                chunks.append(await anext(reply.rest))
            return reply, chunks

    return asyncio.run(main())


def event_of(chunk: Chunk) -> Any:
    """The event in `chunk`."""
    return json.loads(chunk.data.removeprefix(b"data: "))


def test_a_whole_answer_has_its_words_and_its_usage() -> None:
    """One token is one word, in the answer's body and beside it."""
    provider = StubProvider([Script(words=("a", "b"), input_tokens=7)])
    call = make_call(stream=False)
    reply, (chunk,) = ask(provider, call)
    body = json.loads(chunk.data)
    assert (reply.status, reply.content_type, chunk.last) == (200, b"application/json", True)
    assert body["choices"][0]["message"]["content"] == "ab"
    assert body["usage"] == {"prompt_tokens": 7, "completion_tokens": 2, "total_tokens": 9}
    assert chunk.reported == ReportedUsage(Tokens(7, 2))
    assert provider.calls == [call]
    assert provider.left_early == 0


@pytest.mark.parametrize("wants_usage", [False, True])
def test_a_stream_has_an_event_for_each_word_an_end_and_the_usage(wants_usage: bool) -> None:
    """Usage grows with the words; its event is for those who asked for it."""
    provider = StubProvider([Script(words=("a", "b"), input_tokens=7)])
    reply, chunks = ask(provider, make_call(wants_usage=wants_usage))
    assert reply.content_type == b"text/event-stream"
    *words, final, usage, done = chunks
    assert [event_of(chunk)["choices"][0]["delta"]["content"] for chunk in words] == ["a", "b"]
    assert [chunk.reported and chunk.reported.tokens.output for chunk in chunks] == [1, 2, 2, 2, 2]
    assert event_of(final)["choices"][0]["finish_reason"] == "stop"
    assert bool(usage.data) == wants_usage
    assert done.data == b"data: [DONE]\n\n"
    assert [chunk.last for chunk in chunks] == [False] * 4 + [True]


def test_an_answer_of_no_words_is_an_answer() -> None:
    """A stream ends with its end all the same."""
    _, chunks = ask(StubProvider([Script(words=())]), make_call())
    assert [chunk.last for chunk in chunks] == [False, False, True]
    assert event_of(chunks[0])["choices"][0]["finish_reason"] == "stop"


@pytest.mark.parametrize("stream", [False, True])
def test_a_refusal_is_whole_and_has_its_code(stream: bool) -> None:
    """A refusal of a stream is no stream, and tells of no usage."""
    provider = StubProvider([Script(status=429, code="slow_down")])
    reply, (chunk,) = ask(provider, make_call(stream=stream))
    assert (reply.status, reply.content_type, chunk.last) == (429, b"application/json", True)
    assert json.loads(chunk.data)["error"]["code"] == "slow_down"
    assert chunk.reported is None


def test_scripts_follow_each_other_and_the_last_stays() -> None:
    """A third call is answered as the second was."""
    provider = StubProvider([Script(status=500), Script()])
    statuses = [ask(provider, make_call(stream=False))[0].status for _ in range(3)]
    assert statuses == [500, 200, 200]
    assert len(provider.calls) == 3


@pytest.mark.parametrize(
    ("script", "error", "is_sent"),
    [
        (Script(unreachable=True), UpstreamError, True),
        (Script(untranslatable=True), UntranslatableError, True),
        (Script(unsaid="no such field"), CallError, False),
    ],
)
def test_a_call_may_fail_before_its_answer(
    script: Script, error: type[Exception], is_sent: bool
) -> None:
    """A call that could not be said was never sent; the others are remembered."""
    provider = StubProvider([script])
    with pytest.raises(error) as failed:
        ask(provider, make_call())
    assert len(provider.calls) == is_sent
    if isinstance(failed.value, UntranslatableError):
        assert failed.value.reported == ReportedUsage(Tokens(5, 3))
    elif isinstance(failed.value, UpstreamError):
        assert not failed.value.sent


@pytest.mark.parametrize("words", [0, 1, 2])
def test_a_stream_breaks_off_after_so_many_words(words: int) -> None:
    """A break is not the client's leaving; before the first word there is no reply at all."""
    provider = StubProvider([Script(breaks_after=words)])
    heard: list[Chunk] = []

    async def main() -> None:
        async with provider.send(OFFER, make_call()) as reply:
            heard.append(reply.first)
            async for chunk in reply.rest:
                heard.append(chunk)

    with pytest.raises(UpstreamError, match="the stub broke off") as failed:
        asyncio.run(main())
    assert len(heard) == words
    assert failed.value.sent
    assert provider.left_early == 0


def test_leaving_early_is_counted() -> None:
    """Each stream that was not read to its end is one."""
    provider = StubProvider()
    for leave_after, expected in ((1, 1), (2, 2), (None, 2)):
        ask(provider, make_call(), leave_after=leave_after)
        assert provider.left_early == expected


def test_words_take_their_time() -> None:
    """A whole answer takes that of all its words; the time is that of the clock it was given."""
    clock = SimClock()
    provider = StubProvider([Script(token_s=2.0)], clock=clock)

    async def main() -> int:
        async with provider.send(OFFER, make_call(stream=False)):
            return clock.now_ns()

    async def world() -> int:
        asking = asyncio.create_task(main())
        await asyncio.sleep(0)
        await clock.advance(5.999)
        assert not asking.done()
        await clock.advance(0.001)
        return await asking

    assert asyncio.run(world()) == 6 * 10**9
