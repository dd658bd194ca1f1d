"""`inferworks books export`: the books as files for other people's tools."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import click

from inferworks.books.exports.base import Books, ExportFile, books_of, write_files
from inferworks.cli.books.formats import FORMATS, exporter
from inferworks.cli.books.later import note_corrections
from inferworks.cli.books.papers import moments, worked_out, worked_out_of
from inferworks.cli.books.sources import (
    later_corrections,
    papers_of_period,
    statement_of_period,
)
from inferworks.cli.options import config_option, data_option, read_config
from inferworks.config import Config
from inferworks.errors import UserError

_SELLER = "Inferworks"


@click.command()
@click.argument("form", metavar="FORMAT", type=click.Choice(list(FORMATS)))
@click.option("--out", type=click.Path(path_type=Path), help="A file, or a folder for several.")
@click.option("--period", metavar="PERIOD", help="A month, e.g. 2026-11.")
@click.option("--from", "from_text", metavar="DATE", help="First day or moment (UTC).")
@click.option("--to", "to_text", metavar="DATE", help="The day or moment to stop before (UTC).")
@click.option("--policy", metavar="NAME", help="A shipped policy or a TOML file.  [default: gaap]")
@click.option(
    "--seller",
    default=_SELLER,
    show_default=True,
    help="Your name, as the issuer of your customers' bills.",
)
@config_option
@data_option
def export(
    form: str,
    out: Path | None,
    period: str | None,
    from_text: str | None,
    to_text: str | None,
    policy: str | None,
    seller: str,
    config_path: Path | None,
    data_path: Path | None,
) -> None:
    """Write the books as files that other people's tools read and check.

    FORMAT is focus, csv or parquet (several files, into the folder --out), or hledger, beancount, json
    or html (one file; without --out it is printed). A file is written whole or not at all, and the same
    books give the same bytes. docs/exports.md has queries to check them with.

    \b
    Examples:
      inferworks books export focus --period 2026-11 --out november
      inferworks books export hledger | hledger -f - check --strict
      inferworks books export beancount --out books.beancount
    """
    config = read_config(config_path, data_path)
    books = read_books(config, policy, period, from_text, to_text, seller)
    note_corrections(period, books.later)
    put_out(exporter(form).files(books), out, form)


def read_books(
    config: Config,
    policy: str | None,
    period: str | None,
    from_text: str | None,
    to_text: str | None,
    seller: str = _SELLER,
) -> Books:
    """The books of the span that the command line asks for."""
    if period is None:
        span = moments(from_text, to_text)
        return books_of(worked_out(config, policy or config.books.policy, None, *span), seller)
    if from_text is not None or to_text is not None:
        raise click.UsageError("give --period, or --from and --to")
    return _books_of_period(config, policy, period, seller)


def _books_of_period(config: Config, policy: str | None, name: str, seller: str) -> Books:
    """The books of the period called `name`, as sealed when it is closed, with its corrections."""
    papers = papers_of_period(config, name, policy, None)
    statement = statement_of_period(config, name, policy, None)
    later = later_corrections(config, name)
    return Books(statement, worked_out_of(papers).allocated, papers.policy, seller, later)


def put_out(files: Sequence[ExportFile], out: Path | None, form: str) -> None:
    """Write `files` to `out`, and say where; a single file without `out` goes to standard output."""
    if out is not None:
        for path in write_files(files, out):
            click.echo(path)
    elif len(files) == 1:
        files[0].write(sys.stdout.buffer)
        sys.stdout.buffer.flush()
    else:
        raise UserError(f"{form} is {len(files)} files; name a folder for them with --out")
