"""Journals for general ledgers: the statements of the periods in a span, and how they are written.

A ledger draws income statements by month. So what is asked for is cut into periods, and each is exported
as `books statement --period` has it: a closed one as it was sealed, the first open one with the corrections
that it books. Only a period of which dates ask for a part is drawn up for that part alone.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Sequence
from pathlib import Path
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import click

from inferworks.books.calendar.span import Span
from inferworks.books.exports.base import ExportFile
from inferworks.books.exports.chart_of_accounts import Chart, load_chart
from inferworks.books.exports.formats import IMPORTED_LEDGERS, text_ledger
from inferworks.books.exports.journal import ALL_CLOSED, Journal, exact_journal, rounded_journal
from inferworks.books.exports.ledger_csv import PROGRAMS, LedgerCsvExporter
from inferworks.books.period import Period, Periods
from inferworks.books.statement.statement import Statement
from inferworks.books.workspace.gathering import drawn_up, span_of
from inferworks.books.workspace.ledgers import open_ledger
from inferworks.books.workspace.recorded import statement_of_period
from inferworks.books.workspace.settings import Settings
from inferworks.cli.books.dates import moments

_CENTS = 2
_NEVER = -(2**63)


def journal_files(
    form: str,
    statements: Sequence[Statement],
    chart: Chart | None,
    decimals: int | None,
    zone: dt.tzinfo,
    closed_until_ns: int = ALL_CLOSED,
) -> tuple[Journal, Sequence[ExportFile]]:
    """The journal of `statements` and its files; cents and the shipped chart where a program wants them."""
    if form in IMPORTED_LEDGERS:
        program, chart = PROGRAMS[form], chart or load_chart()
        journal = rounded_journal(
            statements,
            _CENTS if decimals is None else decimals,
            chart,
            zone,
            parties=program.parties,
            most_lines=program.lines_per_entry,
            closed_until_ns=closed_until_ns,
        )
        return journal, LedgerCsvExporter(program, chart).files(journal)
    if decimals is None:
        journal = exact_journal(statements, chart, zone, closed_until_ns=closed_until_ns)
    else:
        journal = rounded_journal(
            statements, decimals, chart, zone, closed_until_ns=closed_until_ns
        )
    return journal, text_ledger(form).files(journal)


def chart_of(settings: Settings, path: Path | None) -> Chart | None:
    """The chart at `path`, else the configured one; None where neither is given."""
    configured = Path(settings.chart) if settings.chart else None
    return load_chart(path or configured) if path or configured else None


def zone_of(name: str) -> dt.tzinfo:
    """The time zone called `name`."""
    if name.upper() in ("UTC", "Z"):
        return dt.UTC
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise click.BadParameter(
            f"--zone: no time zone {name!r} is known here; write one like America/New_York"
        ) from error


def closed_until_ns_of(settings: Settings) -> int:
    """Until when the books are closed; before all time when nothing is."""
    with open_ledger(settings, read_only=True) as ledger:
        until_ns = ledger.periods().closed_until_ns
    return _NEVER if until_ns is None else until_ns


def statements_of(
    settings: Settings,
    policy: str | None,
    name: str | None,
    from_text: str | None,
    to_text: str | None,
) -> tuple[Statement, ...]:
    """The statements of the period called `name`, or of all periods between two dates."""
    if name is not None:
        return (statement_of_period(settings, name, policy, None),)
    start_ns, end_ns = moments(from_text, to_text)
    span = span_of(settings, start_ns, end_ns)
    with open_ledger(settings, read_only=True) as ledger:
        calendar = ledger.periods()
    drawn = [
        statement_of_period(settings, period.name, policy, None)
        if whole
        else drawn_up(settings, policy or settings.policy, None, *period.span)
        for period, whole in _periods(calendar, span, start_ns is None, end_ns is None)
    ]
    if end_ns is None and drawn and drawn[-1].end_ns == calendar.closed_until_ns:
        open_period = calendar.first_open(drawn[-1].end_ns)
        booking = statement_of_period(settings, open_period.name, policy, None)
        drawn += [booking] if booking.corrections else []
    return tuple(drawn) or (drawn_up(settings, policy or settings.policy, None, *span),)


def _periods(
    calendar: Periods, span: Span, from_the_first: bool, to_the_last: bool
) -> Iterator[tuple[Period, bool]]:
    """The periods that meet `span`, cut to it where dates ask for a part, and whether each is whole.

    Where no date was given on a side, the period there is whole.
    """
    at_ns = span.start_ns
    while at_ns < span.end_ns:
        period = calendar.holding(at_ns)
        first = at_ns == span.start_ns and not from_the_first
        start_ns = max(period.start_ns, span.start_ns) if first else period.start_ns
        end_ns = period.end_ns if to_the_last else min(period.end_ns, span.end_ns)
        whole = (start_ns, end_ns) == tuple(period.span)
        yield (period if whole else Period(start_ns, end_ns, period.name)), whole
        at_ns = period.end_ns
