"""Bytes that cross the gateway and bytes that do not, seen from both sides of its sockets.

The upstream here keeps the bytes that it was sent and answers with whatever a hostile one might. How
single messages are refused is in tests/http/test_request_reader.py; here it is shown that nothing of a
refused one reaches an upstream.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager, closing
from typing import Any

import msgspec
import pytest

from inferworks.cloud.credentials.key import KeyCredential
from inferworks.cloud.providers.anthropic import ANTHROPIC
from inferworks.cloud.providers.base import Provider
from inferworks.cloud.providers.openai import openai_provider
from inferworks.cloud.providers.passthrough import PassthroughProvider
from inferworks.http.client import HttpClient, Origin
from inferworks.testing.in_process_gateway import InProcessGateway, open_gateway_over
from inferworks.testing.providers import A_MODEL

Run = Callable[[Coroutine[Any, Any, None]], None]

UPSTREAM_KEY = "sk-the-gateways-own"
CHAT = "/v1/chat/completions"
MESSAGES = "/v1/messages"
BODY = {"model": A_MODEL, "max_tokens": 5, "messages": [{"role": "user", "content": "hi"}]}
ANSWER = (
    b'{"type":"message","choices":[{"index":0}],"usage":{"prompt_tokens":1,"completion_tokens":1,'
    b'"input_tokens":1,"output_tokens":1}}'
)
UPSTREAM_ID = "x-inferworks-upstream-request-id"
HOSTILE = (
    b"set-cookie: session=theirs; Domain=.example.com\r\n"
    b"server: secret-engine/1.2\r\n"
    b"x-powered-by: secret\r\n"
    b"openai-organization: org-secret\r\n"
    b"x-request-id: req-secret\r\n"
    b"via: 1.1 secret\r\n"
    b"alt-svc: h3=secret\r\n"
    b"proxy-authenticate: Basic realm=secret\r\n"
    b"www-authenticate: Bearer realm=secret\r\n"
    b"access-control-allow-origin: https://secret.example\r\n"
    b"connection: keep-alive, x-hop\r\n"
    b"x-hop: secret\r\n"
    b"keep-alive: timeout=secret\r\n"
    b"location: http://secret.example/\r\n"
)
"""Headers that are nobody's business but the upstream's."""


class Upstream:
    """Answers every request with the same bytes, and keeps what came."""

    def __init__(self, answer: bytes) -> None:
        self.heads: list[bytes] = []
        self.bodies: list[bytes] = []
        self._answer = answer

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer one request, then close."""
        try:
            head = await reader.readuntil(b"\r\n\r\n")
            length = re.search(rb"content-length: (\d+)", head)
            body = await reader.readexactly(int(length[1])) if length else b""
            self.heads.append(head)
            self.bodies.append(body)
            writer.write(self._answer)
            await writer.drain()
        finally:
            writer.close()
            await writer.wait_closed()


@asynccontextmanager
async def opened(
    answer: bytes = b"", path: str = CHAT, **settings: Any
) -> AsyncIterator[tuple[InProcessGateway, Upstream]]:
    """A gateway before an upstream that speaks the dialect of `path` and answers with these bytes."""
    upstream = Upstream(answer or answered())
    server = await asyncio.start_server(upstream.serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    origin = Origin("127.0.0.1", port, tls=False, base_path="/v1")
    try:
        with closing(HttpClient()) as client:
            async with open_gateway_over(
                _provider(client, path), origin=origin, **settings
            ) as gateway:
                yield gateway, upstream
    finally:
        server.close()
        await server.wait_closed()


def _provider(client: HttpClient, path: str) -> Provider:
    if path == MESSAGES:
        credential = KeyCredential(b"x-api-key", UPSTREAM_KEY)
        return PassthroughProvider(client, ANTHROPIC, credential)
    return openai_provider(client, KeyCredential.bearer(UPSTREAM_KEY), name="upstream")


def answered(status: bytes = b"200 OK", headers: bytes = b"", body: bytes = ANSWER) -> bytes:
    """An answer as an upstream writes it."""
    length = b"content-length: %d\r\n" % len(body)
    kind = b"content-type: application/json\r\n"
    return b"HTTP/1.1 %b\r\n%b%b%b\r\n%b" % (status, kind, length, headers, body)


def names(head: bytes) -> set[str]:
    """The names of the header fields of a request."""
    lines = head.decode("latin-1").split("\r\n")[1:]
    return {line.partition(":")[0].lower() for line in lines if line}


PRIVATE = {
    "cookie": "session=mine",
    "proxy-authorization": "Basic bWU6bWU=",
    "connection": "close, x-hop",
    "x-hop": "hop",
    "keep-alive": "timeout=5",
    "te": "trailers",
    "upgrade": "h2c",
    "via": "1.1 office",
    "forwarded": "for=10.1.2.3",
    "x-forwarded-for": "10.1.2.3",
    "x-real-ip": "10.1.2.3",
    "referer": "https://intranet.example/",
    "origin": "https://intranet.example",
    "user-agent": "their-program/1.0",
    "traceparent": "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
    "openai-organization": "org-mine",
    "x-goog-api-key": "goog-mine",
    "x-inferworks-purpose": "serve-paid",
}
"""Headers that callers and the proxies before us send along."""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("path", "own"),
    [
        (CHAT, {"authorization"}),
        (MESSAGES, {"x-api-key", "anthropic-version"}),
    ],
)
def test_nothing_of_the_caller_crosses_but_its_request(run: Run, path: str, own: set[str]) -> None:
    """An upstream sees its own credential and the call's id; of the caller's headers only its dialect's."""

    async def main() -> None:
        async with opened(path=path) as (gateway, upstream):
            body = msgspec.json.encode(BODY)
            answer = await gateway.ask("POST", path, body, headers=PRIVATE)
            assert answer.status == 200
            (head,) = upstream.heads
            sent = {"host", "accept-encoding", "content-type", "content-length"}
            assert names(head) <= sent | {"x-inferworks-call-id"} | own | {"traceparent"}
            assert UPSTREAM_KEY.encode() in head
            assert gateway.secret.encode() not in head
            for value in PRIVATE.values():
                if value not in {PRIVATE["traceparent"], "close, x-hop"}:
                    assert value.encode() not in head
            assert upstream.bodies == [body]

    run(main())


def test_a_key_crosses_whichever_way_it_is_shown(run: Run) -> None:
    """A caller's key in `x-api-key` reaches an upstream no more than one in `authorization`."""

    async def main() -> None:
        async with opened(path=MESSAGES) as (gateway, upstream):
            headers = {"x-api-key": gateway.secret, "anthropic-beta": "x"}
            body = msgspec.json.encode(BODY)
            answer = await gateway.ask("POST", MESSAGES, body, headers=headers, secret="")
            assert answer.status == 200
            (head,) = upstream.heads
            assert gateway.secret.encode() not in head
            assert head.count(b"x-api-key: ") == 1
            assert b"anthropic-beta: x\r\n" in head

    run(main())


@pytest.mark.parametrize(
    "answer",
    [
        answered(headers=HOSTILE),
        answered(b"400 Bad Request", HOSTILE, b'{"error":{"message":"no","type":"x"}}'),
        answered(b"401 Unauthorized", HOSTILE, b'{"error":{"message":"no","type":"x"}}'),
    ],
    ids=["answered", "refused", "unauthorized"],
)
def test_nothing_of_the_upstream_crosses_but_its_answer(run: Run, answer: bytes) -> None:
    """No cookie, no challenge, no name of what runs there reaches a caller; its id of the request does."""

    async def main() -> None:
        async with opened(answer) as (gateway, _):
            given = await gateway.chat(BODY)
            assert given.headers.pop(UPSTREAM_ID, "req-secret") == "req-secret"
            assert "secret" not in str(given.headers)
            assert "set-cookie" not in given.headers
            allowed = {"date", "content-length", "content-type", "connection", "retry-after"}
            allowed |= {"x-request-id"}
            assert {n for n in given.headers if not n.startswith("x-inferworks-")} <= allowed

    run(main())


def test_nothing_of_the_upstream_crosses_before_a_stream(run: Run) -> None:
    """The head of a stream is as bare as that of a whole answer."""
    event = b'data: {"choices":[{"index":0,"delta":{}}],"usage":{"prompt_tokens":1}}\n\n'
    stream = event + b"data: [DONE]\n\n"
    kind = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n"
    answer = kind + b"content-length: %d\r\n%b\r\n%b" % (len(stream), HOSTILE, stream)

    async def main() -> None:
        async with opened(answer) as (gateway, _):
            given = await gateway.chat({**BODY, "stream": True})
            assert given.status == 200
            assert given.events[-1] == b"[DONE]"
            assert given.headers.pop(UPSTREAM_ID) == "req-secret"
            assert "secret" not in str(given.headers)

    run(main())


@pytest.mark.parametrize("status", [b"301 Moved", b"302 Found", b"307 Temporary", b"308 Permanent"])
@pytest.mark.parametrize(
    "place", ["http://127.0.0.1:%d/v1/stolen", "//elsewhere.example/", "/v1/x"]
)
def test_redirects_are_not_followed(run: Run, status: bytes, place: str) -> None:
    """Wherever an upstream points, nobody is asked there, and the caller is not sent there either."""

    async def main() -> None:
        stolen = Upstream(answered())
        elsewhere = await asyncio.start_server(stolen.serve, "127.0.0.1", 0)
        port = elsewhere.sockets[0].getsockname()[1]
        location = place % port if "%d" in place else place
        answer = answered(status, f"location: {location}\r\n".encode(), b"{}")
        async with opened(answer) as (gateway, upstream):
            given = await gateway.chat(BODY)
            assert given.status == 502
            assert given.json["error"]["type"] == "server_error"
            assert "location" not in given.headers
            assert len(upstream.heads) == 1
        assert stolen.heads == []
        elsewhere.close()
        await elsewhere.wait_closed()

    run(main())


async def _stolen(
    gateway: InProcessGateway, upstream: Upstream, path: str, body: object, **headers: str
) -> int:
    """Ask with something that names another upstream; the status, after a look at who was asked."""
    answer = await gateway.ask("POST", path, msgspec.json.encode(body), headers=headers)
    assert upstream.heads == [] or b"host: 127.0.0.1:" in upstream.heads[-1]
    return answer.status


def test_no_request_names_an_upstream(run: Run) -> None:
    """Headers, query and fields that other gateways obey are passed over or passed on, never obeyed."""

    async def main() -> None:
        trap = Upstream(answered())
        server = await asyncio.start_server(trap.serve, "127.0.0.1", 0)
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"
        async with opened() as (gateway, upstream):
            fields = dict.fromkeys(("api_base", "base_url", "url", "endpoint", "custom_host"), url)
            headers = {
                "x-portkey-custom-host": url, "x-portkey-provider": "openai", "x-api-base": url,
                "helicone-target-url": url, "x-upstream": url, "x-forwarded-host": url[7:],
                "x-original-url": url, "destination": url,
            }  # fmt: skip
            assert await _stolen(gateway, upstream, CHAT, {**BODY, **fields}, **headers) == 200
            sent = msgspec.json.decode(upstream.bodies[-1])
            assert {name: sent[name] for name in fields} == fields  # unknown fields pass, unused
            assert await _stolen(gateway, upstream, f"{CHAT}?api_base={url}", BODY) == 200
            assert b"api_base" not in upstream.heads[-1]
            assert await _stolen(gateway, upstream, CHAT, BODY, host=url[7:-3]) == 200
            for model in (url, f"openai/{url}", "upstream/../../x", f"{A_MODEL}@{url}"):
                assert await _stolen(gateway, upstream, CHAT, {**BODY, "model": model}) == 404
            assert len(upstream.heads) == 3
        assert trap.heads == []
        server.close()
        await server.wait_closed()

    run(main())


@pytest.mark.parametrize(
    "path", ["//127.0.0.1:1/v1/chat/completions", "/v1/../v1/chat/completions", "/v1//chat/completions",
             "/v1/chat/completions/", "/v1/chat/completions%2f", "/V1/chat/completions"]
)  # fmt: skip
def test_paths_are_taken_as_they_are_written(run: Run, path: str) -> None:
    """No path is tidied up into another: what is not a path of ours is refused."""

    async def main() -> None:
        async with opened() as (gateway, upstream):
            answer = await gateway.ask("POST", path, msgspec.json.encode(BODY))
            assert answer.status == 404
            assert upstream.heads == []

    run(main())


def _head(*lines: str) -> str:
    return "\r\n".join([f"POST {CHAT} HTTP/1.1", "host: x", *lines]) + "\r\n\r\n"


SMUGGLED = "POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-length: 0\r\n\r\n"
TRICKS = {
    "length, then chunked": _head("content-length: 6", "transfer-encoding: chunked") + "0\r\n\r\n",
    "chunked, then length": _head("transfer-encoding: chunked", "content-length: 6") + "0\r\n\r\n",
    "two lengths": _head("content-length: 0", "content-length: 90"),
    "folded coding": _head("transfer-encoding:\r\n chunked") + "0\r\n\r\n",
    "space before a colon": _head("content-length : 0"),
    "tab before a colon": _head("transfer-encoding\t: chunked") + "0\r\n\r\n",
    "bare line feed": _head("a: b\ntransfer-encoding: chunked") + "0\r\n\r\n",
    "vertical tab": _head("transfer-encoding: \x0bchunked") + "0\r\n\r\n",
    "quoted": _head('transfer-encoding: "chunked"') + "0\r\n\r\n",
    "identity": _head("transfer-encoding: identity, chunked") + "0\r\n\r\n",
    "empty length": _head("content-length:"),
    "hexadecimal length": _head("content-length: 0x10"),
    "underscore in a chunk": _head("transfer-encoding: chunked") + "1_0\r\n",
    "chunk too large to count": _head("transfer-encoding: chunked") + "f" * 17 + "\r\n",
    "chunk longer than it says": _head("transfer-encoding: chunked") + "1\r\nabc\r\n0\r\n\r\n",
    "null in a name": _head("content-len\0gth: 3"),
}
"""Requests that two readers could end in two places; behind each stands a second one."""


@pytest.mark.parametrize("trick", TRICKS)
def test_no_second_request_is_smuggled(run: Run, trick: str) -> None:
    """A request whose end is in doubt is refused with all that comes behind it; no upstream hears of it."""

    async def main() -> None:
        async with opened() as (gateway, upstream):
            reader, writer = await gateway.connect()
            try:
                credential = f"authorization: Bearer {gateway.secret}\r\n"
                doubtful = TRICKS[trick].replace("host: x\r\n", f"host: x\r\n{credential}", 1)
                writer.write((doubtful + SMUGGLED).encode("latin-1"))
                async with asyncio.timeout(5):
                    answer = await reader.read()
            finally:
                writer.close()
            assert re.match(rb"HTTP/1\.1 (400|501) ", answer), answer
            assert len(re.findall(rb"HTTP/1\.1 \d", answer)) == 1
            assert upstream.heads == []

    run(main())
