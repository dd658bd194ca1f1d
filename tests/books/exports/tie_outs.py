"""The queries of `docs/exports.md`, as a reviewer would run them."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

import duckdb

from inferworks.books.exports.base import Books, write_files
from inferworks.books.exports.focus import FocusExporter
from inferworks.books.exports.tabular import CsvExporter

DOCUMENT = Path(__file__).parents[3] / "docs" / "exports.md"


@cache
def queries() -> tuple[str, tuple[str, ...]]:
    """The statements that read the tables, and the queries, in the order of the document."""
    found = re.findall(r"```sql\n(.*?)```", DOCUMENT.read_text(encoding="utf-8"), re.DOTALL)
    return found[0], tuple(found[1:])


def write_tables(books: Books, folder: Path) -> None:
    """The two exports that the queries read, as the document names their folders."""
    write_files(CsvExporter().files(books), folder / "books")
    write_files(FocusExporter().files(books), folder / "focus")


class TieOuts:
    """A DuckDB that has the exports in `folder` open as views: files are read anew by each query."""

    def __init__(self, folder: Path) -> None:
        setup, self._queries = queries()
        self._likely = list(range(len(self._queries)))
        """The queries, first those that noticed something last."""
        self._db = duckdb.connect()
        self._db.execute(re.sub(r"'((?:books|focus)/)", rf"'{folder}/\1", setup))

    def close(self) -> None:
        """Let the database go."""
        self._db.close()

    def wrong(self, query: int) -> list[tuple[object, ...]]:
        """The rows that the query, counting from 0, finds wrong."""
        return self._db.execute(self._queries[query]).fetchall()

    def notice(self) -> bool:
        """Return whether any query finds a row, or cannot read its input."""
        try:
            noticed = next((query for query in self._likely if self.wrong(query)), None)
        except duckdb.Error:
            return True
        if noticed is None:
            return False
        self._likely.remove(noticed)
        self._likely.insert(0, noticed)
        return True
