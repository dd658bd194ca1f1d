"""The exporter seam: where spans go."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from inferworks.observe.spans import Span


class Exporter(Protocol):
    """Takes spans away. It neither waits nor fails: what cannot be sent is dropped, and said in the log."""

    def export(self, spans: Sequence[Span]) -> None:
        """Take the spans of one call, its own first, from the event loop."""
        ...

    def close(self) -> None:
        """Send what is left; may wait for some seconds."""
        ...
