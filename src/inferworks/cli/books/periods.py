"""`inferworks books periods`: list closed and declared periods; declare one."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import click

from inferworks.books.closing.seal import Close
from inferworks.books.period import Period, Status
from inferworks.cli.books.dates import moments
from inferworks.cli.books.opening import workspace_of
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
    """List periods, or declare one with a NAME that is no calendar month.

    \b
    Examples:
      inferworks books periods
      inferworks books periods fy27-p02 --from 2026-10-26 --to 2026-11-23
    """
    workspace = workspace_of(config_path, data_path)
    if name is not None:
        start_ns, end_ns = moments(from_text, to_text)
        if start_ns is None or end_ns is None:
            raise click.UsageError("a period to declare needs --from and --to")
        workspace.declare(name, start_ns, end_ns)
        say(f"Declared {name}.")
        return
    closes = {close.period: (close, sha256) for close, sha256 in workspace.closes()}
    rows = [_row(period, closes.get(period)) for period in workspace.known_periods()]
    if as_json:
        print_json([dict(zip(_COLUMNS, row, strict=True)) for row in rows])
    else:
        print_table([column.upper() for column in _COLUMNS], rows)


_COLUMNS = ("period", "from", "to", "status", "closed", "by", "sha256")


def _row(period: Period, closed: tuple[Close, str] | None) -> tuple[str, ...]:
    dates = (period.name, _date(period.start_ns), _date(period.end_ns))
    if closed is None:
        return (*dates, Status.OPEN.value, "", "", "")
    close, sha256 = closed
    return (*dates, Status.CLOSED.value, _date(close.at_ns), close.by, sha256[:12])


def _date(at_ns: int) -> str:
    return dt.datetime.fromtimestamp(at_ns // NS_PER_SECOND, dt.UTC).strftime("%Y-%m-%d")
