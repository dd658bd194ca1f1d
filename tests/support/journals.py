"""Journals of a month as the programs of accountants take them, and their rows."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence

import msgspec

from inferworks.books.accounting.entries import Entry, Posting
from inferworks.books.exports.base import Books, content
from inferworks.books.exports.chart_of_accounts import (
    Chart,
    load_chart,
)
from inferworks.books.exports.journal import Journal, JournalForm, rounded_journal
from inferworks.books.exports.ledger_csv import LedgerCsvExporter, Program
from inferworks.books.statement.statement import Statement

CENT = 10**10
CHART = load_chart()


def journal_of(program: Program, statements: Sequence[Statement], chart: Chart = CHART) -> Journal:
    """The journal of `statements` as `program` takes it."""
    form = JournalForm(chart, parties=program.parties, most_lines=program.lines_per_entry)
    return rounded_journal(statements, 2, form)


def rows_of(
    program: Program, statements: Sequence[Statement], chart: Chart = CHART
) -> list[list[dict[str, str]]]:
    """The rows of every file for `program`."""
    files = LedgerCsvExporter(program, chart).files(journal_of(program, statements, chart))
    return [list(csv.DictReader(io.StringIO(content(file).decode(), newline=""))) for file in files]


def with_entries(books: Books, *entries: tuple[int, str, dict[str, int]]) -> Statement:
    """The month's statement with other entries."""
    made = tuple(
        Entry(at_ns, text, tuple(Posting(name, pico, "USD") for name, pico in sides.items()))
        for at_ns, text, sides in entries
    )
    return msgspec.structs.replace(books.statement, entries=made, corrections=())


def _row(number: str, name: str, pattern: str) -> str:
    return f'[[account]]\nnumber = "{number}"\nname = "{name}"\ntakes = ["{pattern}"]\n'
