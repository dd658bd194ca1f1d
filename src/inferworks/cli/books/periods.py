"""`inferworks books periods`: which periods are closed; declare one."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import click

from inferworks.books.closing.ledger import Ledger, standing
from inferworks.books.closing.seal import Close, sha256_of
from inferworks.books.period import Period, Status, declared
from inferworks.books.workspace.ledgers import open_ledger
from inferworks.cli.books.dates import moments
from inferworks.cli.books.opening import read_settings
from inferworks.cli.options import config_option, data_option, json_option
from inferworks.cli.show import print_json, print_table, say
from inferworks.units import NS_PER_SECOND


@click.command()
@click.argument("name", required=False)
@click.option("--from", "from_text", metavar="DATE", help="First day of a period to declare (UTC).")
@click.option("--to", "to_text", metavar="DATE", help="The day it stops before (UTC).")
@config_option
@data_option
@json_option
def periods(
    name: str | None,
    from_text: str | None,
    to_text: str | None,
    config_path: Path | None,
    data_path: Path | None,
    as_json: bool,
) -> None:
    """List periods, or declare one under a NAME that is no calendar month.

    \b
    Examples:
      inferworks books periods
      inferworks books periods fy27-p02 --from 2026-10-26 --to 2026-11-23
    """
    settings = read_settings(config_path, data_path)
    if name is not None:
        start_ns, end_ns = moments(from_text, to_text)
        if start_ns is None or end_ns is None:
            raise click.UsageError("a period to declare needs --from and --to")
        with open_ledger(settings, read_only=False) as ledger:
            ledger.declare(declared(name, start_ns, end_ns, ledger.periods()))
        say(f"Declared {name}.")
        return
    with open_ledger(settings, read_only=True) as ledger:
        rows = _rows(ledger, settings.clock.now_ns())
    if as_json:
        print_json([dict(zip(_COLUMNS, row, strict=True)) for row in rows])
    else:
        print_table([column.upper() for column in _COLUMNS], rows)


_COLUMNS = ("period", "from", "to", "status", "closed", "by", "sha256")


def _rows(ledger: Ledger, now_ns: int) -> list[tuple[str, ...]]:
    """The closed periods, those declared, and the one that is open now."""
    calendar, hashes = ledger.periods(), [sha256_of(raw) for _, raw in ledger.chain()]
    closes = {close.period: close for close in standing(ledger.records())}
    known = {*calendar.declared, *closes, calendar.first_open(now_ns)}
    until_ns = calendar.closed_until_ns
    if until_ns is not None:
        known.add(calendar.first_open(until_ns))
    return [_row(period, closes.get(period), hashes) for period in sorted(known)]


def _row(period: Period, close: Close | None, hashes: list[str]) -> tuple[str, ...]:
    dates = (period.name, _date(period.start_ns), _date(period.end_ns))
    if close is None:
        return (*dates, Status.OPEN.value, "", "", "")
    return (*dates, Status.CLOSED.value, _date(close.at_ns), close.by, hashes[close.number][:12])


def _date(at_ns: int) -> str:
    return dt.datetime.fromtimestamp(at_ns // NS_PER_SECOND, dt.UTC).strftime("%Y-%m-%d")
