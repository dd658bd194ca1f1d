"""`inferworks books close`: compute, check and seal a period."""

from __future__ import annotations

from pathlib import Path

import click

from inferworks.books.closing.close import Closed
from inferworks.books.statement.statement import accrued_json, true_up_json
from inferworks.cli.books.formatting import amount, places_of, print_figures
from inferworks.cli.books.opening import workspace_of
from inferworks.cli.options import FilePath, config_option, data_option, json_option
from inferworks.cli.show import print_json, say
from inferworks.money import format_pico


@click.command()
@click.argument("period")
@click.option(
    "--accept",
    metavar="REASON",
    default="",
    help="Leave out what is in quarantine, or close a period with no records.",
)
@click.option("--begin", is_flag=True, help="Begin the books here; leave out earlier records.")
@click.option("--policy", metavar="NAME", help="A shipped policy or a TOML file.  [default: gaap]")
@click.option(
    "--pools",
    "pools_path",
    type=FilePath(),
    help="Rules for cost pools, instead of the shipped ones.",
)
@config_option
@data_option
@json_option
def close(
    period: str,
    accept: str,
    begin: bool,
    policy: str | None,
    pools_path: Path | None,
    config_path: Path | None,
    data_path: Path | None,
    as_json: bool,
) -> None:
    """Close PERIOD: compute its statement, check it, and seal it with its inputs.

    PERIOD is a month (2026-11), a span (2026-11-01..2026-11-16) or a declared name. Periods are closed
    in order. Later arrivals are shown as corrections in the open period.

    \b
    Examples:
      inferworks books close 2026-11
      inferworks books close 2026-11 --accept "invoice 7 is disputed with the supplier"
    """
    closed = workspace_of(config_path, data_path).close(
        period, accept=accept, begin=begin, policy=policy, pools_path=pools_path
    )
    if as_json:
        print_json(_as_json(closed))
    else:
        _print(closed)


def _as_json(closed: Closed) -> dict[str, object]:
    record, statement = closed.record, closed.statement
    return {
        "period": record.period.name,
        "start_ns": record.period.start_ns,
        "end_ns": record.period.end_ns,
        "number": record.number,
        "previous": record.previous,
        "sha256": closed.sha256,
        "closed_ns": record.at_ns,
        "by": record.by,
        "accepted": list(record.accepted),
        "corrects": [period.name for period in record.corrects],
        "parts": {part.name: part.sha256 for part in record.parts},
        "billed": format_pico(statement.billed_pico),
        "revenue": format_pico(statement.revenue_pico),
        "gross_margin": format_pico(statement.gross_margin_pico),
        "accrued": [accrued_json(one) for one in statement.accrued],
        "true_ups": [true_up_json(one) for c in statement.corrections for one in c.true_ups],
    }


def _print(closed: Closed) -> None:
    record, statement = closed.record, closed.statement
    say(f"Closed {record.period.name} under policy {record.policy}, by {record.by}.")
    figures = [
        ("Revenue", statement.revenue_pico),
        ("Cost of revenue", statement.cost_of_revenue_pico),
        ("Gross margin", statement.gross_margin_pico),
        ("Billed", statement.billed_pico),
        *((f"  of it accrued, no bill of {a.supplier}", a.amount_pico) for a in statement.accrued),
        *((f"  of it late for {c.period.name}", c.billed_pico) for c in statement.corrections),
    ]
    places = places_of(statement)
    rows = [(name, amount(pico, places)) for name, pico in figures]
    print_figures(("", f"AMOUNT {statement.currency}"), rows)
    for one in statement.accrued:
        say(f"Accrued for {one.supplier}, {one.month}: {one.how}.")
    for true_up in (one for c in statement.corrections for one in c.true_ups):
        say(true_up.text)
    say(f"Record {record.number}, SHA-256 {closed.sha256}")
    say("Write that hash down elsewhere: it vouches for this period and all before it.")
