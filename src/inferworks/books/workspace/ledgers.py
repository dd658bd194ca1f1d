"""The ledger of a data folder, opened."""

from __future__ import annotations

from inferworks.books.closing.ledger import Ledger
from inferworks.books.workspace.settings import Settings
from inferworks.errors import DataFolderError
from inferworks.folder import DataFolder


def no_folder(folder: DataFolder) -> DataFolderError:
    """Return the refusal for a data folder that is not there yet, or where nothing was ever recorded."""
    there = folder.path.is_dir()
    what = (
        f"{folder.path} is no data folder: it holds no"
        if there
        else f"no data folder {folder.path}"
    )
    return DataFolderError(
        f"{what}{' books, no journal and no archive' if there else ''}; name it with --data "
        "(open_books: folder), or begin with: inferworks books import FILE (import_bills)"
    )


def check_folder(folder: DataFolder) -> None:
    """Raise DataFolderError when there is no data folder yet."""
    if not folder.is_begun:
        raise no_folder(folder)


def open_ledger(settings: Settings, *, read_only: bool) -> Ledger:
    """The ledger of the data folder; an empty one when there is none yet and nothing is to be written.

    DataFolderError when there is no data folder.
    """
    folder = settings.folder
    check_folder(folder)
    if read_only and not folder.ledger.exists():
        return Ledger(None)
    return Ledger(folder.ledger, read_only=read_only)
