"""An exporter that writes given texts. For tests and examples."""

from __future__ import annotations

from collections.abc import Sequence
from operator import methodcaller

from inferworks.books.exports.base import Books, ExportFile


class StubExporter:
    """Writes the same named `texts` for any books."""

    name = "stub"
    about = "fixed texts, for tests"

    def __init__(self, texts: dict[str, str]) -> None:
        self._texts = dict(texts)

    def files(self, books: Books) -> Sequence[ExportFile]:
        """One file for each text."""
        return [
            ExportFile(name, methodcaller("write", text.encode()))
            for name, text in self._texts.items()
        ]
