"""The report's flow diagram of costs, for wide and narrow screens, and the same as a table."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from msgspec.structs import replace

from inferworks.books.charge import Function
from inferworks.books.exports.pieces import FUNCTIONS, Amount, section, table, use_text
from inferworks.books.exports.sankey import Look, Picture, sankey
from inferworks.books.exports.values import shown_amount
from inferworks.books.statement.statement import Flow, Statement


def where_the_money_went(statement: Statement) -> str:
    """The section with the picture."""
    names = {f"customer:{customer}": f"customer:{name}" for customer, name in statement.names}
    flows = [replace(f, target=names.get(f.target, f.target)) for f in statement.flows()]
    amounts: dict[str, int] = defaultdict(int)
    for flow in flows:
        for name in (flow.source, flow.target):
            amounts[name] += flow.amount_pico
    # Columns are grouped by colour and then largest first, so that bands cross little.
    nodes = sorted(amounts, key=lambda n: (_COLOUR_ORDER.index(_colour(n)), -amounts[n], n))
    order = [
        [node for node in nodes if node.partition(":")[0] in kinds]
        for kinds in (("pool",), ("use",), ("customer", "function"))
    ]
    broad = _picture(
        flows, order, 920, 420, "bills, by pool; what they were used for; who or what bore it"
    )
    first = _picture(flows, order[:2], 328, 400, "bills, by pool, and what they were used for")
    second = _picture(flows, order[1:], 328, 400, "what was used, and who or what bore it")
    listed = table(
        ("FROM", "TO", statement.currency),
        [("", (_node_text(f.source), _node_text(f.target), Amount(f.amount_pico))) for f in flows],
    )
    return section(
        "Where the money went",
        "Every bill on the left; what it was used for in the middle; on the right the customer it "
        "served or the function it belongs to. A band is as thick as its amount.",
        f'<figure class="broad">{broad}</figure>'
        f'<figure class="narrow">{first}</figure><figure class="narrow">{second}</figure>'
        f"<details><summary>The same as a table</summary>{listed}</details>",
    )


def _picture(
    flows: Sequence[Flow], order: Sequence[Sequence[str]], width: int, height: int, about: str
) -> str:
    inside = {name for column in order for name in column}
    shown = [flow for flow in flows if {flow.source, flow.target} <= inside]
    description = "; ".join(
        f"{_node_text(f.source)} to {_node_text(f.target)} {shown_amount(f.amount_pico)}"
        for f in shown
    )
    looks = {name: Look(_node_text(name), _colour(name)) for name in inside}
    picture = Picture(width, height, f"Where the money went: {about}", description)
    return sankey(shown, order, looks, picture)


_COLOUR_ORDER = ("", "paid", "free", "support", "other", "research", "unused", "unknown")
_USE_COLOURS = {
    "serve-paid": "paid",
    "customer-training": "paid",
    "serve-free": "free",
    "support": "support",
    "train-inference": "research",
    "train-gradient": "research",
    "evaluate": "research",
    "data-prep": "research",
}
_FUNCTION_COLOURS = {
    Function.COST_OF_REVENUE: "support",
    Function.UNUSED_CAPACITY: "unused",
    Function.RESEARCH_AND_DEVELOPMENT: "research",
}


_ENDS = {Function.COST_OF_REVENUE: "unassigned cost of revenue"}
"""Names of ends of flows: cost of revenue that no customer bears, as each bears its own."""


def _colour(node: str) -> str:
    kind, _, name = node.partition(":")
    if kind == "pool":
        return ""
    if kind == "customer":
        return "paid"
    if kind == "function":
        return _FUNCTION_COLOURS.get(Function(name), "other")
    if name.startswith("unused:"):
        return "unused"
    return "unknown" if name.startswith("Unallocated") else _USE_COLOURS.get(name, "other")


def _node_text(node: str) -> str:
    kind, _, name = node.partition(":")
    if kind == "function":
        return _ENDS.get(Function(name)) or FUNCTIONS[Function(name)].lower()
    return use_text(name) if kind == "use" else name
