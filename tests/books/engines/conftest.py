"""Engines for the tests of the books' relational engine."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from inferworks.books.engines.duckdb import DuckEngine


@pytest.fixture(scope="module")
def duck() -> Iterator[DuckEngine]:
    """One DuckDB for the tests of a module."""
    from inferworks.books.engines.duckdb import DuckEngine  # which takes a second to import

    with DuckEngine(memory_bytes=2**30) as engine:
        yield engine
