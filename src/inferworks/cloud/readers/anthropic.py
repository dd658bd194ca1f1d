"""What Anthropic's messages tell, from Anthropic itself or from anybody who speaks like it.

The cache convention is *added*: `input_tokens` leaves out what was read from the cache and what was
written to it, so the whole input is the sum of the three. A stream tells the input at once, in
`message_start`, and the output at its end, in `message_delta`, whose counts are cumulative: each replaces
what was told before, an explicit zero too.

In between a stream tells nothing, yet what breaks off there has been paid for. So the output is counted
along from what passes: a delta is a token at least, and a long one a token for every four characters.
Such a count is marked (`Told.is_estimate`) and gives way to the upstream's own. Rejected: the
`output_tokens` of `message_start`, which is one or two whatever comes after it.

Source: https://platform.claude.com/docs/en/build-with-claude/streaming and /prompt-caching
"""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta

from inferworks.cloud.call import Call, Chunk, Told
from inferworks.errors import UpstreamError
from inferworks.http.sse import event_data
from inferworks.meter.usage import NO_ITEMS, NO_TOKENS, Items, Tokens

Count = Annotated[int, Meta(ge=0, le=1 << 60)]
"""A number of tokens; the sum of several is still 64 bits wide."""
_CHARACTERS_PER_TOKEN = 4
"""The length of a token of English text, by rule of thumb."""


class _CacheCreation(msgspec.Struct):
    ephemeral_5m_input_tokens: Count | None = None
    ephemeral_1h_input_tokens: Count | None = None


class _OutputDetails(msgspec.Struct):
    thinking_tokens: Count | None = None


class _ServerTools(msgspec.Struct):
    web_search_requests: Count | None = None


class Usage(msgspec.Struct):
    """The `usage` object of a message or of a `message_delta`; None is what it does not say."""

    input_tokens: Count | None = None
    output_tokens: Count | None = None
    cache_creation_input_tokens: Count | None = None
    cache_read_input_tokens: Count | None = None
    cache_creation: _CacheCreation | None = None
    output_tokens_details: _OutputDetails | None = None
    server_tool_use: _ServerTools | None = None
    service_tier: str | None = None


class _Message(msgspec.Struct):
    usage: Usage | None = None


class _Delta(msgspec.Struct):
    text: str = ""
    thinking: str = ""
    partial_json: str = ""


class _Error(msgspec.Struct):
    type: str = "error"


class _Event(msgspec.Struct):
    """What we read of an event, or of a whole message; the rest passes unseen."""

    type: str
    message: _Message | None = None
    usage: Usage | None = None
    delta: _Delta | None = None
    error: _Error | None = None


_read_event = msgspec.json.Decoder(_Event).decode


class MessagesReader:
    """Reads a message, whole or in events."""

    def __init__(self, _call: Call) -> None:
        self._usage = Usage()
        self._seen = 0
        """Tokens of output, by our own count."""

    def whole(self, data: bytes) -> Chunk:
        """A whole message."""
        usage = _read(data).usage
        return Chunk(data, None if usage is None else told(usage), last=True)

    def event(self, event: bytes) -> Chunk:
        """One event; all of them pass, pings too."""
        data = event_data(event)
        if not data:
            return Chunk(event)  # a comment
        body = _read(data)
        match body.type:
            case "content_block_delta":
                return Chunk(event, self._counted_along(body.delta))
            case "message_start" if body.message and body.message.usage:
                self._usage = body.message.usage
                return Chunk(event, self._told_so_far())
            case "message_delta" if body.usage:
                self._usage = merged(self._usage, body.usage)
                return Chunk(event, told(self._usage))
            case "message_stop":
                return Chunk(event, last=True)
        return Chunk(event)

    def _counted_along(self, delta: _Delta | None) -> Told | None:
        text = delta and (delta.text or delta.partial_json or delta.thinking)
        if not text:
            return None
        self._seen += max(1, len(text) // _CHARACTERS_PER_TOKEN)
        return self._told_so_far()

    def _told_so_far(self) -> Told | None:
        """The input as it was told and the output as it was seen; None when no input was told."""
        if self._usage.input_tokens is None:
            return None
        so_far = told(self._usage)
        output = max(so_far.tokens.output, self._seen)
        tokens = msgspec.structs.replace(so_far.tokens, output=output)
        return msgspec.structs.replace(so_far, tokens=tokens, is_estimate=True)


class CountReader:
    """Reads the answer of `count_tokens`, which is free: it tells of no tokens used."""

    def __init__(self, _call: Call) -> None:
        pass

    def whole(self, data: bytes) -> Chunk:
        """A whole answer."""
        return Chunk(data, Told(NO_TOKENS), last=True)

    def event(self, event: bytes) -> Chunk:
        """There are no streams of it."""
        raise UpstreamError("a count of tokens is not streamed", sent=True)


def _read(data: bytes) -> _Event:
    """What an event or a message tells. UpstreamError when it is an error, or nothing readable."""
    try:
        event = _read_event(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise UpstreamError(f"the answer cannot be read: {error}", sent=True) from error
    if event.type == "error":
        kind = event.error.type if event.error else "error"
        raise UpstreamError(f"the answer broke off with an {kind[:60]}", sent=True)
    return event


def merged(before: Usage, now: Usage) -> Usage:
    """What `now` says, and what `before` said of the rest."""
    said = {
        name: value for name in now.__struct_fields__ if (value := getattr(now, name)) is not None
    }
    return msgspec.structs.replace(before, **said)


def told(usage: Usage) -> Told:
    """Anthropic's counts as ours."""
    tools = usage.server_tool_use
    searches = (tools.web_search_requests or 0) if tools else 0
    return Told(
        tokens_of(usage),
        Items(searches=searches) if searches else NO_ITEMS,
        usage.service_tier or "",
    )


def tokens_of(usage: Usage) -> Tokens:
    """Anthropic's counts as ours: what the cache had or took is part of the input."""
    read, (written, written_1h) = usage.cache_read_input_tokens or 0, _written(usage)
    output, details = usage.output_tokens or 0, usage.output_tokens_details
    return Tokens(
        input=(usage.input_tokens or 0) + read + written,
        output=output,
        cache_read=read,
        reasoning=min((details.thinking_tokens or 0) if details else 0, output),
        cache_write=written,
        cache_write_1h=written_1h,
    )


def _written(usage: Usage) -> tuple[int, int]:
    """Tokens written to the cache, and those of them for an hour; without a total its parts count."""
    kinds = usage.cache_creation or _CacheCreation()
    hour = kinds.ephemeral_1h_input_tokens or 0
    total = usage.cache_creation_input_tokens
    if total is None:
        total = hour + (kinds.ephemeral_5m_input_tokens or 0)
    return total, min(hour, total)
