"""`inferworks books report`: the statement of any span as one HTML page."""

from __future__ import annotations

from pathlib import Path

import click

from inferworks.books.exports.formats import PAGE
from inferworks.cli.books.budgets import budget_option
from inferworks.cli.books.comparatives import compare_option
from inferworks.cli.books.export import put_out
from inferworks.cli.books.query import QueryOptions, query_options
from inferworks.cli.options import DEFAULT_REPORT, FilePath, free_place


@click.command()
@click.option(
    "--out",
    type=FilePath(),
    help="Path of the report; the default overwrites nothing.  [default: inferworks-report.html]",
)
@compare_option
@budget_option
@query_options(json=False)
def report(
    out: Path | None,
    options: QueryOptions,
    beside: str | None,
    budget: Path | None,
) -> None:
    """Write the report: statement, bridge, flow of costs, margin by customer.

    One HTML file without scripts or network access, to be mailed and printed. Without a period or dates
    it shows the newest month with any data, provisional until the month is over. --compare adds another
    time and the causes of the change in gross margin; --budget adds the budget.

    \b
    Examples:
      inferworks books report
      inferworks books report --period 2026-11 --out november.html
      inferworks books report --period 2026-11 --compare previous --budget budget.csv
    """
    workspace, query = options.open()
    files = workspace.export(PAGE, query, beside=beside, budget=budget)
    put_out(files, out or free_place(DEFAULT_REPORT), PAGE)
