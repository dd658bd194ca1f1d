"""Every byte passes between caller and upstream of one dialect, but for the model's name.

The upstream here writes JSON as nobody would, and the caller too: white space in odd places, escapes where
none are needed, numbers that no machine has, fields in no order and fields that nobody knows.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager, closing
from typing import Any

import msgspec
import pytest

from inferworks.cloud.credentials.key import NoCredential
from inferworks.cloud.providers.anthropic import ANTHROPIC
from inferworks.cloud.providers.openai import openai_provider
from inferworks.cloud.providers.passthrough import PassthroughProvider
from inferworks.http.client import HttpClient, Origin
from inferworks.http.server import Exchange, HttpServer
from inferworks.testing.in_process_gateway import InProcessGateway, open_gateway_over
from inferworks.testing.providers import A_MODEL

Run = Callable[[Coroutine[Any, Any, None]], None]

NAME = b'"' + A_MODEL.encode() + b'"'
ODD = rb"""
  , "x_unknown" :{"b":1e400,"a":-0.0 ,"n":123456789012345678901234567890 , "model":"another"},
  "\u0075ser":"J\u00fcrgen \/ \ud83d\ude00",	"seed":  7,"z":[ ],"y" :	null  }
"""
"""The end of every request: fields that no dialect or this one knows, in many ways of writing."""
ASKED = {
    "/v1/chat/completions": b"""{"messages" : [ {"role":"user","content":[{"type":"text","text":"h\\u0069"},
        {"type":"image_url","image_url":{"url":"data:image/png;base64,iVBORw0KGgo="}}],"name":"a"},
        {"role":"assistant","tool_calls":[{"id":"c","type":"function",
        "function":{"name":"f","arguments":"{ \\"x\\" : 1.0 }"}}],"reasoning_content":"hm"},
        {"role":"tool","tool_call_id":"c","content":"1"}],
        "tools":[{"type":"function","function":{"name":"f","parameters":{"b":{},"a":{}}}}],
        "response_format":{"type":"json_schema","json_schema":{"name":"s","schema":{"type":"object"}}},
        "logprobs":true,"top_logprobs":2,"reasoning_effort":"low", "model" : %b""",
    "/v1/completions": b'{ "model":%b, "prompt" :[ 1,2 ,3],"logprobs" : 3',
    "/v1/responses": b"""{"input":[{"type":"message","role":"user","content":[{"type":"input_image",
        "image_url":"https:\\/\\/example.com"}]},{"type":"of_tomorrow","x":[1 ]}],
        "include":["reasoning.encrypted_content"],"model":%b,"reasoning":{"effort":"low"}""",
    "/v1/embeddings": b'{"encoding_format":"base64","input": [ "a","\\u0062" ], "model" : %b',
    "/v1/moderations": b'{"input":[{"type":"text","text":"a"} ] , "model":%b',
    "/v1/rerank": b'{"documents":["a",{"text" :"b"}],"query":"q","model" :%b,"top_n":1',
    "/v1/messages": b"""{"max_tokens":5,"model":%b,"messages":[{"role":"user","content":[{"type":"text",
        "text":"a","cache_control":{"type":"ephemeral" , "ttl":"1h"}}]}],"thinking":{"type":"adaptive"}""",
    "/v1/messages/count_tokens": b'{"messages":[{"content":"a","role":"user"}],"model":%b',
}
"""Path -> the beginning of a request that can be sent there, with a place for the model's name."""

ANSWER = rb"""{ "usage" : {"total_tokens":2,"prompt_tokens" :1,"completion_tokens":1, "x":1E+2,
  "input_tokens":1,"output_tokens":1 }, "input_tokens": 1,
 "choices":[{"message":{"content":"h\u0069","reasoning":"hm","role":"assistant"},"logprobs":
 {"content":[{"token":"h\u0069","bytes":[104,105],"logprob":-1.0E-7,"top_logprobs":[ ]}]},"index":0}],
 "data":[],"results":[ ],"type":"message","object" :"\/","x":123456789012345678901234567890 , "y":-0.0}
"""
"""An answer to anything."""


class Upstream:
    """An upstream that answers everything with the same bytes and remembers what it was sent."""

    def __init__(self, content_type: bytes, body: bytes) -> None:
        self.asked = b""
        self.content_type = b""
        self._content_type = content_type
        self._body = body

    async def handle(self, exchange: Exchange) -> None:
        """Answer anything."""
        self.asked = exchange.body
        self.content_type = exchange.headers[b"content-type"]
        await exchange.respond(200, self._body, self._content_type)


@asynccontextmanager
async def opened(
    path: str, body: bytes, content_type: bytes = b"application/json", *, upstream_model: str = ""
) -> AsyncIterator[tuple[InProcessGateway, Upstream]]:
    """A gateway before an upstream that answers with `body` and speaks the dialect of `path`."""
    upstream = Upstream(content_type, body)
    server = HttpServer(upstream.handle)
    origin = Origin("127.0.0.1", await server.start("127.0.0.1", 0), tls=False, base_path="/v1")
    try:
        with closing(HttpClient()) as client:
            provider = _provider(client, path)
            async with open_gateway_over(provider, origin=origin) as gateway:
                (offer,) = gateway.catalogue.ready[A_MODEL]
                offer = msgspec.structs.replace(offer, upstream_model=upstream_model)
                gateway.catalogue.ready[A_MODEL] = [offer]
                yield gateway, upstream
    finally:
        await server.stop(drain_s=0.0)


def _provider(client: HttpClient, path: str) -> PassthroughProvider:
    if path.startswith("/v1/messages"):
        return PassthroughProvider(client, ANTHROPIC, NoCredential())
    return openai_provider(client, NoCredential(), name="upstream")


@pytest.mark.parametrize("name", ["", "vendor/modèle"])
@pytest.mark.parametrize("path", ASKED)
def test_requests_and_answers_pass(run: Run, path: str, name: str) -> None:
    """A request reaches its upstream byte for byte, and so does its answer the caller."""
    body = ASKED[path] % NAME + ODD

    async def main() -> None:
        async with opened(path, ANSWER, upstream_model=name) as (gateway, upstream):
            answer = await gateway.ask("POST", path, body)
            assert (answer.status, answer.body) == (200, ANSWER)
            wanted = f'"{name}"'.encode() if name else NAME
            assert upstream.asked == ASKED[path] % wanted + ODD

    run(main())


@pytest.mark.parametrize("claimed", ["multipart/form-data", "text/plain", "application/json; a=b"])
@pytest.mark.parametrize("name", ["", "vendor/m"])
def test_json_is_json_whatever_it_claims_to_be(run: Run, claimed: str, name: str) -> None:
    """A content type other than JSON is put right on the way up where only JSON is read."""
    path = "/v1/embeddings"

    async def main() -> None:
        async with opened(path, ANSWER, upstream_model=name) as (gateway, upstream):
            body = ASKED[path] % NAME + b"}"
            answer = await gateway.ask("POST", path, body, headers={"content-type": claimed})
            assert answer.status == 200
            assert upstream.content_type == b"application/json"

    run(main())


CHATS = rb"""data: {"choices":[{"delta":{"content":"h\u0069","reasoning_content":"\u0068m"},"index":0}]}

: keep-alive

data:{ "x":123456789012345678901234567890 ,"choices":[{"delta":{"tool_calls":[{"index":0}]} ,"index":0}] }

data: {"usage":{"prompt_tokens" :1,"completion_tokens":1},"choices":[ ]}

data: [DONE]

"""
MESSAGES = rb"""event: message_start
data: {"message":{"usage":{"output_tokens":1, "input_tokens" :1},"id":"\u006d"},"type":"message_start"}

: keep-alive

event: of_tomorrow
data: {"type":"of_tomorrow","x":1E+2 }

event: message_delta
data: {"usage":{"output_tokens" : 2},"delta":{"stop_reason":"end_turn"},"type":"message_delta"}

event: message_stop
data: { "type":"message_stop" }

"""
RESPONSES = rb"""event: response.created
data: {"type":"response.created","response":{ "id":"\u0072"},"sequence_number":0}

event: response.of_tomorrow
data: { "type":"response.of_tomorrow" , "x":1E+2}

event: response.completed
data: {"response":{"usage":{"output_tokens":1, "input_tokens" :1}},"type":"response.completed"}

"""
ASKING = b',"stream" :true,"stream_options":{ "include_usage":true}'
STREAMS = {
    "/v1/chat/completions": (ASKING, CHATS),
    "/v1/completions": (ASKING, CHATS),
    "/v1/responses": (b',"stream" :true', RESPONSES),
    "/v1/messages": (b', "stream":true', MESSAGES),
}
"""Path -> the wish for a stream with its usage, and the stream."""


@pytest.mark.parametrize("path", STREAMS)
def test_streams_pass(run: Run, path: str) -> None:
    """Every event of a stream passes, comments and kinds that nobody knows included."""
    asking, events = STREAMS[path]
    body = ASKED[path] % NAME + asking + ODD

    async def main() -> None:
        async with opened(path, events, b"text/event-stream") as (gateway, upstream):
            answer = await gateway.ask("POST", path, body)
            assert answer.body == events
            assert upstream.asked == body

    run(main())


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/completions"])
def test_only_the_wish_for_usage_is_added(run: Run, path: str) -> None:
    """A caller that asks for no usage of a stream sees none; our wish stands at the end of its request."""
    body = ASKED[path] % NAME + b',"stream":true' + ODD

    async def main() -> None:
        async with opened(path, CHATS, b"text/event-stream") as (gateway, upstream):
            answer = await gateway.ask("POST", path, body)
            first, comment, second, usage, done = CHATS.split(b"\n\n")[:-1]
            assert usage not in answer.body
            assert answer.body == b"".join(b"%b\n\n" % e for e in (first, comment, second, done))
            end = body.rstrip().removesuffix(b"}")
            assert upstream.asked.startswith(end)
            added = b',"stream_options":{"include_usage":true}}\n'
            assert upstream.asked == end + added

    run(main())
