"""`inferworks books export`: the books as files for other people's tools."""

from __future__ import annotations

import datetime as dt
import sys
from collections.abc import Sequence
from pathlib import Path
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import click

from inferworks.books.exports.base import ExportFile, content, write_files
from inferworks.books.exports.chart_of_accounts import load_chart
from inferworks.books.exports.formats import FORMATS, IMPORTED_LEDGERS, JOURNALS, PAGE
from inferworks.books.workspace.workspace import SELLER
from inferworks.cli.books.budgets import budget_option
from inferworks.cli.books.comparatives import compare_option
from inferworks.cli.books.query import QueryOptions, query_options
from inferworks.cli.options import FilePath
from inferworks.cli.show import say
from inferworks.errors import UserError

_CENTS = 2


@click.command()
@click.argument("form", metavar="FORMAT", type=click.Choice([*FORMATS, *JOURNALS]))
@click.option(
    "--out", type=FilePath(), help="A file, or a folder for several; replaces what is there."
)
@click.option(
    "--seller",
    metavar="NAME",
    help=f"Your name, as the issuer of your customers' bills.  [default: {SELLER}]",
)
@click.option(
    "--chart",
    "chart_path",
    type=FilePath(folders=False),
    help="Chart of accounts of a journal; `books chart` prints the shipped one.",
)
@click.option(
    "--decimals",
    type=click.IntRange(0, 11),
    help="Sum a journal by account and round it; 2 for cents.",
)
@click.option("--zone", metavar="NAME", help="Time zone of a journal's days.  [default: UTC]")
@compare_option
@budget_option
@query_options(json=False)
def export(
    form: str,
    out: Path | None,
    options: QueryOptions,
    seller: str | None,
    chart_path: Path | None,
    decimals: int | None,
    zone: str | None,
    beside: str | None,
    budget: Path | None,
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
    if form != PAGE:
        _refuse(form, {"--compare": beside, "--budget": budget})
    workspace, query = options.open(whole=form in JOURNALS)
    if form in FORMATS:
        _refuse(form, {"--chart": chart_path, "--decimals": decimals, "--zone": zone})
        put_out(workspace.export(form, query, seller or SELLER, beside, budget), out, form)
        return
    _refuse(form, {"--seller": seller})
    if form in IMPORTED_LEDGERS and (decimals or 0) > _CENTS:
        raise click.UsageError(f"{form} takes at most {_CENTS} decimals")
    chart = None if chart_path is None else load_chart(chart_path)
    days = _zone(zone or "UTC")
    journal, files = workspace.export_journal(form, query, chart, decimals, days)
    put_out(files, out, form)
    for remark in filter(None, (journal.remark, journal.provisional)):
        say(remark, err=True)


def _refuse(form: str, options: dict[str, object]) -> None:
    """UsageError when an option is given that `form` has no use for."""
    for name, value in options.items():
        if value is not None:
            raise click.UsageError(f"{name} is not for {form}")


def _zone(name: str) -> dt.tzinfo:
    """Return the time zone called `name`; BadParameter when there is none."""
    if name.upper() in ("UTC", "Z"):
        return dt.UTC
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise click.BadParameter(
            f"--zone: no time zone {name!r} is known here; write one like America/New_York"
        ) from error


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
