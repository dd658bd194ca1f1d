"""The OpenAI dialect: OpenAI itself, and everything that speaks like it, our own replicas included.

The caller's dialect is the upstream's, so bytes pass through as they are. Two things are added on the
way down: the usage of a stream is always asked for (`stream_options.include_usage`), because a call
without usage cannot be billed, and from upstreams that know it also the running usage
(`continuous_usage_stats`, an extension of vLLM), because a stream that breaks off has been paid for.
Two are removed on the way up unless the client asked: the usage event, and the running usage in the
other events. Prompts are never decoded and encoded again: a request is taken apart at its top level
only, and its values stay the bytes that came.
"""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager

import msgspec

from inferworks.cloud.call import Call, Chunk, Reply
from inferworks.cloud.offer import Offer
from inferworks.errors import UpstreamError
from inferworks.http.client import HttpClient, Response
from inferworks.http.sse import DONE, EventSplitter, event_data
from inferworks.meter.usage import Tokens

_PATHS = {"chat.completions": "/chat/completions"}
_STREAM = b"text/event-stream"
_RUNNING_USAGE = b',"usage":'


class _PromptDetails(msgspec.Struct):
    cached_tokens: int | None = 0


class _CompletionDetails(msgspec.Struct):
    reasoning_tokens: int | None = 0


class _Usage(msgspec.Struct):
    prompt_tokens: int = 0
    completion_tokens: int = 0
    prompt_tokens_details: _PromptDetails | None = None
    completion_tokens_details: _CompletionDetails | None = None


class _Body(msgspec.Struct):
    """What we read of an answer; the rest passes unseen."""

    usage: _Usage | None = None
    choices: list[msgspec.Raw] = []
    error: msgspec.Raw | None = None


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
            if response.status < 400 and content_type.startswith(_STREAM):
                events = self._events(response, call)
            else:
                events = self._whole(response)
            try:
                yield Reply(response.status, content_type, await anext(events), events)
            finally:
                await events.aclose()

    async def _whole(self, response: Response) -> AsyncGenerator[Chunk, None]:
        body = await response.read(self._between_bytes_s, self._max_answer_bytes)
        usage = _read(body).usage if response.status < 400 else None
        yield Chunk(body, _tokens(usage) if usage else None, last=True)

    async def _events(self, response: Response, call: Call) -> AsyncGenerator[Chunk, None]:
        splitter = EventSplitter()
        ready: deque[bytes] = deque()
        while True:
            while not ready:
                piece = await response.next_piece(self._between_bytes_s)
                if not piece:
                    raise UpstreamError("the stream ended without [DONE]", sent=True)
                ready.extend(_split(splitter, piece))
            event = ready.popleft()
            chunk = read_event(event, wants_usage=call.wants_usage, running=self._running_usage)
            yield chunk
            if chunk.last:
                await _finish(response, self._between_bytes_s)
                return


async def _finish(response: Response, timeout_s: float) -> None:
    """Read the end of the body, so that the connection can be kept."""
    while await response.next_piece(timeout_s):
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


def read_event(event: bytes, *, wants_usage: bool, running: bool) -> Chunk:
    """An upstream's event as a chunk: what the client gets of it, and the tokens it tells of."""
    data = event_data(event)
    if data == DONE:
        return Chunk(event, last=True)
    if not data or _RUNNING_USAGE not in data:
        if data.startswith(b'{"error"'):
            raise UpstreamError("the stream broke off with an error", sent=True)
        return Chunk(event)
    body = _read(data)
    if body.usage is None:
        return Chunk(event)
    tokens = _tokens(body.usage)
    if not body.choices:
        return Chunk(event if wants_usage else b"", tokens)
    return Chunk(_without_usage(data) if running else event, tokens)


def _without_usage(data: bytes) -> bytes:
    """The event of `data` less its running usage, which only we asked for."""
    at = data.rfind(_RUNNING_USAGE)
    if data.endswith(b"}}") and b"}" not in data[at:-2]:
        return b"data: " + data[:at] + b"}\n\n"
    fields = _read_fields(data)
    fields.pop("usage", None)
    return b"data: " + msgspec.json.encode(fields) + b"\n\n"


def _read(data: bytes) -> _Body:
    try:
        return _read_body(data)
    except (msgspec.DecodeError, ValueError) as error:
        raise UpstreamError(f"the answer cannot be read: {error}", sent=True) from error


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
