"""`inferworks books export`: the books as files for other people's tools."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import click
import msgspec

from inferworks.books.exports.base import Books, ExportFile, books_of, content, write_files
from inferworks.books.exports.formats import FORMATS, IMPORTED_LEDGERS, JOURNALS, PAGE, exporter
from inferworks.books.workspace.default_period import Meant, period_meant
from inferworks.books.workspace.gathering import papers_asked, singles_of, worked_out_of
from inferworks.books.workspace.recorded import (
    later_corrections,
    papers_of_period,
    statement_of_period,
)
from inferworks.books.workspace.settings import Settings
from inferworks.cli.books.budgets import budgeting
from inferworks.cli.books.comparatives import comparing
from inferworks.cli.books.dates import moments
from inferworks.cli.books.journals import (
    chart_of,
    closed_until_ns_of,
    journal_files,
    statements_of,
    zone_of,
)
from inferworks.cli.books.later import note_corrections
from inferworks.cli.books.opening import read_settings
from inferworks.cli.books.query import Asked, print_notes
from inferworks.cli.books.side_notes import told_beside
from inferworks.cli.options import config_option, data_option
from inferworks.cli.show import say
from inferworks.errors import UserError

_SELLER = "Inferworks"
_CENTS = 2


@click.command()
@click.argument("form", metavar="FORMAT", type=click.Choice([*FORMATS, *JOURNALS]))
@click.option("--out", type=click.Path(path_type=Path), help="A file, or a folder for several.")
@click.option("--period", metavar="PERIOD", help="A month, e.g. 2026-11.  [default: the newest]")
@click.option("--from", "from_text", metavar="DATE", help="First day or moment (UTC).")
@click.option("--to", "to_text", metavar="DATE", help="The day or moment to stop before (UTC).")
@click.option("--policy", metavar="NAME", help="A shipped policy or a TOML file.  [default: gaap]")
@click.option(
    "--seller",
    metavar="NAME",
    help=f"Your name, as the issuer of your customers' bills.  [default: {_SELLER}]",
)
@click.option(
    "--chart",
    "chart_path",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Chart of accounts of a journal; `books chart` prints the one that ships.",
)
@click.option(
    "--decimals",
    type=click.IntRange(0, 11),
    help="Add a journal up by account and round it; 2 for cents.",
)
@click.option("--zone", metavar="NAME", help="Time zone of a journal's days.  [default: UTC]")
@comparing
@budgeting
@config_option
@data_option
def export(
    form: str,
    out: Path | None,
    period: str | None,
    from_text: str | None,
    to_text: str | None,
    policy: str | None,
    seller: str | None,
    chart_path: Path | None,
    decimals: int | None,
    zone: str | None,
    beside: str | None,
    budget: Path | None,
    config_path: Path | None,
    data_path: Path | None,
) -> None:
    """Write the books as files that other people's tools read and check.

    FORMAT is focus, csv or parquet (several files, into the folder --out), json or html (one file), or
    a journal for a general ledger: hledger or beancount (exact, or rounded with --decimals), quickbooks,
    xero or netsuite (in cents, under a chart of accounts). Without --out, one file is printed. A file
    is written whole or not at all, and the same books give the same bytes. docs/exports.md has more.

    \b
    Examples:
      inferworks books export focus --period 2026-11 --out november
      inferworks books export hledger | hledger -f - check --strict
      inferworks books export quickbooks --period 2026-11 --chart chart.toml --out november.csv
    """
    settings = read_settings(config_path, data_path)
    meant = meant_alone(settings, period, from_text, to_text, whole=form in JOURNALS)
    if form != PAGE:
        _refuse(form, {"--compare": beside, "--budget": budget})
    if form in FORMATS:
        _refuse(form, {"--chart": chart_path, "--decimals": decimals, "--zone": zone})
        books = read_books(settings, policy, meant, from_text, to_text, seller or _SELLER)
        question = Asked(settings, meant.name, from_text, to_text, policy, None, meant.provisional)
        books = told_beside(question, books, beside, budget)
        note_corrections(meant.name, books.later)
        put_out(exporter(form).files(books), out, form)
        return
    _refuse(form, {"--seller": seller})
    if form in IMPORTED_LEDGERS and (decimals or 0) > _CENTS:
        raise click.UsageError(f"{form} takes at most {_CENTS} decimals")
    chart, days = chart_of(settings, chart_path), zone_of(zone or "UTC")
    statements = statements_of(settings, policy, meant.name, from_text, to_text)
    note_corrections(meant.name, later_corrections(settings, meant.name) if meant.name else ())
    until_ns = closed_until_ns_of(settings)
    journal, files = journal_files(form, statements, chart, decimals, days, until_ns)
    put_out(files, out, form)
    for remark in filter(None, (journal.remark, journal.provisional)):
        say(remark, err=True)


def meant_alone(
    settings: Settings,
    period: str | None,
    from_text: str | None,
    to_text: str | None,
    *,
    whole: bool = False,
) -> Meant:
    """The period that is meant; UsageError when one is named beside dates."""
    if period is not None and (from_text is not None or to_text is not None):
        raise click.UsageError("give --period, or --from and --to")
    meant = period_meant(settings, period, *moments(from_text, to_text), whole=whole)
    print_notes(meant.notes)
    return meant


def _refuse(form: str, options: dict[str, object]) -> None:
    """UsageError when an option is given that `form` has no use for."""
    for name, value in options.items():
        if value is not None:
            raise click.UsageError(f"{name} is not for {form}")


def read_books(
    settings: Settings,
    policy: str | None,
    meant: Meant,
    from_text: str | None,
    to_text: str | None,
    seller: str = _SELLER,
) -> Books:
    """The books of the period that is `meant`, or of the dates; what is provisional says so in a note."""
    if meant.name is None:
        span = moments(from_text, to_text)
        papers = papers_asked(settings, policy or settings.policy, None, *span)
        workings = worked_out_of(papers)
        return books_of(workings, seller, singles_of(workings, papers))
    books = _books_of_period(settings, policy, meant.name, seller)
    if not meant.provisional:
        return books
    notes = (meant.provisional, *books.statement.notes)
    noted = msgspec.structs.replace(books.statement, notes=notes)
    return msgspec.structs.replace(books, statement=noted)


def _books_of_period(settings: Settings, policy: str | None, name: str, seller: str) -> Books:
    """The books of the period called `name`, as sealed when it is closed, with its corrections."""
    papers = papers_of_period(settings, name, policy, None)
    statement = statement_of_period(settings, name, policy, None)
    later = later_corrections(settings, name)
    workings = worked_out_of(papers)
    singles = singles_of(workings, papers)
    return Books(statement, workings.allocated, papers.policy, seller, later, singles=singles)


def put_out(files: Sequence[ExportFile], out: Path | None, form: str) -> None:
    """Write `files` to `out`, and say where; a single file without `out` goes to standard output."""
    if out is not None:
        for path in write_files(files, out):
            say(str(path))
    elif len(files) == 1 and sys.stdout.isatty():
        say(*content(files[0]).decode().splitlines())
    elif len(files) == 1:
        files[0].write(sys.stdout.buffer)
        sys.stdout.buffer.flush()
    else:
        raise UserError(f"{form} is {len(files)} files; name a folder for them with --out")
