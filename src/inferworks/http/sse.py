"""Server-sent events as bytes: split a stream into events without decoding them.

Every byte is looked at once, however the stream is cut on its way: an event of megabytes that comes in
pieces of a hundred bytes costs no more than one that comes whole.
"""

from __future__ import annotations

import re
from typing import Final

from inferworks.errors import UpstreamError

DONE = b"[DONE]"
_END: Final = re.compile(rb"\n\r?\n")
_CUT_END_BYTES: Final = 2
"""Most bytes of an event's ending that may come before the rest of it."""
_LONE: Final = re.compile(rb"\r(?=[^\n])")
_MOST_LINES: Final = 10_000
_BYTE_ORDER_MARK: Final = b"\xef\xbb\xbf"
"""One may stand before a stream, and is no part of its first line."""


class EventSplitter:
    """Collects pieces of an event stream and hands out whole events, byte for byte as they came.

    An event ends with an empty line; each one handed out includes its ending. Lines end with LF or CRLF,
    mixed if they must be. From the first CR that is a line's end of its own, which the standard allows too
    and many a client does not know, every line of the stream ends with LF. Where the stream was cut on its
    way makes no difference.
    Source: https://html.spec.whatwg.org/multipage/server-sent-events.html
    """

    def __init__(self, limit_bytes: int = 16 * 1024 * 1024) -> None:
        self._rest = bytearray()
        self._limit_bytes = limit_bytes
        self._has_lone = False
        """True once a line has ended with CR alone."""
        self._cut = False
        """True when the bytes so far end with a CR, whose LF may be to come."""

    @property
    def rest(self) -> bytes:
        """Bytes of the unfinished event."""
        return bytes(self._rest) + (b"\r" if self._cut and not self._has_lone else b"")

    def feed(self, data: bytes) -> list[bytes]:
        """The events completed by `data`. ValueError when one grows beyond the limit."""
        events: list[bytes] = []
        if self._cut or b"\r" in data:
            data = self._with_known_ends(data)
        if self._rest:
            before = bytes(self._rest[-_CUT_END_BYTES:])
            end = _END.search(before + data)
            if end is None:
                self._keep(data)
                return events
            first_bytes = end.end() - len(before)
            self._keep(data[:first_bytes])
            events.append(bytes(self._rest))
            self._rest.clear()
            data = data[first_bytes:]
        if b"\r" in data:
            start = 0
            for end in _END.finditer(data):
                events.append(data[start : end.end()])
                start = end.end()
            rest = data[start:]
        else:  # as nearly all write; three times as fast
            *whole, rest = data.split(b"\n\n")
            for event in whole:
                events.append(event + b"\n\n")  # noqa: PERF401 a comprehension costs a call of its own
        if rest:
            self._keep(rest)
        return events

    def end(self) -> list[bytes]:
        """The event that the end of the body completes: one that lacks only its empty line."""
        rest = bytes(self._rest).rstrip(b"\r\n")
        self._rest.clear()
        return [rest + b"\n\n"] if rest else []

    def _with_known_ends(self, data: bytes) -> bytes:
        """`data` with LF for each CR alone; the last byte waits where it may be half of an end."""
        if not self._has_lone:
            data = b"\r" + data if self._cut else data
            lone = _LONE.search(data)
            if lone is None:
                self._cut = data.endswith(b"\r")
                return data[:-1] if self._cut else data
            self._has_lone, self._cut = True, data.endswith(b"\r")
            place = lone.start()
            return data[:place] + data[place:].replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        if self._cut and data:
            data = data.removeprefix(b"\n")
            self._cut = False
        self._cut = self._cut or data.endswith(b"\r")
        return data.replace(b"\r\n", b"\n").replace(b"\r", b"\n")

    def _keep(self, data: bytes) -> None:
        self._rest += data
        if len(self._rest) > self._limit_bytes:
            raise ValueError(f"an event is larger than {self._limit_bytes} bytes")


def event_data(event: bytes) -> bytes:
    """The data of `event`: its `data:` lines joined by newlines; empty for a comment.

    White space behind it is left out: it is JSON, or the word that ends a stream.

    UpstreamError when it has more than ten thousand lines.
    """
    if event.startswith(b"data: ") and event.find(b"\n") >= len(event) - 2:
        return event[6:].rstrip()  # one line, as nearly all are
    every_line = event.split(b"\n", _MOST_LINES)
    if len(every_line) > _MOST_LINES:
        raise UpstreamError(f"an event has more than {_MOST_LINES} lines", sent=True)
    lines = [line[5:].removeprefix(b" ") for line in every_line if line[:5] == b"data:"]
    if len(lines) == 1 and every_line[0][:3] != _BYTE_ORDER_MARK:
        return lines[0].rstrip()
    if event.startswith(_BYTE_ORDER_MARK):
        return event_data(event[len(_BYTE_ORDER_MARK) :])
    return b"\n".join([line.rstrip(b"\r") for line in lines]).rstrip()
