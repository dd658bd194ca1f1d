"""Usage parser of Bedrock's InvokeModel for Anthropic's models: their own events, wrapped by Amazon.

A stream is binary messages, each with one event of Anthropic's in base64; unwrapped it is the event that
Anthropic itself would have sent, and `usage_parsers.anthropic` reads it. An exception amid them becomes
Anthropic's `error` event, which breaks the answer off. The counting of tokens has an answer of its own.

Sources: https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_ResponseStream.html,
https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_CountTokens.html
"""

from __future__ import annotations

import msgspec

from inferworks.cloud.call import Call, Chunk
from inferworks.cloud.usage_parsers.cloud_errors import anthropic_error
from inferworks.cloud.usage_parsers.converse import failure_text, message_name
from inferworks.cloud.usage_parsers.in_band import status_of
from inferworks.dialects.anthropic_messages import EventType
from inferworks.dialects.bedrock_invoke import InvokeChunk, InvokeTokenCount
from inferworks.errors import UnreadableError, UpstreamError
from inferworks.http.eventstream import MessageSplitter
from inferworks.meter.reported_usage import ReportedUsage
from inferworks.meter.usage import NO_TOKENS

_read_chunk = msgspec.json.Decoder(InvokeChunk).decode
_read_event = msgspec.json.Decoder(EventType).decode
_read_counted = msgspec.json.Decoder(InvokeTokenCount).decode


class InvokeEvents:
    """Splits a binary stream of InvokeModel into Anthropic's server-sent events."""

    def __init__(self) -> None:
        self._messages = MessageSplitter()

    def feed(self, data: bytes) -> list[bytes]:
        """The events completed by `data`. ValueError when a message is damaged, or holds none."""
        events: list[bytes] = []
        for message in self._messages.feed(data):
            name = message_name(message)
            if name != "chunk":
                words = failure_text(name, message.payload)
                events.append(_framed("error", anthropic_error(status_of(name), words)))
                continue
            try:
                event = _read_chunk(message.payload).event
                events.append(_framed(_read_event(event).type, event))
            except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
                raise ValueError(f"the answer cannot be read: {error}") from error
        return events

    def end(self) -> list[bytes]:
        """Return no event: a message states its length. ValueError when the last one is not whole."""
        self._messages.check_end()
        return []


def _framed(name: str, data: bytes) -> bytes:
    """One event; a line break is no part of JSON's text."""
    return b"event: %b\ndata: %b\n\n" % (name.encode(), data.replace(b"\n", b" "))


class CountedReader:
    """Reads the answer of CountTokens and puts it as Anthropic does; counting is free."""

    def __init__(self, _call: Call) -> None:
        pass

    def whole(self, data: bytes) -> Chunk:
        """A whole answer."""
        try:
            counted = _read_counted(data)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise UnreadableError(error) from error
        answer = msgspec.json.encode({"input_tokens": counted.input_tokens})
        return Chunk(answer, ReportedUsage(NO_TOKENS), last=True)

    def event(self, event: bytes) -> Chunk:
        """Raise UpstreamError: this answer is never streamed."""
        raise UpstreamError("a count of tokens is not streamed", sent=True)

    def ended(self) -> Chunk | None:
        """Return None: this answer is never streamed."""
        return None
