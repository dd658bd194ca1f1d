"""What the connections of one server share: its handler, its limits, and the heads of answers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from email.utils import formatdate
from http import HTTPStatus
from typing import Generic, TypeVar

from inferworks.http.exchange import Handler

C = TypeVar("C")
"""A connection."""

_REASONS = {status.value: status.phrase.encode() for status in HTTPStatus}


@dataclass(frozen=True, slots=True)
class Limits:
    """What one client may ask of the server."""

    body_bytes: int = 20 * 1024 * 1024
    header_bytes: int = 64 * 1024
    connections: int = 10_000
    request_timeout_s: float = 30.0
    keep_alive_s: float = 75.0
    write_timeout_s: float = 30.0


def plain_refusal(status: int, message: str) -> tuple[bytes, bytes]:
    """The content type and body of a refusal by the server itself."""
    return b"text/plain; charset=utf-8", f"{status} {message}\n".encode()


Refusal = Callable[[int, str], tuple[bytes, bytes]]


@dataclass(slots=True)
class Shared(Generic[C]):
    """What the connections of one server share."""

    handler: Handler
    limits: Limits
    refusal: Refusal
    report: Callable[[BaseException], None]
    """Hears of every exception that a handler let escape."""
    something_ended: Callable[[], None]
    """Hears when a connection or a handler has ended."""
    connections: set[C] = field(default_factory=set)
    running: set[C] = field(default_factory=set)
    """Where a handler runs; for a while that may be one whose client has left."""
    closing: bool = False
    _starts: dict[int, bytes] = field(default_factory=dict)

    def stamp(self) -> None:
        """Answers carry the present second from now on."""
        self._starts.clear()

    def start_of(self, status: int) -> bytes:
        """The first lines of an answer: its status and the date."""
        start = self._starts.get(status)
        if start is None:
            reason = _REASONS.get(status, b"Unknown")
            date = formatdate(usegmt=True).encode()
            start = b"HTTP/1.1 %d %b\r\ndate: %b\r\n" % (status, reason, date)
            self._starts[status] = start
        return start
