"""The OpenAI dialect: OpenAI itself, and everything that speaks like it, our own replicas included.

The caller's dialect is the upstream's, so bytes pass through as they are. Two things are added on the
way down: the usage of a stream is always asked for (`stream_options.include_usage`), because a call
without usage cannot be billed, and from upstreams that know it also the running usage
(`continuous_usage_stats`, an extension of vLLM), because a stream that breaks off has been paid for.
Two are removed on the way up unless the client asked: the usage event, and the running usage in the
other events. Prompts are never decoded and encoded again: a request is taken apart at its top level
only, and its values stay the bytes that came.

Every event is read, though only as far as its usage and its errors (0.3 microseconds each). Rejected:
looking for `"usage":` in the bytes, which misses an upstream that writes a space after its colons, and
then a whole stream is billed by estimate.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Annotated

import msgspec
from msgspec import Meta

from inferworks.cloud.call import Call, Chunk, Reply
from inferworks.cloud.offer import Offer
from inferworks.errors import UpstreamError
from inferworks.http.client import HttpClient, Response
from inferworks.http.sse import DONE, EventSplitter, event_data
from inferworks.meter.usage import Tokens

_PATHS = {"chat.completions": "/chat/completions"}
_STREAM = b"text/event-stream"
_END_S = 1.0
"""How long the end of a body may take after `[DONE]` before its connection is given up."""

_Count = Annotated[int, Meta(ge=0, le=(1 << 63) - 1)]


class _PromptDetails(msgspec.Struct):
    cached_tokens: _Count | None = 0


class _CompletionDetails(msgspec.Struct):
    reasoning_tokens: _Count | None = 0


class _Usage(msgspec.Struct):
    prompt_tokens: _Count = 0
    completion_tokens: _Count = 0
    prompt_tokens_details: _PromptDetails | None = None
    completion_tokens_details: _CompletionDetails | None = None


class _Body(msgspec.Struct):
    """What we read of an answer or an event; the rest passes unseen."""

    usage: _Usage | None = None
    choices: list[msgspec.Raw] | None = None
    error: dict[str, msgspec.Raw] | str | None = None


_read_body = msgspec.json.Decoder(_Body).decode
_read_fields = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode


class OpenAIProvider:
    """A `Provider` for upstreams that speak OpenAI's HTTP API."""

    def __init__(
        self,
        client: HttpClient,
        *,
        name: str,
        key: str = "",
        running_usage: bool = False,
        between_bytes_s: float = 120.0,
        max_answer_bytes: int = 64 * 1024 * 1024,
    ) -> None:
        """`running_usage` says that the upstream knows `continuous_usage_stats`."""
        self.name = name
        self._client = client
        self._running_usage = running_usage
        self._between_bytes_s = between_bytes_s
        self._max_answer_bytes = max_answer_bytes
        self._headers = [(b"content-type", b"application/json")]
        if key:
            self._headers.append((b"authorization", b"Bearer " + key.encode()))

    @asynccontextmanager
    async def send(self, offer: Offer, call: Call) -> AsyncIterator[Reply]:
        """Send `call` to `offer` and enter with its answer."""
        headers = [*self._headers, (b"x-inferworks-call-id", call.id.encode())]
        body = with_usage(call.body, running=self._running_usage) if call.stream else call.body
        path = _PATHS[call.operation]
        async with self._client.stream("POST", offer.origin, path, headers, body) as response:
            content_type = response.headers.get(b"content-type", b"application/json")
            if response.status >= 300 or not call.stream:
                whole = await self._whole(response)
                yield Reply(response.status, content_type, whole, _Nothing())
                return
            if not content_type.lower().startswith(_STREAM):
                raise UpstreamError("it was asked for a stream and sent something else", sent=True)
            events = _Events(
                response,
                self._between_bytes_s,
                wants_usage=call.wants_usage,
                wants_running=call.wants_running_usage or not self._running_usage,
            )
            yield Reply(response.status, content_type, await anext(events), events)
            if events.ended:
                await _finish(response)

    async def _whole(self, response: Response) -> Chunk:
        """The answer as one chunk: a completion, or a refusal as it came."""
        data = await response.read(self._between_bytes_s, self._max_answer_bytes)
        if response.status >= 300:
            return Chunk(data, last=True)
        body = _read(data)
        return Chunk(data, None if body.usage is None else _tokens(body.usage), last=True)


class _Events:
    """The events of a stream as chunks.

    Not an async generator: what it holds is its reader's, so there is nothing to close when it is left.
    """

    def __init__(
        self, response: Response, between_bytes_s: float, *, wants_usage: bool, wants_running: bool
    ) -> None:
        self.ended = False
        self._response = response
        self._between_bytes_s = between_bytes_s
        self._wants_usage = wants_usage
        self._wants_running = wants_running
        self._splitter = EventSplitter()
        self._ready: deque[bytes] = deque()

    def __aiter__(self) -> _Events:
        return self

    async def __anext__(self) -> Chunk:
        if self.ended:
            raise StopAsyncIteration
        while not self._ready:
            piece = await self._response.next_piece(self._between_bytes_s)
            if not piece:
                raise UpstreamError("the stream ended without [DONE]", sent=True)
            self._ready.extend(_split(self._splitter, piece))
        event = self._ready.popleft()
        chunk = read_event(event, wants_usage=self._wants_usage, wants_running=self._wants_running)
        self.ended = chunk.last
        return chunk


class _Nothing:
    """What follows a whole answer."""

    def __aiter__(self) -> _Nothing:
        return self

    async def __anext__(self) -> Chunk:
        raise StopAsyncIteration


async def _finish(response: Response) -> None:
    """Read the end of a body whose answer is whole, so that the connection can be kept.

    An end that does not come, or comes badly, costs the connection and nothing else.
    """
    with suppress(TimeoutError, UpstreamError):
        async with asyncio.timeout(_END_S):
            while await response.next_piece(_END_S):
                pass


def _split(splitter: EventSplitter, piece: bytes) -> list[bytes]:
    try:
        return splitter.feed(piece)
    except ValueError as error:
        raise UpstreamError(str(error), sent=True) from error


def with_usage(body: bytes, *, running: bool) -> bytes:
    """The request `body` asking for usage; every other value keeps its bytes."""
    fields = _read_fields(body)
    given = bytes(fields.get("stream_options", b"null"))
    options = {} if given == b"null" else _read_fields(given)
    options["include_usage"] = msgspec.Raw(b"true")
    if running:
        options["continuous_usage_stats"] = msgspec.Raw(b"true")
    fields["stream_options"] = msgspec.Raw(msgspec.json.encode(options))
    return msgspec.json.encode(fields)


def read_event(event: bytes, *, wants_usage: bool, wants_running: bool) -> Chunk:
    """An upstream's event as a chunk: what the client gets of it, and the tokens it tells of.

    `wants_usage` and `wants_running` say whether the client gets the usage event of a stream, and the
    usage within the other events. UpstreamError when the event is an error or cannot be read.
    """
    data = event_data(event)
    if data == DONE:
        return Chunk(event, last=True)
    if not data:
        return Chunk(event)  # a comment
    body = _read(data)
    if body.usage is None:
        return Chunk(event)
    tokens = _tokens(body.usage)
    if not body.choices:
        return Chunk(event if wants_usage else b"", tokens)
    return Chunk(event if wants_running else _without_usage(data), tokens)


def _without_usage(data: bytes) -> bytes:
    """The event of `data` less its running usage, which only we asked for."""
    fields = _read_fields(data)
    del fields["usage"]
    return b"data: " + msgspec.json.encode(fields) + b"\n\n"


def _read(data: bytes) -> _Body:
    """What an answer or an event tells. UpstreamError when it tells of an error, or nothing readable."""
    try:
        body = _read_body(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise UpstreamError(f"the answer cannot be read: {error}", sent=True) from error
    if body.error and not body.choices:
        raise UpstreamError("the answer broke off with an error", sent=True)
    return body


def _tokens(usage: _Usage) -> Tokens:
    """OpenAI's counts as ours: cached tokens are part of the prompt's, reasoning of the completion's."""
    prompt = usage.prompt_tokens_details
    completion = usage.completion_tokens_details
    return Tokens(
        input=usage.prompt_tokens,
        output=usage.completion_tokens,
        cache_read=(prompt.cached_tokens or 0) if prompt else 0,
        reasoning=(completion.reasoning_tokens or 0) if completion else 0,
    )
