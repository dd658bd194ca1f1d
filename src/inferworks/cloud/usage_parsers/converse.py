"""Usage parser of Bedrock's Converse, and its binary stream as server-sent events.

Problem. Everything behind a provider treats a stream as server-sent events: readers, translations, the
response to a client. Converse streams in Amazon's own binary messages instead, whose kind stands in a
header and whose payload is JSON.

Decision. A message becomes an event as soon as it is whole and its checksum is right, by putting its kind
around its payload, which stays the bytes that came:

    contentBlockDelta + {"delta":...}   ->   data: {"contentBlockDelta":{"delta":...}}

An exception amid a stream has its name in the same place. Bedrock's last message is `metadata`, with the
usage; after it comes `data: [DONE]`, as in OpenAI's dialect, for a stream of events needs an end that can
be told from a broken connection. Rejected: a second kind of stream beside the events, all the way to the
translations, for one vendor's framing; events named by `event:` lines, which every reader would have to
read beside the data.

The cache convention is *added*: `inputTokens` leaves out the tokens that were read from the cache or
written to it. `totalTokens` has all of them, which shows the convention: where it is exactly input and
output without the cache although there is one, the cache is believed to be in the input already.

Between its beginning and its end a stream reports no usage, not even of the input; the usage of one that
breaks off is estimated from its events, by `StreamUsage`.

Sources: https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_ConverseStream.html,
https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_TokenUsage.html
"""

from __future__ import annotations

import msgspec

from inferworks.cloud.bodies.lenient import leniently, read_answer
from inferworks.cloud.bodies.rewrite import read_fields
from inferworks.cloud.call import Call, Chunk
from inferworks.cloud.routing.token_estimate import answer_tokens, sides
from inferworks.cloud.usage_parsers.clamped import clamped
from inferworks.cloud.usage_parsers.in_band import status_of
from inferworks.dialects.bedrock_converse import Failure, MeteredAnswer, TokenUsage
from inferworks.errors import RefusalError, UnreadableError
from inferworks.http.eventstream import Message, MessageSplitter
from inferworks.http.sse import DONE, event_data
from inferworks.meter.reported_usage import ReportedUsage
from inferworks.meter.usage import Tokens

_FAILURES = (
    "internalServerException",
    "modelStreamErrorException",
    "modelTimeoutException",
    "serviceUnavailableException",
    "throttlingException",
    "validationException",
)
"""Names of the exceptions that break off a stream; so does any other name in `Exception` or `Error`."""

_read_told = msgspec.json.Decoder(MeteredAnswer)
_UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


class ConverseEvents:
    """Splits a binary stream of Converse into server-sent events; its `feed` is `EventSplitter`'s."""

    def __init__(self) -> None:
        self._messages = MessageSplitter()

    def feed(self, data: bytes) -> list[bytes]:
        """The events completed by `data`. ValueError when a message is damaged."""
        events: list[bytes] = []
        for message in self._messages.feed(data):
            payload = message.payload.replace(b"\n", b" ")  # a line break is no part of JSON's text
            events.append(
                b'data: {"%b":%b}\n\n' % (message_name(message).encode(), payload or b"{}")
            )
            if message.headers.get(":event-type") == "metadata":
                events.append(b"data: %b\n\n" % DONE)
        return events

    def end(self) -> list[bytes]:
        """Return no event: a message states its length. ValueError when the last one is not whole."""
        self._messages.check_end()
        return []


def message_name(message: Message) -> str:
    """Return the kind of event that a message is, or its exception."""
    headers = message.headers
    if message.kind == "error":
        return headers.get(":error-code", "error") + "Error"
    return headers.get(":event-type") or headers.get(":exception-type", "unknownException")


class ConverseReader:
    """Reads an answer of Converse, whole or in the events that `ConverseEvents` makes."""

    def __init__(self, call: Call) -> None:
        self._call = call
        self._seen = 0
        """Deltas, which are a token each."""
        self._has_ended = False
        """True once the reason of the end has come."""

    def whole(self, data: bytes) -> Chunk:
        """A whole answer."""
        body = read_answer(data, _read_told)
        if body.usage is None and not len(body.output):
            raise UnreadableError("it has no output")
        written = answer_tokens(self._call, data) if _is_partial(body.usage) else 0
        return Chunk(data, self._used(body, written), last=True)

    def event(self, event: bytes) -> Chunk:
        """One event. UpstreamError when it is an exception."""
        data = event_data(event)
        if data == DONE:
            return Chunk(event, last=True)
        try:
            fields = read_fields(data)
        except _UNREADABLE as error:
            raise UnreadableError(error) from error
        for name, payload in fields.items():
            if name == "metadata":
                return Chunk(event, self._used(read_answer(payload, _read_told), self._seen))
            if name in _FAILURES or name.endswith(("Exception", "Error")):
                raise RefusalError(status_of(name), bytes(payload), failure_text(name, payload))
            self._seen += name == "contentBlockDelta"
            self._has_ended = self._has_ended or name == "messageStop"
        return Chunk(event)

    def ended(self) -> Chunk | None:
        """The last chunk of a stream that ends without its usage; None when it is not whole."""
        return Chunk(b"data: %b\n\n" % DONE, last=True) if self._has_ended else None

    def _used(self, body: MeteredAnswer, written: int) -> ReportedUsage | None:
        """Return the usage, with an estimate of a side that is missing; None when both are."""
        usage, is_guess = body.usage, False
        if usage is None:
            return None
        if _is_partial(usage):
            total = usage.total_tokens
            both = sides(self._call, usage.input_tokens, usage.output_tokens, total, written)
            if both is None:
                return None
            usage = msgspec.structs.replace(usage, input_tokens=both.sent, output_tokens=both.made)
            is_guess = both.is_guess
        tier = (body.service_tier.type if body.service_tier else None) or ""
        return ReportedUsage(tokens_of(usage), service_tier=tier, is_estimate=is_guess)


def failure_text(name: str, payload: bytes | msgspec.Raw) -> str:
    """Return the message of an exception amid a stream."""
    try:
        why = leniently(payload, Failure).message
    except _UNREADABLE:
        why = ""
    return f"{name[:60]}" + (f": {why[:200]}" if why else "")


def _is_partial(usage: TokenUsage | None) -> bool:
    return usage is not None and (usage.input_tokens is None or usage.output_tokens is None)


def tokens_of(usage: TokenUsage) -> Tokens:
    """Bedrock's counts as ours: what the cache had or took is part of the input."""
    read, written = usage.cache_read_input_tokens or 0, usage.cache_write_input_tokens or 0
    sent, made = usage.input_tokens or 0, usage.output_tokens or 0
    # the total shows where `inputTokens` includes the cache already
    is_in_input = usage.total_tokens == sent + made and 0 < read + written <= sent
    added = 0 if is_in_input else read + written
    hour = sum(kind.inputTokens for kind in usage.cache_details or () if kind.ttl == "1h")
    return clamped(
        Tokens(sent + added, made, cache_read=read, cache_write=written, cache_write_1h=hour)
    )
