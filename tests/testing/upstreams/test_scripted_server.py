"""The frame of fake upstreams, by a fake of the least vendor there could be."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing

import pytest
import uvloop

from inferworks.errors import UpstreamError
from inferworks.http.client import HttpClient
from inferworks.http.exchange import Exchange
from inferworks.testing.upstreams.script import Fault, Scripted
from inferworks.testing.upstreams.scripted_server import (
    Breakage,
    ScriptedUpstream,
    opened,
    write_events,
    write_whole,
)

BREAKAGE = Breakage(garbage=b"?", error=b"[error]", error_body=b"error", nothing=b".")


class Parrot(ScriptedUpstream[Scripted]):
    """Says its words: at once, or at `/stream` one by one."""

    base_path = "/v7"

    async def answer(self, exchange: Exchange, scripted: Scripted) -> None:
        """Answer one request as `scripted` says."""
        assert exchange.body != b"nonsense", "a parrot knows no nonsense"
        words = [word.encode() for word in scripted.words]
        if exchange.path.endswith("/stream"):
            await write_events(exchange, scripted, words, BREAKAGE, last=b"!")
        else:
            await write_whole(exchange, scripted, b"".join(words), BREAKAGE)


def of(**fields: object) -> Scripted:
    """A script of four words."""
    return Scripted(words=("ab", "cd", "ef", "gh"), **fields)


@asynccontextmanager
async def parrot(*answers: Scripted) -> AsyncIterator[tuple[Parrot, HttpClient]]:
    """A parrot and who asks it."""
    with closing(HttpClient()) as client:
        async with opened(Parrot(answers)) as upstream:
            yield upstream, client


async def said(upstream: Parrot, client: HttpClient, path: str, body: bytes = b"") -> bytes:
    """Bytes that came, with `<` where they broke off and `_` where nothing more came."""
    got = b""
    try:
        async with client.stream("POST", upstream.origin, path, (), body) as response:
            async for piece in response.pieces(0.2):
                got += piece
    except UpstreamError as error:
        return got + (b"_" if error.gave_up else b"<")
    return got


FAULTS = {
    Fault.NONE: (b"abcdefgh", b"abcdefgh!"),
    Fault.CLOSE: (b"abcd", b"ab"),
    Fault.RESET: (b"abcd<", b"ab<"),
    Fault.GARBAGE: (b"abcd?", b"ab?"),
    Fault.ERROR_EVENT: (b"abcderror", b"ab[error]"),
    Fault.HANG: (b"abcd._", b"ab._"),
}


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name.lower())
def test_answers_break_where_they_are_told_to(fault: Fault) -> None:
    """A whole answer in its middle, a stream after so many events, each in the vendor's own words."""

    async def main() -> None:
        async with parrot(of(fault=fault, fault_after=1)) as (upstream, client):
            whole = await said(upstream, client, "/whole")
            streamed = await said(upstream, client, "/stream")
            assert (whole, streamed) == FAULTS[fault]

    uvloop.run(main())


def test_a_script_is_followed_and_its_last_answer_repeated() -> None:
    """Requests that came are remembered, and so is the number of connections."""

    async def main() -> None:
        async with parrot(of(), Scripted(words=("z",))) as (upstream, client):
            got = [await said(upstream, client, "/whole", b"%d" % n) for n in range(3)]
            assert got == [b"abcdefgh", b"z", b"z"]
            assert [request.body for request in upstream.received] == [b"0", b"1", b"2"]
            assert {request.path for request in upstream.received} == {"/v7/whole"}
            assert (upstream.connections, upstream.left_early) == (1, 0)
            upstream.script(of())
            assert await said(upstream, client, "/whole") == b"abcdefgh"

    uvloop.run(main())


def test_who_leaves_early_is_counted() -> None:
    """A client that is gone before its answer is complete, even before it has begun."""

    async def main() -> None:
        async with parrot(of(fault=Fault.HANG_BEFORE_HEADERS)) as (upstream, client):
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.05):
                    await said(upstream, client, "/whole")
            async with asyncio.timeout(5.0):
                while upstream.left_early != 1:
                    await asyncio.sleep(0.002)

    uvloop.run(main())


def test_a_stream_leaves_in_the_pieces_it_is_told() -> None:
    """Pieces of one byte are the same stream."""

    async def main() -> None:
        async with parrot(of(piece_bytes=1, end_apart=True)) as (upstream, client):
            assert await said(upstream, client, "/stream") == b"abcdefgh!"

    uvloop.run(main())


def test_a_fake_that_fails_itself_says_so() -> None:
    """An error that escapes the fake's handler and is no fault of the script ends the test."""

    async def main() -> None:
        async with parrot(of()) as (upstream, client):
            assert await said(upstream, client, "/whole", b"nonsense") != b"abcdefgh"

    with pytest.raises(AssertionError, match=r"itself failed.*no nonsense"):
        uvloop.run(main())
