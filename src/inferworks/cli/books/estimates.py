"""`inferworks books estimates`: estimated costs of providers' APIs beside their bills."""

from __future__ import annotations

from pathlib import Path

import click

from inferworks.books.accruals.api_estimates import Accuracy
from inferworks.cli.books.dates import moments
from inferworks.cli.books.opening import workspace_of
from inferworks.cli.options import config_option, data_option, json_option
from inferworks.cli.show import print_json, print_table, say
from inferworks.money import format_pico


@click.command()
@click.option("--from", "from_text", metavar="DATE", help="First day or moment (UTC).")
@click.option("--to", "to_text", metavar="DATE", help="The day or moment to stop before (UTC).")
@config_option
@data_option
@json_option
def estimates(
    from_text: str | None,
    to_text: str | None,
    config_path: Path | None,
    data_path: Path | None,
    as_json: bool,
) -> None:
    """Compare the estimated costs of providers' APIs with their bills.

    Until a provider's bill is imported, its cost is estimated from list prices. WAITING is estimated and
    not billed yet; DIFFERENCE is the estimate less the bill.

    \b
    Examples:
      inferworks books estimates
      inferworks books estimates --from 2026-11-01 --to 2026-12-01 --json
    """
    rows = workspace_of(config_path, data_path).estimates(*moments(from_text, to_text))
    if as_json:
        print_json([_as_json(row) for row in rows])
        return
    if not rows:
        say("No call went to another provider's API, so nothing is estimated.")
        return
    columns = (
        "PROVIDER", "MONTH", "ESTIMATED", "BILLED", "DIFFERENCE", "%", "WAITING", "NO PRICE"
    )  # fmt: skip
    table = [tuple("-" if v is None else str(v) for v in _as_json(row).values()) for row in rows]
    print_table(columns, table, right="ESTIMATED BILLED DIFFERENCE % WAITING")


def _as_json(row: Accuracy) -> dict[str, object]:
    return {
        "provider": row.provider,
        "month": row.month,
        "estimated": format_pico(row.estimated_pico),
        "billed": _text(row.billed_pico),
        "difference": _text(row.difference_pico),
        "percent": row.percent,
        "waiting": format_pico(row.waiting_pico),
        "unpriced_tokens": row.unpriced_tokens,
    }


def _text(pico: int | None) -> str | None:
    return None if pico is None else format_pico(pico)
