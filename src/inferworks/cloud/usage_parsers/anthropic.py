"""Usage parser of Anthropic's messages, also for compatible APIs.

The cache convention is *added*: `input_tokens` leaves out the tokens that were read from the cache or
written to it, so the whole input is the sum of the three. A stream reports the input at once, in
`message_start`, and the output at its end, in `message_delta`, whose counts are cumulative: of each the
larger counts, since a cumulative count cannot fall, and some upstreams repeat the input there as zero.

A stream ends with `message_stop`. Where that does not come, a body that ends in order behind a
`stop_reason` is whole too.

In between a stream reports no usage, yet an answer that breaks off there has been paid for. So the output
is estimated from the deltas (`StreamTokens`). Such a count is marked (`ReportedUsage.is_estimate`) and
gives way to the upstream's own. Rejected: the `output_tokens` of `message_start`, which is one or two
whatever comes after it.

Source: https://platform.claude.com/docs/en/build-with-claude/streaming and /prompt-caching
"""

from __future__ import annotations

from typing import Any

import msgspec

from inferworks.cloud.bodies.lenient import fitted_or_unreadable, read_answer
from inferworks.cloud.call import Call, Chunk
from inferworks.cloud.routing.token_estimate import StreamTokens, answer_tokens, sides
from inferworks.cloud.usage_parsers.in_band import is_empty, refusal, tells_an_error
from inferworks.dialects.anthropic_messages import (
    CacheCreation,
    MessagesUsage,
    MeteredEvent,
    TokenCount,
)
from inferworks.errors import UnreadableError, UpstreamError
from inferworks.http.sse import event_data
from inferworks.meter.reported_usage import ReportedUsage
from inferworks.meter.usage import NO_ITEMS, NO_TOKENS, Items, Tokens

_INPUT = (
    "input_tokens",
    "cache_creation_input_tokens",
    "cache_read_input_tokens",
    "cache_creation",
)
"""Fields of `usage` that make up the input."""


_COUNTED = msgspec.json.Decoder(TokenCount)
_read_event = msgspec.json.Decoder(MeteredEvent).decode
_STOP = b'event: message_stop\ndata: {"type":"message_stop"}\n\n'


class MessagesReader:
    """Reads a message, whole or in events."""

    def __init__(self, call: Call) -> None:
        self._call = call
        self._usage = MessagesUsage()
        self._seen = StreamTokens()
        """Tokens of output, by our own count."""
        self._is_begun = self._is_counted = False
        self._has_ended = False
        """True once the reason of the end has come."""

    def whole(self, data: bytes) -> Chunk:
        """A whole message."""
        body = _read(data)
        written = answer_tokens(self._call, data) if body.usage and _is_partial(body.usage) else 0
        used = None if body.usage is None else self._both(body.usage, written)
        if body.usage is None and not len(body.content):
            raise refusal(data) if tells_an_error(data) else UnreadableError("it has no content")
        return Chunk(data, used, last=True)

    def event(self, event: bytes) -> Chunk:
        """One event; all of them pass, pings too."""
        data = event_data(event)
        if not data:
            return Chunk(event)  # a comment
        body = _read(data)
        if not body.type:
            raise UnreadableError("its event has no type")
        match body.type:
            case "content_block_delta":
                delta = body.delta
                text = delta and (delta.text or delta.partial_json or delta.thinking)
                if text:
                    self._seen.see_text(text)
                    return Chunk(event, self._told_so_far())
            case "message_start":
                self._is_begun = True
                if body.message is not None and body.message.usage is not None:
                    self._usage = body.message.usage
                    return Chunk(event, self._told_so_far())
            case "message_delta":
                self._has_ended = bool(body.delta and body.delta.stop_reason) or self._has_ended
                if body.usage is not None:
                    self._usage = merged(self._usage, body.usage, first=not self._is_counted)
                    self._is_counted = True
                    return Chunk(event, self._both(self._usage, self._seen.tokens))
            case "message_stop":
                if not (self._is_begun or self._seen.tokens):
                    raise UnreadableError("it has no message")
                return Chunk(event, last=True)
        return Chunk(event)

    def ended(self) -> Chunk | None:
        """The last chunk of a stream that ends without `message_stop`; None when it is not whole."""
        return Chunk(_STOP, last=True) if self._has_ended else None

    def _both(self, usage: MessagesUsage, written: int) -> ReportedUsage | None:
        """Return the usage, with an estimate of a side that is missing; None when both are."""
        if not _is_partial(usage):
            return reported(usage)
        both = sides(self._call, usage.input_tokens, usage.output_tokens, None, written)
        if both is None:
            return None
        filled = msgspec.structs.replace(usage, input_tokens=both.sent, output_tokens=both.made)
        return msgspec.structs.replace(reported(filled), is_estimate=True)

    def _told_so_far(self) -> ReportedUsage | None:
        """The input as it was told and the output as it was seen; None when no input was told."""
        if self._usage.input_tokens is None:
            return None
        so_far = reported(self._usage)
        output = max(so_far.tokens.output, self._seen.tokens)
        tokens = msgspec.structs.replace(so_far.tokens, output=output)
        return msgspec.structs.replace(so_far, tokens=tokens, is_estimate=True)


class CountReader:
    """Reads the answer of `count_tokens`, and of OpenAI's `input_tokens`: free, so no tokens are used."""

    def __init__(self, _call: Call) -> None:
        pass

    def whole(self, data: bytes) -> Chunk:
        """A whole answer."""
        counted = read_answer(data, _COUNTED)
        if counted.input_tokens is None:
            is_error = not is_empty(counted.error) or tells_an_error(data)
            raise refusal(data) if is_error else UnreadableError("it has no count")
        return Chunk(data, ReportedUsage(NO_TOKENS), last=True)

    def event(self, event: bytes) -> Chunk:
        """Raise UpstreamError: this answer is never streamed."""
        raise UpstreamError("a count of tokens is not streamed", sent=True)

    def ended(self) -> Chunk | None:
        """Return None: this answer is never streamed."""
        return None


def _read(data: bytes) -> MeteredEvent:
    """Read an event or a message. UpstreamError when it is an error, or unreadable."""
    try:
        event = _read_event(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        event = fitted_or_unreadable(data, MeteredEvent)
    if event.type == "error" or (not event.type and not is_empty(event.error)):
        raise refusal(data)
    return event


def merged(before: MessagesUsage, now: MessagesUsage, *, first: bool) -> MessagesUsage:
    """Merge usage; fields missing in `now` keep `before`'s value, and no count falls.

    But for the output of `message_start`, which gives way to the `first` count that is one. The parts of
    the input are one set: where a later event divides the same prompt otherwise, as upstreams do that learn
    of their cache late, the larger whole counts, and never a sum of the largest parts. Source:
    https://github.com/maximhq/bifrost/issues/6598
    """
    if first and now.output_tokens is not None:
        before = msgspec.structs.replace(before, output_tokens=None)
    said = {
        name: _more(getattr(before, name), value)
        for name in now.__struct_fields__
        if name not in _INPUT and (value := getattr(now, name)) is not None
    }
    parts = {n: value for n in _INPUT if (value := getattr(now, n)) is not None}
    divided = msgspec.structs.replace(before, **parts)
    if tokens_of(divided).input >= tokens_of(before).input:
        said |= parts
        if divided.cache_creation_input_tokens is not None:  # which bounds them
            said["cache_creation"] = _more(before.cache_creation, divided.cache_creation)
    return msgspec.structs.replace(before, **said)


def _more(before: Any, now: Any) -> Any:
    """The larger of two counts; of two objects with counts, that of each."""
    if isinstance(now, int) and before is not None:
        return max(before, now)
    if isinstance(now, msgspec.Struct) and before is not None:
        fields = {name: getattr(now, name) for name in now.__struct_fields__}
        more = {
            name: _more(getattr(before, name), n) for name, n in fields.items() if n is not None
        }
        return msgspec.structs.replace(before, **more)
    return now


def _is_partial(usage: MessagesUsage) -> bool:
    return usage.input_tokens is None or usage.output_tokens is None


def reported(usage: MessagesUsage) -> ReportedUsage:
    """Anthropic's counts as ours."""
    tools = usage.server_tool_use
    searches = (tools.web_search_requests or 0) if tools else 0
    return ReportedUsage(
        tokens_of(usage),
        Items(searches=searches) if searches else NO_ITEMS,
        usage.service_tier or "",
    )


def tokens_of(usage: MessagesUsage) -> Tokens:
    """Anthropic's counts as ours: what the cache had or took is part of the input."""
    kinds, read = usage.cache_creation or CacheCreation(), usage.cache_read_input_tokens or 0
    hour, written = kinds.ephemeral_1h_input_tokens or 0, usage.cache_creation_input_tokens
    if written is None:  # without a total its parts count
        written = hour + (kinds.ephemeral_5m_input_tokens or 0)
    output, details = usage.output_tokens or 0, usage.output_tokens_details
    return Tokens(
        input=(usage.input_tokens or 0) + read + written,
        output=output,
        cache_read=read,
        reasoning=min((details.thinking_tokens or 0) if details else 0, output),
        cache_write=written,
        cache_write_1h=min(hour, written),
    )
