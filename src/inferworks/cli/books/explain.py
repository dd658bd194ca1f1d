"""`inferworks books explain`: from a figure down to bill lines and calls."""

from __future__ import annotations

from collections.abc import Iterator

import click

from inferworks.books.analysis.breakdown import Bounds, Node
from inferworks.cli.books.query import QueryOptions, query_options
from inferworks.cli.show import print_json, say
from inferworks.money import format_pico

_WIDTH = 80
_CAUSES = 3
"""Most late records that are named."""


@click.command("explain")
@click.argument("subject", metavar="KIND:NAME")
@click.option(
    "--depth", type=click.IntRange(0, 9), default=6, show_default=True, help="Levels to go down."
)
@click.option(
    "--width",
    type=click.IntRange(1),
    default=10,
    show_default=True,
    help="Parts to show of each figure; the rest are summed.",
)
@query_options()
def show_explanation(
    subject: str,
    depth: int,
    width: int,
    options: QueryOptions,
    as_json: bool,
) -> None:
    """Break a figure down to the bill lines and calls behind it.

    KIND is customer, project, key, model, provider, region, pool, chip, purpose, day, charge or call.
    Amounts are exact; the parts of every figure sum to it.

    \b
    Examples:
      inferworks books explain customer:acme
      inferworks books explain pool:machines --depth 2
      inferworks books explain purpose:unused:idle --json
    """
    workspace, query = options.open()
    found = workspace.explain(subject, query, Bounds(depth, width))
    if as_json:
        print_json(query.marked(found.to_json()))
        return
    say(f"{found.subject} in {found.currency}, policy {found.policy}", "")
    _print_roots(found.revenue, found.cost)
    for one in found.corrections:
        late = ", ".join(one.causes[:_CAUSES])
        if len(one.causes) > _CAUSES:
            late += f" and {len(one.causes) - _CAUSES} more"
        for line in _folded(f"Correction {one.name}. Late: {late}.", _WIDTH):
            say(line)
        _print_roots(one.revenue, one.cost)
    if found.corrections:
        for name, pico in (
            ("revenue, all together", found.revenue_together_pico),
            ("cost, all together", found.cost_together_pico),
        ):
            say(next(_two_columns(name, format_pico(pico))))


def _print_roots(*roots: Node) -> None:
    for root in roots:
        for line in _lines(root, 0):
            say(line)
        say()


def _lines(node: Node, level: int) -> Iterator[str]:
    """Yield lines for `node` and its parts: name on the left, amount on the right, within 80 columns."""
    indent = "  " * level
    yield from _two_columns(indent + node.label, format_pico(node.amount_pico))
    for text in (node.detail, *(ratio.text for ratio in node.ratios)):
        if text:
            yield from _folded(f"{indent}  . {text}", _WIDTH)
    for part in node.parts:
        yield from _lines(part, level + 1)


def _two_columns(text: str, amount: str) -> Iterator[str]:
    room = _WIDTH - len(amount) - 1
    first, *rest = list(_folded(text, room)) or [""]
    yield f"{first:<{room}} {amount}"
    yield from rest


def _folded(text: str, width: int) -> Iterator[str]:
    """Wrap `text` to `width`, continuation lines indented like the first; nothing is lost."""
    indent = " " * (len(text) - len(text.lstrip()) + 4)
    while len(text) > width:
        space = text.rfind(" ", len(indent) + 1, width + 1)
        at = space if space > 0 else width
        yield text[:at]
        text = indent + text[at:].lstrip()
    yield text
