"""The mock upstream: whole answers at once, and streams of paced chunks, over lean asyncio.

    python -m gateways.mock PORT

The prompt, which every gateway passes on, sets the form of a stream: `chunks=200 pause_us=20000`. The
first chunk leaves at once and each next one a pause later. Every chunk carries the time at which it was
due, in nanoseconds of the machine's monotonic clock, so that its receiver knows how late it is, whether by
the gateway or by the mock itself. A pause of 0 sends all at once.

Streams are paced by one timer for all and not by one each: the mock must not be what is measured.
"""

from __future__ import annotations

import asyncio
import re
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import cast

import httptools
import uvloop

from gateways.calls import ANSWER

_ASKED = re.compile(rb"chunks=(\d+) pause_us=(\d+)")
_TICK_NS = 1_000_000
_HEAD = (
    b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncache-control: no-cache\r\n"
    b"transfer-encoding: chunked\r\n\r\n"
)
_EVENT = (
    b'data: {"id":"chatcmpl-benchmark","object":"chat.completion.chunk","created":1700000000,'
    b'"model":"m","choices":[{"index":0,"delta":{"content":"%019d"},"finish_reason":null}]}\n\n'
)
_FINISH = (
    b'data: {"id":"chatcmpl-benchmark","object":"chat.completion.chunk","created":1700000000,'
    b'"model":"m","choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}\n\n'
)
_USAGE = (
    b'data: {"id":"chatcmpl-benchmark","object":"chat.completion.chunk","created":1700000000,'
    b'"model":"m","choices":[],"usage":{"prompt_tokens":20,"completion_tokens":%d,'
    b'"total_tokens":%d}}\n\n'
)
_DONE = b"data: [DONE]\n\n"
_MODELS = b'{"object":"list","data":[{"id":"m","object":"model","created":0,"owned_by":"mock"}]}'


def _framed(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


def _whole(body: bytes) -> bytes:
    head = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n"
    return head % len(body) + body


_ANSWER = _whole(ANSWER.encode())


@dataclass
class _Stream:
    """One stream on its way."""

    transport: asyncio.Transport
    left: int
    end: bytes
    due_ns: int
    pause_ns: int


class _Pacer:
    """Writes the chunks of all streams when they are due: one timer, and a bucket for each tick."""

    def __init__(self) -> None:
        self._buckets: dict[int, list[_Stream]] = {}
        self._tick = time.monotonic_ns() // _TICK_NS
        self._loop = asyncio.get_running_loop()
        self._loop.call_soon(self._run)

    def begin(self, stream: _Stream, head: bytes) -> None:
        """Write the head and the first chunk now, the others when they are due."""
        self._write(stream, head)

    def _run(self) -> None:
        now = time.monotonic_ns() // _TICK_NS
        while self._tick <= now:
            for stream in self._buckets.pop(self._tick, ()):
                self._write(stream)
            self._tick += 1
        self._loop.call_later(_TICK_NS / 1e9, self._run)

    def _write(self, stream: _Stream, head: bytes = b"") -> None:
        if stream.transport.is_closing():
            return
        chunks = stream.left if not stream.pause_ns else 1
        stream.left -= chunks
        events = b"".join(_framed(_EVENT % stream.due_ns) for _ in range(chunks))
        stream.transport.write(head + events + (b"" if stream.left else stream.end))
        if stream.left:
            stream.due_ns += stream.pause_ns
            tick = max(-(-stream.due_ns // _TICK_NS), self._tick + 1)
            self._buckets.setdefault(tick, []).append(stream)


class _Upstream(asyncio.Protocol):
    """One connection of a gateway."""

    def __init__(self, pacer: _Pacer) -> None:
        self._pacer = pacer
        self._parser = httptools.HttpRequestParser(self)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        self._parser.feed_data(data)

    def on_message_begin(self) -> None:
        self._url = self._body = b""

    def on_url(self, url: bytes) -> None:
        self._url += url

    def on_body(self, body: bytes) -> None:
        self._body += body

    def on_message_complete(self) -> None:
        if self._url.endswith(b"/models"):
            self._transport.write(_whole(_MODELS))
        elif asked := _ASKED.search(self._body):
            self._stream(int(asked[1]), int(asked[2]) * 1000)
        else:
            self._transport.write(_ANSWER)  # also to GET /health

    def _stream(self, chunks: int, pause_ns: int) -> None:
        end = b"".join(map(_framed, self._end(chunks))) + b"0\r\n\r\n"
        stream = _Stream(self._transport, chunks, end, time.monotonic_ns(), pause_ns)
        self._pacer.begin(stream, _HEAD)

    def _end(self, chunks: int) -> Iterator[bytes]:
        """Yield the end of a stream; the usage only if the request wants it, as with OpenAI."""
        yield _FINISH
        if b"include_usage" in self._body:
            yield _USAGE % (chunks, chunks + 20)
        yield _DONE


async def _serve(port: int) -> None:
    pacer = _Pacer()
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: _Upstream(pacer), "127.0.0.1", port, backlog=4096)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(_serve(int(sys.argv[1])))
