"""The formats of exports, by name."""

from __future__ import annotations

import pytest

from inferworks.books.exports.formats import (
    FORMATS,
    IMPORTED_LEDGERS,
    JOURNALS,
    TEXT_LEDGERS,
    exporter,
    text_ledger,
)
from inferworks.errors import UserError


@pytest.mark.parametrize("name", FORMATS)
def test_a_format_is_called_as_its_exporter_says(name: str) -> None:
    """Each is there and names itself so."""
    assert exporter(name).name == name


@pytest.mark.parametrize("name", TEXT_LEDGERS)
def test_a_ledger_is_there(name: str) -> None:
    """Each is there and names itself so."""
    assert text_ledger(name).name == name


def test_no_name_means_two_things() -> None:
    """A format is no journal; a name that is none is a UserError."""
    assert len({*FORMATS, *JOURNALS}) == len(FORMATS) + len(TEXT_LEDGERS) + len(IMPORTED_LEDGERS)
    for find in (exporter, text_ledger):
        with pytest.raises(UserError, match="is none of"):
            find("word")
