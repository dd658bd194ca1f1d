"""`inferworks books bridge`: from the contribution to the fully loaded margin, pool by pool."""

from __future__ import annotations

import click

from inferworks.cli.books.formatting import (
    amount,
    places_of,
    print_figures,
    print_no_costs,
    span_text,
)
from inferworks.cli.books.later import corrections_json, print_corrections
from inferworks.cli.books.query import QueryOptions, query_options
from inferworks.cli.show import print_json, say


@click.command("bridge")
@query_options(policy=False)
def show_bridge(
    options: QueryOptions,
    as_json: bool,
) -> None:
    """Walk from revenue to the fully loaded margin, one line per pool.

    Four margins on the way: the short run contribution, the same with used capacity, the gross margin,
    and the rest after research, sales and administration. Every charge is deducted exactly once.

    \b
    Examples:
      inferworks books bridge
      inferworks books bridge --period 2026-11 --json
    """
    workspace, query = options.open()
    (statement, built), later = workspace.bridge(query), workspace.later(query)
    if as_json:
        print_json(query.marked(built.to_json() | corrections_json(statement, later)))
        return
    say(f"Bridge in {built.currency}, {span_text(statement)}", "")
    places = places_of(statement)
    rows = [("Revenue", amount(built.revenue_pico, places))]
    for step in built.steps:
        for line in step.lines:
            name = f"  - {step.step.value}: {line.pool} ({line.function.value})"
            rows.append((name, amount(-line.cost_pico, places)))
        rows.append((step.margin, amount(step.margin_pico, places)))
    print_figures(("", f"AMOUNT {built.currency}"), rows)
    print_corrections(statement, later)
    print_no_costs(statement.lines)
