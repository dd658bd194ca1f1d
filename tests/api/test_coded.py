"""Requests that come compressed: read as what was packed, within bounds, or refused in words."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Callable, Coroutine
from typing import Any

import msgspec
import pyarrow as pa
import pytest
from tests.support.operations import form_call

from inferworks.cloud.operation import Operation
from inferworks.cloud.providers.stub import StubProvider
from inferworks.http.budget import FREE_BYTES
from inferworks.http.server import Limits
from inferworks.meter.usage import Outcome
from inferworks.testing.in_process_gateway import CHAT, open_gateway, open_gateway_over
from inferworks.testing.providers import A_MODEL
from inferworks.testing.upstreams.audio import recording

Run = Callable[[Coroutine[Any, Any, None]], None]
MESSAGES = [{"role": "user", "content": "hi"}]
BODY = msgspec.json.encode({"model": A_MODEL, "messages": MESSAGES})
LARGE = BODY.replace(b'"hi"', b'"%b"' % (b"x" * 2_000_000))


def zstd(data: bytes) -> bytes:
    """One frame."""
    return bytes(pa.compress(data, codec="zstd", asbytes=True))


PACK = {"gzip": gzip.compress, "x-gzip": gzip.compress, "Deflate": zlib.compress, "zstd": zstd}
BAD = {
    "plain": ("gzip", BODY),
    "plain as zstd": ("zstd", BODY),
    "cut off": ("gzip", gzip.compress(BODY)[:-1]),
    "something behind it": ("gzip", gzip.compress(BODY) + b"x"),
    "parts by the thousand": ("gzip", gzip.compress(b"") * 1001),
    "deflate with something behind it": ("deflate", zlib.compress(BODY) + b"{}"),
    "zstd, cut off": ("zstd", zstd(BODY)[:-1]),
}


@pytest.mark.parametrize("body", [BODY, LARGE], ids=["small", "large"])
@pytest.mark.parametrize("coding", PACK)
def test_a_call(run: Run, coding: str, body: bytes) -> None:
    """A compressed call is served as if it had come plain, and goes upstream plain."""

    async def main() -> None:
        async with open_gateway() as (gateway, upstream):
            packed = PACK[coding](body)
            for _ in range(2):
                answer = await gateway.chat(packed, headers={"content-encoding": coding})
                assert answer.status == 200
            (first, second) = upstream.received
            assert first.body == second.body == body
            assert b"content-encoding" not in first.headers
            usage, _ = await gateway.usages()
            assert usage.request_bytes == len(body)

    run(main())


def test_codings_that_say_nothing(run: Run) -> None:
    """`identity`, and an empty body in whatever coding, are as they are without."""

    async def main() -> None:
        async with open_gateway_over(StubProvider()) as gateway:
            assert (
                await gateway.chat(BODY, headers={"content-encoding": "identity"})
            ).status == 200
            empty = await gateway.chat(b"", headers={"content-encoding": "gzip"})
            plain = await gateway.chat(b"")
            assert (empty.status, empty.body) == (plain.status, plain.body)
            assert empty.status == 400

    run(main())


@pytest.mark.parametrize("coding", ["br", "gzip, gzip", "gzip, deflate", "compress", "\xff"])
@pytest.mark.parametrize("path", [CHAT, "/v1/messages", "/v1/usage/events"])
def test_codings_that_are_not_taken(run: Run, path: str, coding: str) -> None:
    """415, by the head alone, with the codings that are."""

    async def main() -> None:
        async with open_gateway_over(StubProvider()) as gateway:
            answer = await gateway.ask("POST", path, BODY, headers={"content-encoding": coding})
            assert answer.status == 415
            assert answer.headers["accept-encoding"] == "gzip, deflate, zstd"
            assert "gzip, deflate, zstd" in answer.json["error"]["message"]
            assert await gateway.usages() == []

    run(main())


@pytest.mark.parametrize(("coding", "body"), BAD.values(), ids=BAD)
def test_what_is_not_what_it_says(run: Run, coding: str, body: bytes) -> None:
    """400 with the coding in its words, and a record of a refused call."""

    async def main() -> None:
        async with open_gateway_over(StubProvider()) as gateway:
            answer = await gateway.chat(body, headers={"content-encoding": coding})
            assert (answer.status, answer.json["error"]["code"]) == (
                400,
                "invalid_content_encoding",
            )
            assert f"cannot be decoded as {coding}: " in answer.json["error"]["message"]
            (usage,) = await gateway.usages()
            assert (usage.outcome, usage.status) == (Outcome.REFUSED, 400)
            assert (await gateway.chat(BODY)).status == 200

    run(main())


@pytest.mark.parametrize("coding", ["gzip", "deflate", "zstd"])
def test_what_stands_for_too_much(run: Run, coding: str) -> None:
    """A body is decoded no further than a body may be large."""

    async def main() -> None:
        limits = Limits(body_bytes=600_000)
        async with open_gateway_over(StubProvider(), limits=limits) as gateway:
            fits = BODY[:-1] + b" " * (600_000 - len(BODY)) + b"}"
            for body, status in ((fits, 200), (fits + b" ", 413), (bytes(1 << 25), 413)):
                packed = PACK.get(coding, zlib.compress)(body)
                answer = await gateway.chat(packed, headers={"content-encoding": coding})
                assert answer.status == status
            assert answer.json["error"]["code"] == "body_too_large"

    run(main())


def test_what_is_decoded_is_counted(run: Run) -> None:
    """Decoded bytes count among those that may be held at once, and no more once the call is over."""

    async def main() -> None:
        limits = Limits(body_bytes=4_000_000, held_bytes=4_000_000)
        async with open_gateway_over(StubProvider(), limits=limits) as gateway:
            head = {"content-encoding": "gzip"}
            half = gzip.compress(BODY[:-1] + b" " * 1_500_000 + b"}")
            more = gzip.compress(BODY[:-1] + b" " * 2_500_000 + b"}")
            assert len(more) < FREE_BYTES
            for _ in range(3):
                assert (await gateway.chat(half, headers=head)).status == 200
                answer = await gateway.chat(more, headers=head)
                assert (answer.status, answer.json["error"]["code"]) == (503, "no_room")
                assert answer.headers["retry-after"] == "1"
            assert gateway.server.budget.held_bytes == 0

    run(main())


def test_a_form(run: Run) -> None:
    """A form with files may come so, too."""

    async def main() -> None:
        async with open_gateway() as (gateway, upstream):
            call = form_call(
                Operation.TRANSCRIPTIONS, {"model": A_MODEL}, file=("file", recording(2000))
            )
            headers = {
                "content-encoding": "gzip",
                "content-type": call.content_type.decode(),
            }
            path = "/v1/audio/transcriptions"
            answer = await gateway.ask("POST", path, gzip.compress(call.body), headers=headers)
            assert answer.status == 200
            assert upstream.received[0].body == call.body

    run(main())


def test_events(run: Run) -> None:
    """Reports of use elsewhere may come compressed too."""

    async def main() -> None:
        async with open_gateway_over(StubProvider()) as gateway:
            headers = {"content-encoding": "gzip"}
            answer = await gateway.ask(
                "POST", "/v1/usage/events", gzip.compress(b"[]"), headers=headers
            )
            assert (answer.status, answer.json["received"]) == (200, 0)

    run(main())
