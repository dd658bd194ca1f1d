"""An upstream that streams slowly, and clients that notice what they get, for tests that kill a gateway."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from dataclasses import dataclass, field

import msgspec

from inferworks.http.client import Origin
from inferworks.http.server import ClientGone, Exchange, HttpServer

EVENT_S = 0.2


class Upstream:
    """Streams a token every now and then, telling its usage with each, and remembers who was asked for."""

    def __init__(self) -> None:
        self.asked: Counter[str] = Counter()
        self.server = HttpServer(self.handle)

    async def handle(self, exchange: Exchange) -> None:
        """Answer one request with `max_tokens` events."""
        if exchange.method == "GET":
            await exchange.respond(200, b'{"data": []}')
            return
        self.asked[exchange.headers[b"x-inferworks-call-id"].decode()] += 1
        tokens = msgspec.json.decode(exchange.body)["max_tokens"]
        await exchange.start(200, [(b"content-type", b"text/event-stream")])
        try:
            for number in range(1, tokens + 1):
                await exchange.send(self._event(number))
                await asyncio.sleep(EVENT_S)
            await exchange.end(b"data: [DONE]\n\n")
        except ClientGone:
            pass  # the gateway was killed

    def _event(self, number: int) -> bytes:
        usage = {"prompt_tokens": 7, "completion_tokens": number, "total_tokens": 7 + number}
        choice = {"index": 0, "delta": {"content": "word "}}
        return b"data: " + msgspec.json.encode({"choices": [choice], "usage": usage}) + b"\n\n"


@dataclass
class Client:
    """One client: what it asks for, and what it has seen and when."""

    tokens: int
    leaves: bool
    data: bytes = b""
    times: list[float] = field(default_factory=list)
    """Time of each piece, which is an event unless the machine was late."""

    async def run(self, origin: Origin, key: str) -> None:
        """Ask, and read until the end, or leave in the middle."""
        reader, writer = await asyncio.open_connection(origin.host, origin.port)
        try:
            writer.write(self._request(key))
            while piece := await reader.read(65536):
                self.data += piece
                self.times += [time.monotonic()] * piece.count(b"word ")
                if self.whole or (self.leaves and len(self.times) >= 2):
                    return
        except ConnectionError:
            pass  # the gateway was killed
        finally:
            writer.transport.abort()

    def _request(self, key: str) -> bytes:
        body = msgspec.json.encode(
            {
                "model": "m",
                "messages": [{"role": "user", "content": "Go on."}],
                "stream": True,
                "max_tokens": self.tokens,
            }
        )
        head = (
            f"POST /v1/chat/completions HTTP/1.1\r\nhost: test\r\nauthorization: Bearer {key}\r\n"
        )
        # or one that is refused would wait for more until the gateway's patience with idle connections ends
        return f"{head}connection: close\r\ncontent-length: {len(body)}\r\n\r\n".encode() + body

    @property
    def whole(self) -> bool:
        """True if the client has the end of its answer."""
        return self.data.endswith(b"data: [DONE]\n\n\r\n0\r\n\r\n")

    @property
    def call_id(self) -> str:
        """The call's id in the answer's head."""
        return self.data.split(b"x-inferworks-call-id: ")[1].split(b"\r\n")[0].decode()
