"""What Bedrock's Converse tells, and its binary stream as server-sent events.

Problem. Everything behind a provider speaks of a stream as server-sent events: readers, translations, the
delivery to a client. Converse streams in Amazon's own binary messages instead, whose kind stands in a
header and whose payload is JSON.

Decision. A message becomes an event as soon as it is whole and its checksum is right, by putting its kind
around its payload, which stays the bytes that came:

    contentBlockDelta + {"delta":...}   ->   data: {"contentBlockDelta":{"delta":...}}

An exception amid a stream has its name in the same place. Bedrock's last message is `metadata`, with the
usage; after it comes `data: [DONE]`, as in OpenAI's dialect, for a stream of events needs an end that can
be told from a broken connection. Rejected: a second kind of stream beside the events, all the way to the
translations, for one vendor's framing; events named by `event:` lines, which every reader would have to
read beside the data.

The cache convention is *added*: `inputTokens` leaves out what was read from the cache and what was
written to it. `totalTokens` has all of it, and says so: where it is exactly input and output without the
cache although there is one, the cache is believed to be in the input already.

Between its beginning and its end a stream tells of no usage, not even of the input; one that breaks off
is estimated from what passed, by the tally.

Sources: https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_ConverseStream.html,
https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_TokenUsage.html
"""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta

from inferworks.cloud.call import Call, Chunk, Told
from inferworks.cloud.readers.fitted import fitted
from inferworks.errors import UpstreamError
from inferworks.http.eventstream import Message, MessageSplitter
from inferworks.http.sse import DONE, event_data
from inferworks.meter.usage import Tokens

Count = Annotated[int, Meta(ge=0, le=1 << 60)]
"""A number of tokens; the sum of several is still 64 bits wide."""


class _CacheDetail(msgspec.Struct):
    ttl: str = ""
    inputTokens: Count = 0  # noqa: N815 the names are the API's


class Usage(msgspec.Struct, rename="camel"):
    """`TokenUsage`, of an answer or of a stream's `metadata`."""

    input_tokens: Count = 0
    output_tokens: Count = 0
    total_tokens: Count | None = None
    cache_read_input_tokens: Count | None = None
    cache_write_input_tokens: Count | None = None
    cache_details: list[_CacheDetail] | None = None


class _Tier(msgspec.Struct):
    type: str = ""


class _Told(msgspec.Struct, rename="camel"):
    """What we read of an answer, or of `metadata`; the rest passes unseen."""

    usage: Usage | None = None
    service_tier: _Tier | None = None


class _Failure(msgspec.Struct):
    message: str = ""


_FAILURES = (
    "internalServerException",
    "modelStreamErrorException",
    "modelTimeoutException",
    "serviceUnavailableException",
    "throttlingException",
    "validationException",
)
"""How a stream breaks off. Any other name that ends in `Exception` or `Error` is one too."""

_read_told = msgspec.json.Decoder(_Told).decode
_read_event = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_read_failure = msgspec.json.Decoder(_Failure).decode
_UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


class ConverseEvents:
    """Splits a binary stream of Converse into server-sent events; its `feed` is `EventSplitter`'s."""

    def __init__(self) -> None:
        self._messages = MessageSplitter()

    def feed(self, data: bytes) -> list[bytes]:
        """The events completed by `data`. ValueError when a message is damaged."""
        events: list[bytes] = []
        for message in self._messages.feed(data):
            events.append(_event(message))
            if message.headers.get(":event-type") == "metadata":
                events.append(b"data: %b\n\n" % DONE)
        return events


def _event(message: Message) -> bytes:
    """One message as a server-sent event."""
    name = message_name(message)
    payload = (
        message.payload.replace(b"\n", b" ") or b"{}"
    )  # a line break is no part of JSON's text
    return b'data: {"%b":%b}\n\n' % (name.encode(), payload)


def message_name(message: Message) -> str:
    """What kind of event a message is, or which exception."""
    headers = message.headers
    if message.kind == "error":
        return headers.get(":error-code", "error") + "Error"
    return headers.get(":event-type") or headers.get(":exception-type", "unknownException")


class ConverseReader:
    """Reads an answer of Converse, whole or in the events that `ConverseEvents` makes."""

    def __init__(self, _call: Call) -> None:
        pass

    def whole(self, data: bytes) -> Chunk:
        """A whole answer."""
        return Chunk(data, _told(data), last=True)

    def event(self, event: bytes) -> Chunk:
        """One event. UpstreamError when it is an exception."""
        data = event_data(event)
        if data == DONE:
            return Chunk(event, last=True)
        for name, payload in _read(data).items():
            if name == "metadata":
                return Chunk(event, _told(payload))
            if name in _FAILURES or name.endswith(("Exception", "Error")):
                raise UpstreamError(failure_text(name, payload), sent=True)
        return Chunk(event)


def failure_text(name: str, payload: bytes | msgspec.Raw) -> str:
    """How a stream that broke off is told of, without the words of its caller."""
    try:
        why = _read_failure(payload).message
    except _UNREADABLE:
        why = ""
    return f"the answer broke off with {name[:60]}" + (f": {why[:200]}" if why else "")


def _read(data: bytes) -> dict[str, msgspec.Raw]:
    try:
        return _read_event(data)
    except _UNREADABLE as error:
        raise UpstreamError(f"the answer cannot be read: {error}", sent=True) from error


def _told(data: bytes | msgspec.Raw) -> Told | None:
    try:
        body = _read_told(data)
    except _UNREADABLE as error:
        raise UpstreamError(f"the answer cannot be read: {error}", sent=True) from error
    if body.usage is None:
        return None
    tier = body.service_tier.type if body.service_tier else ""
    return Told(tokens_of(body.usage), service_tier=tier)


def tokens_of(usage: Usage) -> Tokens:
    """Bedrock's counts as ours: what the cache had or took is part of the input."""
    read, written = usage.cache_read_input_tokens or 0, usage.cache_write_input_tokens or 0
    added = 0 if _has_the_cache_in_it(usage, read + written) else read + written
    tokens = fitted(
        usage.input_tokens + added, usage.output_tokens, cache_read=read, cache_write=written
    )
    hour = sum(kind.inputTokens for kind in usage.cache_details or () if kind.ttl == "1h")
    return msgspec.structs.replace(tokens, cache_write_1h=min(hour, tokens.cache_write))


def _has_the_cache_in_it(usage: Usage, cached: int) -> bool:
    """Whether `inputTokens` counts the cache already, by what the total says."""
    return usage.total_tokens == usage.input_tokens + usage.output_tokens and (
        0 < cached <= usage.input_tokens
    )
