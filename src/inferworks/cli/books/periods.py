"""`inferworks books periods`: list closed and declared periods; declare one."""

from __future__ import annotations

from pathlib import Path

import click

from inferworks.books.calendar.span import utc_day
from inferworks.books.period import Status
from inferworks.cli.books.dates import moments
from inferworks.cli.books.opening import workspace_of
from inferworks.cli.options import config_option, data_option, json_option
from inferworks.cli.show import print_json, print_table, say


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
    rows = []
    for period in workspace.known_periods():
        row: dict[str, str | int | None] = {
            "period": period.name,
            "from": utc_day(period.start_ns),
            "to": utc_day(period.end_ns),
            "status": Status.OPEN.value,
            "closed": "",
            "closed_ns": None,
            "by": "",
            "sha256": "",
        }
        if period in closes:
            close, sha256 = closes[period]
            row |= {"status": Status.CLOSED.value, "closed": utc_day(close.at_ns)}
            row |= {"closed_ns": close.at_ns, "by": close.by, "sha256": sha256}
        rows.append(row)
    if as_json:
        print_json(rows)
    else:
        table = [tuple(str(row[name])[: _SHOWN.get(name)] for name in _COLUMNS) for row in rows]
        print_table([column.upper() for column in _COLUMNS], table)


_COLUMNS = ("period", "from", "to", "status", "closed", "by", "sha256")
_SHOWN = {"sha256": 12}
"""Characters of a column that a table shows; JSON has all of them."""
