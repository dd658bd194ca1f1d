"""`inferworks books report`: the statement of any span as one HTML page."""

from __future__ import annotations

from pathlib import Path

import click

from inferworks.books.exports.formats import PAGE
from inferworks.cli.books.budgets import budget_option
from inferworks.cli.books.comparatives import compare_option
from inferworks.cli.books.export import put_out
from inferworks.cli.books.opening import query_of, workspace_of
from inferworks.cli.options import DEFAULT_REPORT, config_option, data_option, free_place


@click.command()
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    help="Path of the report; the default overwrites nothing.  [default: inferworks-report.html]",
)
@click.option("--period", metavar="PERIOD", help="A month, e.g. 2026-11.  [default: the newest]")
@click.option("--from", "from_text", metavar="DATE", help="First day or moment (UTC).")
@click.option("--to", "to_text", metavar="DATE", help="The day or moment to stop before (UTC).")
@click.option("--policy", metavar="NAME", help="A shipped policy or a TOML file.  [default: gaap]")
@compare_option
@budget_option
@config_option
@data_option
def report(
    out: Path | None,
    period: str | None,
    from_text: str | None,
    to_text: str | None,
    policy: str | None,
    beside: str | None,
    budget: Path | None,
    config_path: Path | None,
    data_path: Path | None,
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
    workspace = workspace_of(config_path, data_path)
    query = query_of(workspace, period, from_text, to_text, policy)
    files = workspace.export(PAGE, query, beside=beside, budget=budget)
    put_out(files, out or free_place(DEFAULT_REPORT), PAGE)
