"""Seam of the usage parsers: the readers of an upstream's answer, by dialect.

A provider passes an answer on as the bytes that came. Three things in it matter to the gateway: its usage
(and so its cost), whether it is an error with a status of success, and which event is the last. A reader
looks that far and no further, and takes out the events that only the gateway asked for: nothing in a field
that none of the three needs can fail a call. It is made anew for every call and may keep state between a
stream's events. An error of an answer that has reported its usage carries that (`reported`).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from inferworks.cloud.call import Call, Chunk


class Reader(Protocol):
    """Reads one answer."""

    def whole(self, data: bytes) -> Chunk:
        """A whole answer as its one, last chunk. UpstreamError when it is an error or unreadable."""
        ...

    def event(self, event: bytes) -> Chunk:
        """One event of a stream, with its ending. UpstreamError when it is an error or unreadable."""
        ...

    def ended(self) -> Chunk | None:
        """The last chunk of a stream whose body has ended in order without one; None: it is not whole."""
        ...


ReaderOf = Callable[[Call], Reader]
"""Function that makes the reader of a call's answer."""


class PieceReader(Protocol):
    """Reads an answer that has no events and is handed on as it comes, such as sound."""

    def piece(self, data: bytes) -> Chunk:
        """Read the bytes that came. UpstreamError when they cannot be part of an answer."""
        ...

    def end(self) -> Chunk:
        """The last chunk, once the body has come to its end. UpstreamError when that was no answer."""
        ...


PieceReaderOf = Callable[[Call], PieceReader]
"""Function that makes the reader of a call's answer in pieces."""
