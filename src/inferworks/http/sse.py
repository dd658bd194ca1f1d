"""Server-sent events as bytes: split a stream into events without decoding or changing them."""

from __future__ import annotations

DONE = b"[DONE]"


class EventSplitter:
    """Collects pieces of an event stream and hands out whole events, byte for byte as they came.

    An event ends with an empty line; each one handed out includes its ending. `rest` is what has come
    of an unfinished event. Lines end with LF or CRLF, mixed if they must be; the lone CR that the
    standard also allows is written by nobody. Where the stream was cut on its way makes no difference.
    Source: https://html.spec.whatwg.org/multipage/server-sent-events.html
    """

    def __init__(self, limit_bytes: int = 16 * 1024 * 1024) -> None:
        self.rest = b""
        self._limit_bytes = limit_bytes

    def feed(self, data: bytes) -> list[bytes]:
        """The events completed by `data`. ValueError when one grows beyond the limit."""
        looked_at = max(0, len(self.rest) - 2)  # an ending may be cut, the rest of it holds none
        data = self.rest + data if self.rest else data
        if b"\r" in data:
            events, self.rest = _split(data, looked_at)
        else:  # as nearly all write; three times as fast
            *whole, self.rest = data.split(b"\n\n")
            events = [event + b"\n\n" for event in whole]
        if len(self.rest) > self._limit_bytes:
            raise ValueError(f"an event is larger than {self._limit_bytes} bytes")
        return events


def _split(data: bytes, looked_at: int) -> tuple[list[bytes], bytes]:
    """The whole events in `data`, whose lines end with LF or CRLF, and what is left of it."""
    events: list[bytes] = []
    start = 0
    while (end := _event_end(data, max(start, looked_at))) > 0:
        events.append(data[start:end])
        start = end
    return events, data[start:]


def _event_end(data: bytes, start: int) -> int:
    """Where the first empty line at or after `start` ends, or 0 when there is none yet."""
    plain = data.find(b"\n\n", start)
    framed = data.find(b"\n\r\n", start, plain + 1 if plain >= 0 else len(data))
    if framed >= 0:
        return framed + 3
    return plain + 2 if plain >= 0 else 0


def event_data(event: bytes) -> bytes:
    """The data of `event`: its `data:` lines joined by newlines; empty for a comment."""
    if event.startswith(b"data: ") and event.find(b"\n") >= len(event) - 2:
        return event[6:].rstrip(b"\r\n")  # one line, as nearly all are
    lines = [line[5:].removeprefix(b" ") for line in event.split(b"\n") if line[:5] == b"data:"]
    return b"\n".join([line.rstrip(b"\r") for line in lines])
