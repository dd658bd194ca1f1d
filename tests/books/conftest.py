"""A ledger for the tests of this folder and those below it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from inferworks.books.closing.ledger import Ledger


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    """An empty ledger in a file."""
    with Ledger(tmp_path / "ledger.db") as ledger:
        yield ledger
