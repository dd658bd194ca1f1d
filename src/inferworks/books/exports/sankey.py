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


class Look(NamedTuple):
    """Text and CSS class of a node."""

    label: str
    css_class: str


class Picture(NamedTuple):
    """Size of a picture in picture units, and its text for readers who do not see it."""

    width: float
    scale_height: float
    """Height of the whole amount."""
    title: str
    description: str


def sankey(
    flows: Iterable[Flow],
    order: Sequence[Sequence[str]],
    looks: Mapping[str, Look],
    picture: Picture,
) -> str:
    """An SVG of `flows` between the columns of node names in `order`.

    A band has the class of its end that is not in the first column.
    """
    positive = [flow for flow in flows if flow.amount_pico > 0]
    nodes = _nodes(positive, order, picture.scale_height)
    labels: list[tuple[Node, float]] = []  # each with its baseline
    lowest: dict[int, float] = {}
    for node in nodes.values():  # at its middle, unless the label above needs the room
        y = max(node.y + node.height / 2 + 4.5, lowest.get(node.column, 0.0))
        lowest[node.column] = y + _LABEL_STEP
        labels.append((node, y))
    bottom = max((node.y + node.height for node in nodes.values()), default=0.0)
    height = max([bottom, *(y for _, y in labels)]) + _TOP
    step = (picture.width - _NODE_WIDTH) / max(1, len(order) - 1)
    identity = f"picture-{len(order)}-{int(picture.width)}-"
    identity += html_text(order[0][0]) if order[0] else ""
    identity = "".join(sign if sign.isalnum() or sign == "-" else "-" for sign in identity)
    boxes = (
        f'<rect class="node {looks[node.name].css_class}" data-pico="{node.amount_pico}" '
        f'data-column="{node.column}" x="{node.column * step:.1f}" y="{node.y:.1f}" '
        f'width="{_NODE_WIDTH:g}" height="{node.height:.1f}"/>'
        for node in nodes.values()
    )
    texts = []  # to the right of the nodes, in the last column to the left: inside the picture
    for node, y in labels:
        is_last = node.column == len(order) - 1 and len(order) > 1
        x = node.column * step + (-6 if is_last else _NODE_WIDTH + 6)
        anchor = "end" if is_last else "start"
        texts.append(
            f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">'
            f"{html_text(looks[node.name].label)} "
            f'<tspan class="amount">{shown_amount(node.amount_pico)}</tspan></text>'
        )
    parts = [
        (
            f'<svg class="sankey" viewBox="0 0 {picture.width:g} {height:.0f}" role="img" '
            f'aria-labelledby="{identity}-title {identity}-description">'
        ),
        f'<title id="{identity}-title">{html_text(picture.title)}</title>',
        f'<desc id="{identity}-description">{html_text(picture.description)}</desc>',
        *_bands(positive, nodes, looks, step),
        *boxes,
        *texts,
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
    flows: Iterable[Flow], nodes: Mapping[str, Node], looks: Mapping[str, Look], step: float
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
        x0, x1 = source.column * step + _NODE_WIDTH, target.column * step
        middle = (x0 + x1) / 2
        colour = looks[flow.target if source.column == 0 else flow.source].css_class
        text = (
            f"{looks[flow.source].label} to {looks[flow.target].label}: "
            f"{shown_amount(flow.amount_pico)}"
        )
        yield (
            f'<path class="band {colour}" data-pico="{flow.amount_pico}" d="M{x0:.1f},{y0:.1f} '
            f"C{middle:.1f},{y0:.1f} {middle:.1f},{y1:.1f} {x1:.1f},{y1:.1f} L{x1:.1f},{y1 + h1:.1f} "
            f'C{middle:.1f},{y1 + h1:.1f} {middle:.1f},{y0 + h0:.1f} {x0:.1f},{y0 + h0:.1f} Z">'
            f"<title>{html_text(text)}</title></path>"
        )
