"""The translation seam: one dialect's operation put in another's words, and its answer put back.

Only where the dialects of the caller and of the upstream differ: the same dialect on both sides passes as
bytes. A translation is pure: bytes in, bytes out; it knows no sockets and no money. What the other
dialect cannot say is refused with one clear line rather than dropped, unless dropping it cannot change
the answer (a user label, say). Usage is not its business either: a provider's reader has told it already,
from the upstream's own words.
"""

from __future__ import annotations

from typing import Protocol

from inferworks.cloud.call import Call
from inferworks.cloud.operation import Operation


class StreamTranslation(Protocol):
    """The events of one stream, put over as they come."""

    def event(self, event: bytes) -> bytes:
        """The caller's events for one event of the upstream, the last one included; may be empty.

        `event` is a whole server-sent event with its ending, as the upstream's dialect writes it.
        UpstreamError when it cannot be read.
        """
        ...


class Translation(Protocol):
    """How a call of `source` is served by an upstream that speaks `target`."""

    @property
    def source(self) -> Operation:
        """What the caller asked for."""
        ...

    @property
    def target(self) -> Operation:
        """What the upstream is asked for."""
        ...

    def ask(self, call: Call) -> Call:
        """`call` in the target's words. CallError 400 when they cannot say it.

        A stream is asked for its usage (`wants_usage`), whether or not the caller wants to see it.
        """
        ...

    def answer(self, call: Call, data: bytes) -> bytes:
        """A whole answer of the upstream in the source's words. UpstreamError when it cannot be read."""
        ...

    def refusal(self, status: int, data: bytes) -> bytes:
        """An upstream's error body in the source's words; an unreadable one keeps its status alone."""
        ...

    def stream(self, call: Call) -> StreamTranslation:
        """A translation of one stream, the answer to `call` (the caller's, not the translated one)."""
        ...
