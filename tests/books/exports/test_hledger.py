"""hledger's journal: charts, cents, and names that are no tags."""

from __future__ import annotations

from pathlib import Path

from tests.support.journals import CHART

from inferworks.books.exports.base import Books, content
from inferworks.books.exports.hledger import HledgerExporter
from inferworks.books.exports.journal import JournalForm, exact_journal, rounded_journal

from .conftest import Check, some_books
from .test_checkers import HOSTILE


def test_hledger_takes_a_chart_and_cents(books: Books, hledger: Check, tmp_path: Path) -> None:
    """Accounts of a chart keep their kind, so an income statement can be drawn."""
    journal = rounded_journal([books.statement], 2, JournalForm(CHART))
    text = content(HledgerExporter().files(journal)[0]).decode()
    assert "account Income:4000-Usage-revenue\n" in text
    assert "; Income:4000-Usage-revenue is 4000 Usage revenue\n" in text
    assert text.startswith("; Amounts are rounded to 2 decimals")
    path = tmp_path / "a.journal"
    path.write_text(text)
    done = hledger(path)
    assert (done.returncode, done.stderr) == (0, "")


def test_no_name_becomes_a_tag_of_hledger() -> None:
    """A customer called `x, type:A` would make its revenue an asset, `; date:` would move it in time."""
    statement = some_books(HOSTILE).statement
    text = content(HledgerExporter().files(exact_journal([statement]))[0]).decode()
    for line in text.splitlines():
        if not line.startswith(";"):
            assert ";" not in line
