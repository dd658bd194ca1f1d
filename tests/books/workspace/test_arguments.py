"""Arguments of the library that mean nothing: each is refused in one line that says what is taken."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from inferworks.books.workspace.import_options import ImportOptions
from inferworks.books.workspace.workspace import Workspace
from inferworks.choices import one_of, path_of, within
from inferworks.errors import UserError
from inferworks.wiring.books import open_books

RENT = """id,period,natural_class,amount,currency,description,department
V-1,2025-11,other,3100.00,USD,Rent,office
"""

REFUSED: dict[str, tuple[Callable[[Any], object], str]] = {
    "format": (lambda books: books.export("nope"), "form: 'nope' is none of focus, csv, "),
    "journal": (lambda books: books.export("hledger"), "form: 'hledger' is none of focus, csv, "),
    "ledger": (lambda books: books.export_journal("zz"), "form: 'zz' is none of hledger, "),
    "digits": (lambda books: books.export_journal("hledger", decimals=99), "from 0 to 12"),
    "negative": (lambda books: books.export_journal("hledger", decimals=-1), "from 0 to 12"),
    "cents": (lambda books: books.export_journal("xero", decimals=3), "from 0 to 2"),
    "engine": (lambda books: books.statement(engine="nope"), "engine: 'nope' is none of auto, "),
    "by": (lambda books: books.statement(by="nope"), "by: 'nope' is none of customer, "),
    "cut": (lambda books: books.statement().by("nope"), "'nope' is none of customer, "),
    "dates": (lambda books: books.query(start_ns=5, end_ns=1), "5 is not before end_ns: 1"),
    "policy": (lambda books: books.query("2025-11", policy="nope"), "nope"),
    "bytes": (lambda books: books.import_bills(b"rent.csv"), "paths: b'rent.csv' is no path"),
    "bytes of many": (lambda books: books.import_bills([b"rent.csv"]), "is no path"),
    "mapping": (lambda _: ImportOptions(mapping=b"x.toml"), "mapping: b'x.toml' is no path"),  # type: ignore[arg-type]
    "null": (lambda _: open_books("x\0y"), r"folder: 'x\x00y' is no path: it has a null character"),
    "folder": (lambda _: open_books(None), "folder: None is no path"),  # type: ignore[arg-type]
}


@pytest.fixture
def books(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    """Books with one voucher."""
    monkeypatch.chdir(tmp_path)
    Path("rent.csv").write_text(RENT, encoding="utf-8")
    opened = open_books("inferworks-data")
    opened.import_bills("rent.csv").raise_for_refused()
    return opened


@pytest.mark.parametrize("case", REFUSED)
def test_an_argument_that_means_nothing_is_refused(case: str, books: Workspace) -> None:
    """A UserError in one line, and neither a KeyError nor a result that passed over it."""
    call, words = REFUSED[case]
    with pytest.raises(UserError) as refused:
        call(books)
    assert words in str(refused.value)
    assert "\n" not in str(refused.value)


def test_arguments_that_mean_something_are_taken(books: Workspace) -> None:
    """Text serves where an enumeration or a path is meant, as a type checker allows."""
    november = books.query("2025-11", policy="marginal")
    assert books.statement(november, "reference", "pool").by("pool")
    assert ImportOptions(mapping="x.toml").mapping == "x.toml"
    assert books.export_journal("hledger", november, decimals=0)[0].decimals == 0


def test_a_mapping_is_given_as_text_or_path(books: Workspace) -> None:
    """A file that maps columns is read from both."""
    for mapping in ("none.toml", Path("none.toml")):
        with pytest.raises(UserError, match=r"none\.toml"):
            books.import_bills("rent.csv", ImportOptions(mapping=mapping))


def test_the_checks_of_arguments() -> None:
    """A sound value comes back; any other is named in the error."""
    assert one_of("x", "b", ("a", "b")) == "b"
    assert within("x", 2, 0, 2) == 2
    assert path_of("x", "a/b") == path_of("x", Path("a/b"))
    for wrong in (True, 3, -1, "1", 1.0):
        with pytest.raises(UserError, match="no integer from 0 to 2"):
            within("x", wrong, 0, 2)
