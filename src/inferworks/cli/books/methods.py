"""`inferworks books methods`: compare the methods of allocation over a span."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

import click

from inferworks.books.allocation.step_down import Received
from inferworks.books.analysis.method_comparison import Distances
from inferworks.cli.books.formatting import amount, print_figures
from inferworks.cli.books.query import QueryOptions, query_options
from inferworks.cli.show import print_json, say
from inferworks.money import PICO, format_pico, round_pico


@click.command("methods")
@query_options(policy=False)
def show_methods(
    options: QueryOptions,
    as_json: bool,
) -> None:
    """Check the methods: M0, M1, M2 against M3, and the step-down against simultaneous equations.

    M3 (sampled Shapley values of every engine step) is the yardstick; 0 is the same, 2 nothing in common.

    \b
    Examples:
      inferworks books methods --period 2026-11
    """
    workspace, query = options.open()
    found, pools = workspace.methods(query)
    workspace.note_corrections(query, workspace.later(query))
    if as_json:
        print_json(query.marked(_json(found, pools)))
        return
    rows = [(d.method.value, _ratio(d.ratio), _ratio(d.customers_ratio)) for d in found.distances]
    print_figures(("DISTANCE TO M3", "BY SIDE OF CALL", "BY CUSTOMER"), rows)
    if found.without_steps:
        say(f"{found.without_steps} replicas report no steps and are left out.", "")
    if pools:
        received = [
            (
                row.pool,
                amount(row.step_down_pico, 6),
                amount(round(row.reciprocal_pico), 6),
                amount(round(row.difference_pico), 6),
            )
            for row in pools
        ]
        print_figures(("RECEIVED BY POOL", "STEP-DOWN", "RECIPROCAL", "DIFFERENCE"), received)
        largest = max(row.difference_pico for row in pools)
        say(f"Largest difference: {amount(round(largest), 6)}")


def _ratio(ratio: Fraction) -> str:
    return round_pico(round(ratio * PICO), places=6)


def _json(found: Distances, pools: Sequence[Received]) -> dict[str, object]:
    largest = max((row.difference_pico for row in pools), default=0)
    return {
        "distances": [distance.to_json() for distance in found.distances],
        "replicas_without_steps": found.without_steps,
        "step_down": [
            {
                "pool": row.pool,
                "step_down": format_pico(row.step_down_pico),
                "reciprocal": format_pico(round(row.reciprocal_pico)),
                "difference": format_pico(round(row.difference_pico)),
            }
            for row in pools
        ],
        "largest_difference": format_pico(round(largest)),
    }
