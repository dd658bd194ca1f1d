"""Script of a fake upstream, and the wire form of its operations."""

from __future__ import annotations

import json
from collections.abc import Iterator
from enum import Enum, auto
from typing import Any, ClassVar

import msgspec

from inferworks.http.exchange import Exchange
from inferworks.testing.upstreams.unlucky import Luck

Body = dict[str, Any]


class Fault(Enum):
    """Fault of an answer, after as many events as `Scripted.fault_after` says."""

    NONE = auto()
    HANG_BEFORE_HEADERS = auto()
    """No bytes at all, not even a status."""
    HANG = auto()
    """No further bytes."""
    RESET = auto()
    """The connection breaks."""
    CLOSE = auto()
    """The body ends in order, without its last events."""
    GARBAGE = auto()
    """An event that cannot be read, and the end."""
    ERROR_EVENT = auto()
    """An error object as an event (or, where there is no stream, as the body), and the end."""


class Reports(Enum):
    """Usage reporting of the upstream."""

    AS_ASKED = auto()
    """Usage as documented: in a stream on request, null in the events before; always in a whole body."""
    NEVER = auto()
    ZERO = auto()
    """Explicit zeros."""
    ALWAYS = auto()
    """Usage in a stream even without a request, within the last event that has a choice."""


class Scripted(msgspec.Struct, frozen=True):
    """Scripted answer of any fake upstream to one request; each vendor adds its own fields."""

    words: tuple[str, ...] = ("Hello", " there", ".")
    """The answer, one token each; the limit that the request sets cuts it."""
    tool: tuple[str, str] | None = None
    """A tool that is called after the words: its name and its arguments, as JSON."""
    more_tools: tuple[tuple[str, str], ...] = ()
    """More tools called beside it."""
    is_able: bool = False
    """True if it calls the tools of its request instead, and answers in the form that it asks for."""
    calls_before: int = 0
    """Number of calls before in the conversation; the next id ends in it, for no two are the same."""
    input_tokens: int = 5
    status: int = 200
    """A status of 400 or more is answered with the vendor's error body."""
    fault: Fault = Fault.NONE
    fault_after: int = 0
    """Events before the fault; of a whole body, any number above zero means half of it."""
    fault_status: int = 0
    """Status in an error event, within an answer of 200; 0: that of a failing server."""
    piece_bytes: int | None = None
    """The stream is written in pieces of this size, each by itself; None: event by event."""
    event_s: float = 0.0
    """Seconds before each event."""
    end_apart: bool = False
    """The end of the HTTP body comes a moment after the last event."""
    luck: Luck = Luck()
    """The unlucky forms in which it comes."""

    @property
    def tools(self) -> tuple[tuple[str, str], ...]:
        """All that are called."""
        return () if self.tool is None else (self.tool, *self.more_tools)


def nth(call_id: str, number: int) -> str:
    """The id of a call that has `number` others before it."""
    return f"{call_id}_{number}" if number else call_id


class Answer(Scripted, frozen=True):
    """Scripted answer in OpenAI's dialect to one request."""

    cached_tokens: int | None = None
    reasoning_tokens: int | None = None
    reports: Reports = Reports.AS_ASKED
    headers: tuple[tuple[bytes, bytes], ...] = ()
    """Sent with the answer, beside its own."""
    comment_before_each: str | None = None
    """A keep-alive comment before each event."""
    line_end: bytes = b"\n"
    spaced: bool = False
    """JSON with a space after each comma and colon, as Python's `json` writes it."""
    never_streams: bool = False
    """True if it answers with a whole body, even when asked to stream."""


class Written(msgspec.Struct, frozen=True):
    """An answer that is no JSON."""

    content_type: bytes
    pieces: tuple[bytes, ...]
    """More than one are sent as they come, one by one."""
    headers: tuple[tuple[bytes, bytes], ...] = ()


def read_json(exchange: Exchange) -> Body | None:
    """The request, or None when it is no JSON object."""
    try:
        request = json.loads(exchange.body)
    except (ValueError, RecursionError):
        return None
    return request if isinstance(request, dict) else None


class Wire:
    """Wire form of the answers of one operation; each operation overrides what it has of it."""

    named: ClassVar[bool] = False
    """Each event has a line with its type, and there is no `[DONE]`."""
    dialect: ClassVar[str] = ""
    """Dialect by which `unlucky.FORMS` are chosen."""

    def read(self, exchange: Exchange) -> Body | None:
        """The request; None when it cannot be read."""
        return read_json(exchange)

    def whole(self, answer: Answer, request: Body) -> Body:
        """The body of a whole answer to a request."""
        raise AssertionError("its answers are no JSON")

    def events(self, answer: Answer, request: Body) -> Iterator[Body] | None:
        """The events of a stream, each the JSON of its data; None where nothing is streamed."""
        return None

    def written(self, answer: Answer, request: Body) -> Written | None:
        """A whole answer to a request that is to be answered by something else than JSON."""
        return None

    def error_of(self, status: int) -> bytes | None:
        """The error body for a status, where it is not OpenAI's."""
        return None


def words_of(answer: Answer, limit: int | None) -> tuple[tuple[str, ...], str]:
    """The words of one answer of at most `limit` tokens, and why it ends: `stop` or `length`."""
    if limit is not None and limit < len(answer.words):
        return answer.words[:limit], "length"
    return answer.words, "stop"


def usage_of(answer: Answer, completion: int) -> Body:
    """The usage of chats and completions, or explicit zeros."""
    zero = answer.reports is Reports.ZERO
    prompt, completion = (0, 0) if zero else (answer.input_tokens, completion)
    return {
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "total_tokens": prompt + completion,
    }


def json_of(value: Body, *, spaced: bool = False) -> bytes:
    """`value` as JSON, without a space between its parts unless it is to be `spaced`."""
    separators = (", ", ": ") if spaced else (",", ":")
    return json.dumps(value, separators=separators, ensure_ascii=False).encode()


def event_of(data: bytes, *, name: str = "", line_end: bytes = b"\n") -> bytes:
    """A server-sent event with `data`, and with a name if it has one."""
    named = b"event: %b%b" % (name.encode(), line_end) if name else b""
    return b"%bdata: %b%b" % (named, data, line_end * 2)
