"""Ledgers of data folders: empty where nothing was closed, and refused where there is no folder."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.support.book_settings import a_folder, enter, settings_of

from inferworks.books.period import Period
from inferworks.books.workspace.ledgers import check_folder, no_folder, open_ledger
from inferworks.errors import DataFolderError
from inferworks.folder import DataFolder
from inferworks.testing.books import a_charge

BEGIN = (
    "name it with --data (open_books: folder), or begin with: inferworks books import FILE "
    "(import_bills)"
)


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    """With what to do."""
    folder = DataFolder(tmp_path / "nowhere")
    assert str(no_folder(folder)) == f"no data folder {folder.path}; {BEGIN}"
    with pytest.raises(DataFolderError, match=f"no data folder {folder.path}"):
        check_folder(folder)


def test_a_folder_of_something_else_is_none(tmp_path: Path) -> None:
    """A folder without records is left as it is."""
    folder = DataFolder(tmp_path)
    assert str(no_folder(folder)) == (
        f"{tmp_path} is no data folder: it holds no books, no journal and no archive; {BEGIN}"
    )
    for read_only in (True, False):
        with pytest.raises(DataFolderError, match="is no data folder"):
            open_ledger(settings_of(folder), read_only=read_only)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_with_books_may_be_closed(tmp_path: Path) -> None:
    """To look at its periods makes no file; to write does."""
    folder = a_folder(tmp_path)
    enter(folder, "bill", a_charge("a", "1", (0, 10)))
    check_folder(folder)
    settings = settings_of(folder)
    with open_ledger(settings, read_only=True) as ledger:
        assert ledger.records() == []
    assert not folder.ledger.exists()
    with open_ledger(settings, read_only=False) as ledger:
        ledger.declare(Period(0, 100, "p0"))
    assert folder.ledger.exists()
    with open_ledger(settings, read_only=True) as ledger:
        assert [period.name for period in ledger.periods().declared] == ["p0"]
