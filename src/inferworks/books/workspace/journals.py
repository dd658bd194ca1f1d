"""Journals for general ledgers: the statements of the periods in a span, and their files.

A ledger builds income statements by month. So the time of the query is cut into periods, and each is
exported as `books statement --period` has it: a closed one as it was sealed, the first open one with the
corrections that it posts. Only a period that the dates cover in part is computed for that part alone.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Sequence

from inferworks.books.calendar.span import Span
from inferworks.books.exports.base import ExportFile
from inferworks.books.exports.chart_of_accounts import Chart, load_chart
from inferworks.books.exports.formats import IMPORTED_LEDGERS, text_ledger
from inferworks.books.exports.journal import (
    ALL_CLOSED,
    Journal,
    JournalForm,
    exact_journal,
    rounded_journal,
)
from inferworks.books.exports.ledger_csv import PROGRAMS, LedgerCsvExporter
from inferworks.books.period import Period, Periods
from inferworks.books.statement.statement import Statement

CENTS = 2
"""Decimals of the programs that import rounded journals."""


def journal_files(
    form: str,
    statements: Sequence[Statement],
    chart: Chart | None,
    decimals: int | None,
    zone: dt.tzinfo,
    closed_until_ns: int = ALL_CLOSED,
) -> tuple[Journal, Sequence[ExportFile]]:
    """Return the journal of `statements` and its files.

    A program that wants cents and a chart gets them: the shipped chart where none is given.
    """
    if form in IMPORTED_LEDGERS:
        program, chart = PROGRAMS[form], chart or load_chart()
        wanted = JournalForm(chart, zone, closed_until_ns, program.parties, program.lines_per_entry)
        journal = rounded_journal(statements, CENTS if decimals is None else decimals, wanted)
        return journal, LedgerCsvExporter(program, chart).files(journal)
    wanted = JournalForm(chart, zone, closed_until_ns)
    if decimals is None:
        journal = exact_journal(statements, wanted)
    else:
        journal = rounded_journal(statements, decimals, wanted)
    return journal, text_ledger(form).files(journal)


def periods_in(
    calendar: Periods, recorded: Span, start_ns: int | None, end_ns: int | None
) -> Iterator[tuple[Period, bool]]:
    """Yield the periods that meet `recorded`, cut where dates ask for a part, and whether each is whole.

    Where no date was given on a side, the period there is whole.
    """
    at_ns = recorded.start_ns
    while at_ns < recorded.end_ns:
        period = calendar.holding(at_ns)
        part = Period(
            period.start_ns if start_ns is None else max(period.start_ns, start_ns),
            period.end_ns if end_ns is None else min(period.end_ns, end_ns),
            period.name,
        )
        yield part, part == period
        at_ns = period.end_ns
