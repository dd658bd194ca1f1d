"""`inferworks books chart`: print the shipped chart of accounts, or check one's own."""

from __future__ import annotations

from pathlib import Path

import click

from inferworks.books.exports.chart_of_accounts import accounts, load_chart, shipped_chart
from inferworks.cli.options import FilePath
from inferworks.cli.show import print_table, say, say_on


@click.command("chart")
@click.argument("path", metavar="[FILE]", required=False, type=FilePath())
def show_chart(path: Path | None) -> None:
    """Print the chart of accounts that ships, or check FILE and show where each account goes.

    A chart maps accounts of the books to those of your general ledger; exports take it with --chart.

    \b
    Examples:
      inferworks books chart > chart.toml
      inferworks books chart chart.toml
    """
    if path is None:
        say_on(shipped_chart())
        return
    chart = load_chart(path)
    rows = [(name, chart.account_of(name)) for name in accounts()]
    print_table(
        ["ACCOUNT OF THE BOOKS", "NUMBER", "NAME"],
        [(name, account.number, account.name) for name, account in rows if account is not None],
    )
    say(f"{path} takes every account of the books.")
