"""`inferworks books compare`: two policies beside each other."""

from __future__ import annotations

import click

from inferworks.books.analysis.policy_comparison import Compared, Comparison
from inferworks.cli.books.formatting import (
    amount,
    places_of,
    print_figures,
    print_no_costs,
    span_text,
)
from inferworks.cli.books.query import QueryOptions, query_options
from inferworks.cli.show import print_json, say

_MOST_MOVED = 20


@click.command("compare")
@click.argument("one")
@click.argument("other")
@query_options(policy=False)
def show_comparison(
    one: str,
    other: str,
    options: QueryOptions,
    as_json: bool,
) -> None:
    """Compare the policies ONE and OTHER: gaap, marginal, full, or your own.

    Your own is a TOML file: by its path, or by its name when it lies in policies/ of the data folder.
    Costs and usage are the same under both; differences are listed use by use.

    \b
    Examples:
      inferworks books compare gaap marginal
      inferworks books compare gaap ./ours.toml --period 2026-11 --json
    """
    workspace, query = options.open()
    computation, found = workspace.compare(one, other, query)
    if as_json:
        print_json(query.marked(found.to_json()))
        return
    _print(found)
    print_no_costs(computation.lines)


def _print(found: Comparison) -> None:
    places = places_of(found.one)
    names = (found.one.policy.upper(), found.other.policy.upper())
    say(f"Two policies in {found.one.currency}, {span_text(found.one)}", "")
    rows = [_row(row, places) for row in found.functions if row.one_pico or row.other_pico]
    rows += [_row(row, places) for row in found.view]
    print_figures(("", *names, "DIFFERENCE"), rows)
    if found.corrections:  # one by one, and the margin with all of them
        rows = []
        for one in found.corrections:
            shown = [row for row in one.functions if row.one_pico or row.other_pico]
            rows += [_row(row, places, one.name) for row in (*shown, one.view[-1])]
        rows.append(_row(found.together[-1], places, "all together"))
        print_figures(("CORRECTIONS", *names, "DIFFERENCE"), rows)
    say(f"Margin: {found.one.margin} / {found.other.margin}", "")
    moved = [
        (item.use, item.pool, f"{item.one} -> {item.other}", amount(item.amount_pico, places))
        for item in found.moved[:_MOST_MOVED]
    ]
    rest = found.moved[_MOST_MOVED:]
    if rest:
        rest_pico = sum(item.amount_pico for item in rest)
        moved.append((f"and {len(rest)} more", "", "", amount(rest_pico, places)))
    if moved:
        print_figures(("USE", "POOL", "MOVES", "AMOUNT"), moved, words=("POOL", "MOVES"))


def _row(row: Compared, places: int, prefix: str = "") -> tuple[str, ...]:
    amounts = (row.one_pico, row.other_pico, row.difference_pico)
    return (
        f"{prefix}: {row.name}" if prefix else row.name,
        *(amount(pico, places) for pico in amounts),
    )
