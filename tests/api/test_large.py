"""Bodies, answers and floods of megabytes: served or refused, and nobody else waits.

That nobody waits, the watch over event loops sees to.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager, closing
from typing import Any

import pytest

from inferworks.cloud.credentials.key import NoCredential
from inferworks.cloud.providers.openai import openai_provider
from inferworks.http.client import HttpClient, Origin
from inferworks.testing.in_process_gateway import InProcessGateway, open_gateway_over
from inferworks.testing.providers import A_MODEL

pytestmark = pytest.mark.slow

Run = Callable[[Coroutine[Any, Any, None]], None]

MODEL = A_MODEL.encode()
SAID = b'"model":"%b","messages":[{"role":"user","content":"a"}]' % MODEL
ANSWER = (
    b'{"choices":[{"message":{"content":"a"}}],"usage":{"prompt_tokens":1,"completion_tokens":1}}'
)
LARGE = 12_000_000


@pytest.fixture(autouse=True)
def switches() -> Iterator[None]:
    """Threads take turns as in production."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(0.001)
    yield
    sys.setswitchinterval(before)


def chat(content: bytes) -> bytes:
    """A request with this content."""
    message = b'{"role":"user","content":%b}' % content
    return b'{"model":"%b","messages":[%b]}' % (MODEL, message)


@pytest.mark.parametrize(
    "content",
    [
        b'"' + b"A" * LARGE + b'"',
        b'"' + b"one, two; [three] {four}\\n" * (LARGE // 25) + b'"',
        b'"' + "größer ".encode() * (LARGE // 9) + b'"',
        b'[{"type":"image_url","image_url":{"url":"data:image/png;base64,%b"}}]' % (b"A" * LARGE),
    ],
    ids=["letters", "a text with commas and brackets", "umlauts", "a picture"],
)
def test_a_large_request_is_served(run: Run, content: bytes) -> None:
    """Megabytes of a request are served, whatever they are."""

    async def main() -> None:
        async with answering(b"application/json", ANSWER) as gateway:
            assert (await gateway.chat(chat(content))).status == 200

    run(main())


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"{" + SAID + b',"usage":[' + b"[]," * 2_000_000 + b"[]]}", "too_many_values"),
        (chat(b"[" + b"{}," * 2_000_000 + b"{}]"), "too_many_values"),
        (chat(b"[" + b'{"type":"text","text":""},' * 150_000 + b"{}]"), "too_many_values"),
        (b"{" + SAID + b',"x":[' + b"1," * 2_000_000 + b"1]}", "too_many_values"),
        (b"{" + SAID + b"".join(b',"k%d":1' % n for n in range(400_000)) + b"}", "too_many_fields"),
        (b"{" + SAID + b"".join(b',"k%d":1' % n for n in range(2_000)) + b"}", "too_many_fields"),
        (b"{" + SAID + b',"x":"' + b"A" * LARGE + b'","model":"another"}', "duplicate_parameter"),
    ],
    ids=[
        "lists",
        "objects",
        "parts",
        "numbers",
        "names",
        "some thousand names",
        "a name at the end",
    ],
)
def test_what_nobody_sends_is_refused(run: Run, body: bytes, code: str) -> None:
    """Small values by the hundred thousand, before anything is made of them."""

    async def main() -> None:
        async with answering(b"application/json", ANSWER) as gateway:
            answer = await gateway.chat(body)
            assert (answer.status, answer.json["error"]["code"]) == (400, code)

    run(main())


HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: %b\r\ntransfer-encoding: chunked\r\n\r\n"
GOOD = b'data: {"choices":[{"index":0,"delta":{"content":"a"}}]}\n\n'
USAGE = b'data: {"choices":[],"usage":{"prompt_tokens":1,"completion_tokens":1}}\n\n'
END = b"data: [DONE]\n\n"
FLOOD_BYTES = 1_200_000


@asynccontextmanager
async def answering(content_type: bytes, body: bytes) -> AsyncIterator[InProcessGateway]:
    """A gateway before an upstream that answers with `body`, as fast as it is taken."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        left = int(head.lower().partition(b"content-length: ")[2].partition(b"\r")[0])
        while left > 0:
            left -= len(await reader.read(1 << 20))
        writer.write(HEAD % content_type)
        for at in range(0, len(body), 50_000):
            piece = body[at : at + 50_000]
            writer.write(b"%x\r\n%b\r\n" % (len(piece), piece))
            await writer.drain()
        writer.write(b"0\r\n\r\n")
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with server:
        with closing(HttpClient()) as client:
            provider = openai_provider(client, NoCredential(), name="openai")
            origin = Origin("127.0.0.1", port, tls=False, base_path="/v1")
            async with open_gateway_over(provider, origin=origin) as gateway:
                yield gateway


@pytest.mark.parametrize(
    "unit",
    [
        b"\n\n", b":\n\n", b"data:\n\n", b"\r\n\r\n", b"data: {}\n\n", GOOD,
        b"data: " + b" " * 1_000_000 + b"{}\n\n", b"data: {}\n" * 5000 + b"\n",
        b'data: {"choices":[' + b"{}," * 300_000 + b"{}]}\n\n",
    ],
    ids=["blank", "comments", "no data", "of windows", "empty", "good", "long", "lines", "choices"],
)  # fmt: skip
def test_a_flood_of_events_keeps_nobody(run: Run, unit: bytes) -> None:
    """An upstream may send whatever it likes; its answer comes, or breaks off, and is on record."""
    flood = unit * (FLOOD_BYTES // len(unit) + 1)

    async def main() -> None:
        async with answering(b"text/event-stream", GOOD + flood + USAGE + END) as gateway:
            body = b"{" + SAID + b',"stream":true}'
            answer = await gateway.chat(body)
            assert answer.status == 200
            assert (await gateway.usages())[0].status == 200

    run(main())


@pytest.mark.parametrize(
    ("path", "request_", "answer"),
    [
        (
            "/v1/embeddings",
            b'{"model":"%b","input":"a"}' % MODEL,
            b'{"data":[{"embedding":[' + b"-0.0123456," * 500_000 + b"0]}],"
            b'"usage":{"prompt_tokens":1,"total_tokens":1}}',
        ),
        (
            "/v1/chat/completions",
            b"{" + SAID + b"}",
            b'{"choices":[{"message":{"role":"assistant","content":"'
            + b"a, " * 2_000_000
            + b'"}}],'
            b'"usage":{"prompt_tokens":1,"completion_tokens":1}}',
        ),
        (
            "/v1/images/generations",
            b'{"model":"%b","prompt":"a"}' % MODEL,
            b'{"data":[{"b64_json":"' + b"A" * 6_000_000 + b'"}]}',
        ),
    ],
    ids=["vectors", "a text", "a picture"],
)
def test_a_large_answer_is_delivered(run: Run, path: str, request_: bytes, answer: bytes) -> None:
    """Megabytes of an answer are delivered, whatever they are, with its cost where that is asked for."""

    async def main() -> None:
        async with answering(b"application/json", answer) as gateway:
            for headers in ({}, {"x-inferworks-include": "cost"}):
                answered = await gateway.ask("POST", path, request_, headers=headers)
                assert answered.status == 200
                assert len(answered.body) >= len(answer)

    run(main())


@pytest.mark.parametrize(
    "answer",
    [
        b'{"data":[' + b"1," * 600_000 + b"1]}",
        b'{"data":[{}],"usage":{' + b",".join(b'"k%d":[]' % n for n in range(200_000)) + b"}}",
    ],
    ids=["pictures", "counts"],
)
def test_a_large_answer_full_of_small_values_is_a_failure(run: Run, answer: bytes) -> None:
    """No upstream sends hundreds of thousands of pictures."""

    async def main() -> None:
        async with answering(b"application/json", answer) as gateway:
            request_ = b'{"model":"%b","prompt":"a"}' % MODEL
            answered = await gateway.ask("POST", "/v1/images/generations", request_)
            assert answered.status == 502

    run(main())
