"""Events that come together are read one by one and handed on together."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import cast

import pytest

from inferworks.api.stream_usage import StreamUsage
from inferworks.cloud.call import Chunk
from inferworks.cloud.providers.passthrough import _Events
from inferworks.cloud.usage_parsers.openai import ChatReader
from inferworks.errors import RefusalError, UpstreamError
from inferworks.http.client import Response
from inferworks.http.sse import EventSplitter
from inferworks.meter.usage import Tokens
from inferworks.testing.providers import make_call

WORD = b'data: {"choices":[{"delta":{"content":"a"}}]}\n\n'
USAGE = b'data: {"choices":[],"usage":{"prompt_tokens":3,"completion_tokens":4}}\n\n'
COMMENT = b": wait\n\n"
FAULT = b'data: {"error":{"message":"overloaded"}}\n\n'
DONE = b"data: [DONE]\n\n"


class Body:
    """The body of an answer, in the pieces that come."""

    plain = None

    def __init__(self, pieces: Sequence[bytes]) -> None:
        self._pieces = iter(pieces)

    async def next_piece(self, _timeout_s: float) -> bytes:
        """The next piece; empty at the end."""
        return next(self._pieces, b"")


def events(*pieces: bytes) -> _Events:
    """The events in `pieces`, as OpenAI's are read."""
    response = cast(Response, Body(pieces))
    return _Events(response, 1.0, ChatReader(make_call()), EventSplitter())


async def taken(stream: _Events) -> list[Chunk]:
    """All chunks of `stream`."""
    return [chunk async for chunk in stream]


def test_what_comes_together_is_one_chunk() -> None:
    """Events of one piece are joined, the usage is told, and the last event stays by itself."""
    reported, last = asyncio.run(taken(events(WORD * 20 + USAGE + DONE)))
    assert reported.data == WORD * 20, "the usage event was asked for by us alone"
    assert reported.reported is not None
    assert reported.reported.tokens == Tokens(3, 4)
    assert (last.data, last.last) == (DONE, True)


def test_what_comes_apart_stays_apart() -> None:
    """Nothing is held back to be joined: a chunk is what has come, cut at the ends of events."""
    pieces = [WORD, WORD[:9], WORD[9:] + WORD, DONE]
    chunks = asyncio.run(taken(events(*pieces)))
    assert [chunk.data for chunk in chunks] == [WORD, WORD * 2, DONE]


def test_what_came_before_an_error_is_handed_on() -> None:
    """Events that came in one piece with an error are delivered, and then it is raised, for good."""

    async def main() -> None:
        stream = events(WORD * 2 + FAULT + DONE)
        assert (await anext(stream)).data == WORD * 2
        for _ in range(2):
            with pytest.raises(UpstreamError, match="overloaded"):
                await anext(stream)

    asyncio.run(main())


FINISHED = b'data: {"choices":[{"delta":{},"finish_reason":"stop"}]}\n\n'


@pytest.mark.parametrize("last", [b"", DONE[:-1], DONE[:-2], b"data: [DONE] ", COMMENT, b"\n"])
def test_an_orderly_end_is_an_end(last: bytes) -> None:
    """A stream with its finish reason and its body over has ended, without `[DONE]` or an empty line."""
    chunks = asyncio.run(taken(events(WORD, FINISHED, USAGE, last)))
    assert [chunk.last for chunk in chunks if chunk.data][-1]
    assert chunks[-1].data.rstrip() == DONE.rstrip()


@pytest.mark.parametrize("pieces", [[], [WORD], [COMMENT], [USAGE], [FINISHED, WORD[:9]], [DONE]])
def test_what_is_not_whole_stays_so(pieces: list[bytes]) -> None:
    """An end amid an answer is none, and neither is an answer of an end alone."""
    with pytest.raises(UpstreamError):
        asyncio.run(taken(events(*pieces)))


def test_a_comment_is_no_beginning() -> None:
    """Comments wait for the first event with data and come with it, up to a bound."""

    async def main() -> None:
        assert (await events(COMMENT, b"event: ping\ndata: {}\n\n", WORD).first()).data.endswith(
            WORD
        )
        assert (await events(COMMENT * 2, COMMENT, WORD).first()).data == COMMENT * 3 + WORD
        assert len((await events(*[COMMENT * 100] * 99, WORD).first()).data) < 9_000
        with pytest.raises(RefusalError, match="overloaded"):
            await events(COMMENT, FAULT).first()

    asyncio.run(main())


def test_a_silent_upstream_is_counted_by_its_events() -> None:
    """Each event that holds data counts as a token, however many came together, and no comment does."""
    usage, output = StreamUsage(make_call()), []
    for data in (WORD, COMMENT, WORD * 3, COMMENT + b"event: x\n" + WORD):
        usage.see(Chunk(data))
        output.append(usage.reported.tokens.output)
    assert output == [1, 1, 4, 5]
