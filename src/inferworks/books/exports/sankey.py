"""Sankey diagram of costs: columns of nodes, joined by bands as thick as their amounts.

Pure: flows in, SVG text out. Heights are floats, because a diagram is not a ledger; the exact amount of
every node and band stands beside it in `data-pico`, so that a test can compare the diagram with the
statement. Labels are moved apart where nodes are thinner than text. Amounts that are negative (credits
that outweigh a pool) cannot be drawn as a band; they are left out of the picture, and the table below it
has them.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from inferworks.books.exports.values import html_text, shown_amount
from inferworks.books.statement.statement import Flow

_NODE_WIDTH = 12.0
_GAP = 16.0
_LABEL_STEP = 17.0
_TOP = 14.0
_THINNEST = 1.5


class Node(NamedTuple):
    """A node as it is drawn; `y` and `height` in picture units."""

    name: str
    column: int
    amount_pico: int
    y: float
    height: float


class Picture(NamedTuple):
    """The measures of a picture."""

    width: float
    height: float
    columns: int

    def x(self, column: int) -> float:
        """The left edge of a column's nodes."""
        return column * (self.width - _NODE_WIDTH) / max(1, self.columns - 1)


def sankey(
    flows: Iterable[Flow], order: Sequence[Sequence[str]], labels: Mapping[str, str], *,
    classes: Mapping[str, str], width: float, scale_height: float, title: str, description: str,
) -> str:  # fmt: skip
    """An SVG of `flows` between the columns of node names in `order`.

    `labels` and `classes` give each node's text and its CSS class; a band has the class of its end that
    is not in the first column. `scale_height` is the height of the whole amount in picture units.
    """
    drawn = [flow for flow in flows if flow.amount_pico > 0]
    nodes = _nodes(drawn, order, scale_height)
    height = max((node.y + node.height for node in nodes.values()), default=0.0) + _TOP
    picture = Picture(width, max(height, _labels_height(nodes)), len(order))
    identity = f"picture-{len(order)}-{int(width)}-{html_text(order[0][0]) if order[0] else ''}"
    identity = "".join(sign if sign.isalnum() or sign == "-" else "-" for sign in identity)
    parts = [
        (
            f'<svg class="sankey" viewBox="0 0 {picture.width:g} {picture.height:.0f}" role="img" '
            f'aria-labelledby="{identity}-title {identity}-description">'
        ),
        f'<title id="{identity}-title">{html_text(title)}</title>',
        f'<desc id="{identity}-description">{html_text(description)}</desc>',
        *_bands(drawn, nodes, picture, classes, labels),
        *_boxes(nodes.values(), picture, classes),
        *_texts(nodes.values(), picture, labels),
        "</svg>",
    ]
    return "\n".join(parts)


def _nodes(
    flows: Sequence[Flow], order: Sequence[Sequence[str]], scale_height: float
) -> dict[str, Node]:
    """Every node that something flows through, placed from the top of its column."""
    into: dict[str, int] = defaultdict(int)
    out: dict[str, int] = defaultdict(int)
    for flow in flows:
        out[flow.source] += flow.amount_pico
        into[flow.target] += flow.amount_pico
    amounts = {name: max(into[name], out[name]) for name in {*into, *out}}
    columns = [[name for name in column if amounts.get(name)] for column in order]
    whole = max((sum(amounts[name] for name in column) for column in columns), default=0)
    nodes: dict[str, Node] = {}
    for index, column in enumerate(columns):
        y = _TOP
        for name in column:
            height = max(_THINNEST, scale_height * amounts[name] / max(1, whole))
            nodes[name] = Node(name, index, amounts[name], y, height)
            y += height + _GAP
    return nodes


def _bands(
    flows: Sequence[Flow],
    nodes: Mapping[str, Node],
    picture: Picture,
    classes: Mapping[str, str],
    labels: Mapping[str, str],
) -> Iterable[str]:
    """One band a flow, stacked at both its ends in the order of the nodes there."""
    places = {name: place for place, name in enumerate(nodes)}
    joined = [flow for flow in flows if flow.source in nodes and flow.target in nodes]
    left: dict[str, float] = {}
    right: dict[str, float] = {}
    for flow in sorted(joined, key=lambda f: (places[f.source], places[f.target])):
        source, target = nodes[flow.source], nodes[flow.target]
        y0, y1 = left.get(flow.source, source.y), right.get(flow.target, target.y)
        h0 = source.height * flow.amount_pico / source.amount_pico
        h1 = target.height * flow.amount_pico / target.amount_pico
        left[flow.source], right[flow.target] = y0 + h0, y1 + h1
        x0, x1 = picture.x(source.column) + _NODE_WIDTH, picture.x(target.column)
        colour = classes.get(flow.target if source.column == 0 else flow.source, "")
        said = f"{labels[flow.source]} to {labels[flow.target]}: {shown_amount(flow.amount_pico)}"
        yield (
            f'<path class="band {colour}" data-pico="{flow.amount_pico}" '
            f'd="{_band_path(x0, y0, h0, x1, y1, h1)}"><title>{html_text(said)}</title></path>'
        )


def _band_path(x0: float, y0: float, h0: float, x1: float, y1: float, h1: float) -> str:
    middle = (x0 + x1) / 2
    there = f"M{x0:.1f},{y0:.1f} C{middle:.1f},{y0:.1f} {middle:.1f},{y1:.1f} {x1:.1f},{y1:.1f}"
    back = (
        f"L{x1:.1f},{y1 + h1:.1f} C{middle:.1f},{y1 + h1:.1f} {middle:.1f},{y0 + h0:.1f} "
        f"{x0:.1f},{y0 + h0:.1f} Z"
    )
    return f"{there} {back}"


def _boxes(nodes: Iterable[Node], picture: Picture, classes: Mapping[str, str]) -> Iterable[str]:
    for node in nodes:
        yield (
            f'<rect class="node {classes.get(node.name, "")}" data-pico="{node.amount_pico}" '
            f'data-column="{node.column}" x="{picture.x(node.column):.1f}" y="{node.y:.1f}" '
            f'width="{_NODE_WIDTH:g}" height="{node.height:.1f}"/>'
        )


def _texts(nodes: Iterable[Node], picture: Picture, labels: Mapping[str, str]) -> Iterable[str]:
    """Labels beside the nodes, inside the picture: to the right of them, in the last column to the left."""
    for node, y in _label_places(nodes):
        last = node.column == picture.columns - 1 and picture.columns > 1
        x = picture.x(node.column) + (-6 if last else _NODE_WIDTH + 6)
        anchor = "end" if last else "start"
        yield (
            f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{html_text(labels[node.name])} '
            f'<tspan class="amount">{shown_amount(node.amount_pico)}</tspan></text>'
        )


def _label_places(nodes: Iterable[Node]) -> Iterable[tuple[Node, float]]:
    """Each node and the baseline of its label, at its middle unless the label above needs the room."""
    lowest: dict[int, float] = {}
    for node in nodes:
        y = max(node.y + node.height / 2 + 4.5, lowest.get(node.column, 0.0))
        lowest[node.column] = y + _LABEL_STEP
        yield node, y


def _labels_height(nodes: Mapping[str, Node]) -> float:
    return max((y for _, y in _label_places(nodes.values())), default=0.0) + _TOP
