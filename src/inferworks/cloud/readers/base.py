"""The reader seam: what an upstream's answer tells, by dialect.

A provider passes an answer on as the bytes that came. Three things in it are ours to see: what it has
used (and so costs), whether it is an error in the clothes of an answer, and which event is the last.
A reader looks that far and no further, and takes out what only we asked for. It is made anew for every
call and may keep state between a stream's events.
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


ReaderOf = Callable[[Call], Reader]
"""What makes the reader of a call's answer."""
