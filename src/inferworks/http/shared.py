"""State that the connections of one server share: handler, limits, and heads of answers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from email.utils import formatdate
from http import HTTPStatus
from typing import Generic, TypeVar

from inferworks.http.budget import Budget, Places
from inferworks.http.eviction import Evictable, Evictions
from inferworks.http.exchange import Admission, Admit, Handler, Refused, RequestHead
from inferworks.http.heads import Headers

C = TypeVar("C", bound=Evictable)
"""A connection."""

_REASONS = {status.value: status.phrase.encode() for status in HTTPStatus}


@dataclass(frozen=True, slots=True)
class Limits:
    """Limits on one client."""

    body_bytes: int = 20 * 1024 * 1024
    header_bytes: int = 64 * 1024
    connections: int = 10_000
    held_bytes: int = 1024 * 1024 * 1024
    """Bytes held for all clients together: bodies, and answers that are not read (`budget`)."""
    request_timeout_s: float = 30.0
    keep_alive_s: float = 75.0
    write_timeout_s: float = 30.0


_MORE_SAID: dict[int, Headers] = {405: ((b"allow", b""),), 503: ((b"retry-after", b"1"),)}
"""Headers that a refusal has besides those of every answer."""


def plain_refusal(status: int, message: str, _head: RequestHead) -> Refused:
    """A refusal by the server itself, as text."""
    body = f"{status} {message}\n".encode()
    return Refused(status, b"text/plain; charset=utf-8", body, _MORE_SAID.get(status, ()))


def admit_all(_: RequestHead) -> Admission:
    """Take every body that is within the limits."""
    return Admission()


Refusal = Callable[[int, str, RequestHead], Refused]
"""Writes what the server itself refuses: status, words, and the head that it is about, where one came."""


@dataclass(slots=True)
class Shared(Generic[C]):
    """State that the connections of one server share."""

    handler: Handler
    limits: Limits
    refusal: Refusal
    report: Callable[[BaseException], None]
    """Called with every exception that a handler let escape."""
    something_ended: Callable[[], None]
    """Called when a connection or a handler has ended."""
    admit: Admit = admit_all
    """Called with the head of each request with a body; decides whether to take that."""
    budget: Budget = field(init=False)
    sending: Places = field(init=False)
    """Connections on which a body is being sent."""
    evictions: Evictions[C] = field(default_factory=Evictions)
    connections: set[C] = field(default_factory=set)
    running: set[C] = field(default_factory=set)
    """Connections that a handler runs for; the client of one may have left."""
    closing: bool = False
    starts: dict[int, bytes] = field(default_factory=dict)
    """First lines of answers by status, as `start_of` writes them, in the present second."""

    def __post_init__(self) -> None:
        self.budget = Budget(self.limits.held_bytes)
        self.sending = Places(max(2, self.limits.connections))

    def stamp(self) -> None:
        """Forget kept heads, so that answers carry the present second."""
        self.starts.clear()

    def start_of(self, status: int) -> bytes:
        """Write the first lines of an answer, its status and the date, and keep them in `starts`."""
        reason = _REASONS.get(status, b"Unknown")
        date = formatdate(usegmt=True).encode()
        start = b"HTTP/1.1 %d %b\r\ndate: %b\r\n" % (status, reason, date)
        self.starts[status] = start
        return start
