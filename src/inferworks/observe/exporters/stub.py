"""The fake that ships with the seam: keeps spans in a list."""

from __future__ import annotations

from collections.abc import Sequence

from inferworks.observe.spans import Span


class StubExporter:
    """Spans in memory, oldest first."""

    def __init__(self) -> None:
        self.spans: list[Span] = []
        self.closed = False

    def export(self, spans: Sequence[Span]) -> None:
        """Keep `spans`."""
        self.spans += spans

    def close(self) -> None:
        """Remember that it was closed."""
        self.closed = True
