"""A statement as one HTML file: no script, no network, readable on a phone, in the dark and on paper.

Every figure is rounded for reading and has its exact amount in its title. Whatever is text is escaped:
names of customers and descriptions of bills come from outside.

The pictures have a table beside them with the same figures, for whoever cannot see them and for checking.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from itertools import groupby
from typing import NamedTuple

import msgspec
from msgspec.structs import replace

from inferworks.books.bridge import Bridge, BridgeLine, BridgeStep, Step, bridge
from inferworks.books.charge import Charge, Function
from inferworks.books.exports.sankey import sankey
from inferworks.books.exports.style import STYLE
from inferworks.books.exports.values import html_text
from inferworks.books.exports.waterfall import Bar, Kind, waterfall
from inferworks.books.late import Later, amended, made_up
from inferworks.books.questions import Question
from inferworks.books.statement import TOTAL, Dimension, Flow, Row, Statement, remarks, shown_name
from inferworks.books.workings import Line
from inferworks.money import format_pico, round_pico
from inferworks.units import NS_PER_SECOND


class Fact(msgspec.Struct, frozen=True):
    """Something worth knowing beside the figures: a name and a text."""

    name: str
    text: str


class Report(msgspec.Struct, frozen=True):
    """A statement and what is told around it."""

    title: str
    lead: str
    label: str
    """A warning that stands above everything, e.g. that bills are made up; empty for none."""
    statement: Statement
    charges: tuple[Charge, ...]
    facts: tuple[Fact, ...] = ()
    """What happened, in words."""
    sample: tuple[str, str] | None = None
    """A question and its answer, to see what was sold."""
    later: tuple[Later, ...] = ()
    """What later periods book for this one: told beside its figures, and never part of them."""


class Amount(NamedTuple):
    """A cell with money in it."""

    pico: int
    signed: bool = False
    """Whether its colour tells gain from loss."""


Cell = str | Amount


def render(report: Report) -> str:
    """The HTML document of `report`."""
    statement = report.statement
    parts = (
        _head(report),
        _tiles(statement),
        _bridge(statement),
        _where_the_money_went(statement),
        _customers(statement),
        _statement_table(statement),
        _corrections(statement, report.later),
        _questions(statement),
        _what_happened(report),
        _bills(report),
        _how_computed(statement),
    )
    body = "\n".join(part for part in parts if part)
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{html_text(report.title)}</title>\n<style>{STYLE}</style>\n</head>\n"
        f"<body>\n<main>\n{body}\n</main>\n</body>\n</html>\n"
    )


def _head(report: Report) -> str:
    statement = report.statement
    seconds = (statement.end_ns - statement.start_ns) / NS_PER_SECOND
    span = f"{_moment(statement.start_ns)} to {_moment(statement.end_ns)} UTC ({seconds:g} s)"
    label = f'<p class="label" role="note">{html_text(report.label)}</p>' if report.label else ""
    return (
        f"<header><h1>{html_text(report.title)}</h1>\n"
        f'<p class="quiet">{html_text(span)} · policy {html_text(statement.policy)} · '
        f"amounts in {html_text(statement.currency)}</p>\n{label}\n<p>{html_text(report.lead)}</p></header>"
    )


def _tiles(statement: Statement) -> str:
    tiles = (
        ("Revenue", statement.revenue_pico),
        ("Cost of revenue", statement.cost_of_revenue_pico),
        ("Gross margin", statement.gross_margin_pico),
        ("Research and development", statement.research_and_development_pico),
    )
    items = "".join(
        f"<li><span>{name}</span><b>{_money(Amount(pico, name == 'Gross margin'))}</b></li>"
        for name, pico in tiles
    )
    return f'<ul class="tiles">{items}</ul>'


def _statement_table(statement: Statement) -> str:
    rows: list[tuple[str, Sequence[Cell]]] = [
        ("", ("Revenue", Amount(statement.revenue_pico))),
        ("", ("Cost of revenue", Amount(statement.cost_of_revenue_pico))),
        *_parts(statement, Function.COST_OF_REVENUE),
        *_parts(statement, Function.UNUSED_CAPACITY),
        ("sum", ("Gross margin", Amount(statement.gross_margin_pico, signed=True))),
    ]
    for function, name in _BELOW.items():
        if statement.function_pico(function):
            rows.append(("", (name, Amount(statement.function_pico(function)))))
            rows += _parts(statement, function)
    after_pico = statement.revenue_pico - statement.allocated_pico
    rows.append(("sum", ("After every cost", Amount(after_pico, signed=True))))
    return _section(
        "Statement",
        "Revenue less what it cost to earn it; then what was spent beside it.",
        _table(("", statement.currency), rows),
    )


def _corrections(statement: Statement, later: Sequence[Later]) -> str:
    """What the statement books for earlier periods, and what later ones book for it; each adds up."""
    tables = [
        _table((title, "Revenue", "Cost of revenue", "Gross margin", "R&D", "Other"), rows)
        for title, rows in (
            (
                "Corrections booked here",
                _corrected_rows(made_up(statement), statement.corrections),
            ),
            ("Corrected since", _corrected_rows(amended(statement, later), later)),
        )
        if rows
    ]
    lead = "What came late is booked in the open period; the figures of a closed one never change."
    return _section("Corrections", lead, "\n".join(tables)) if tables else ""


def _corrected_rows(
    rows: Sequence[Row], corrections: Sequence[object]
) -> list[tuple[str, Sequence[Cell]]]:
    """`rows` as cells, the last of them a sum; none where there is nothing to correct."""
    if not corrections:
        return []
    kinds = [*([""] * (len(rows) - 1)), "sum"]
    return [(kind, (row.name, *_row_amounts(row))) for kind, row in zip(kinds, rows, strict=True)]


def _row_amounts(row: Row) -> tuple[Amount, ...]:
    return (
        Amount(row.revenue_pico),
        Amount(row.cost_of_revenue_pico),
        Amount(row.gross_margin_pico, signed=True),
        Amount(row.research_and_development_pico),
        Amount(row.other_pico),
    )


# --- the bridge


def _bridge(statement: Statement) -> str:
    built = bridge(statement)
    return _section(
        "The bridge",
        "What does compute cost? The same money, four answers: each margin in bold leaves out less than "
        "the one above it. What one more customer would cost lies between the first two.",
        f'<div class="wide">{waterfall(bridge_bars(built), statement.currency)}</div>',
    )


def bridge_bars(built: Bridge) -> list[Bar]:
    """Revenue, what each pool takes off in each step, and the margin that each step leads to."""
    bars = [Bar("Revenue", built.revenue_pico, Kind.REACHED, "paid")]
    for step in built.steps:
        lines = [line for line in step.lines if line.cost_pico]
        for heading, group in groupby(sorted(lines, key=_by_function), partial(_heading, step)):
            bars.append(Bar(f"less {heading}", kind=Kind.HEADING))
            bars += [
                Bar(line.pool, -line.cost_pico, colour=_STEP_COLOURS[step.step]) for line in group
            ]
        bars.append(Bar(step.margin, step.margin_pico, Kind.REACHED))
    return bars


def _heading(step: BridgeStep, line: BridgeLine) -> str:
    """What the lines of a step are called; below the gross margin, by their function."""
    return _STEP_HEADINGS.get(step.step) or _FUNCTIONS[line.function].lower()


def _by_function(line: BridgeLine) -> tuple[str, str]:
    return line.function.value, line.pool


_STEP_HEADINGS = {
    Step.AVOIDABLE: "avoidable cost",
    Step.USED: "committed capacity, as far as used",
    Step.UNUSED: "capacity not used, cost not traced",
}
_STEP_COLOURS = {
    Step.AVOIDABLE: "free",
    Step.USED: "support",
    Step.UNUSED: "unused",
    Step.BELOW: "research",
}

_BELOW = {
    Function.RESEARCH_AND_DEVELOPMENT: "Research and development",
    Function.SALES_AND_MARKETING: "Sales and marketing",
    Function.GENERAL_AND_ADMINISTRATIVE: "General and administrative",
}
_FUNCTIONS = {
    **_BELOW,
    Function.COST_OF_REVENUE: "Cost of revenue",
    Function.UNUSED_CAPACITY: "Unused capacity",
}
_ENDS = {Function.COST_OF_REVENUE: "unassigned cost of revenue"}
"""In the picture a customer bears its own cost of revenue; this end is what no customer bears."""


def _parts(statement: Statement, function: Function) -> list[tuple[str, Sequence[Cell]]]:
    """The uses within a function, largest first."""
    sums: dict[str, int] = {}
    for line in statement.lines:
        if line.function is function:
            sums[line.target.label] = sums.get(line.target.label, 0) + line.amount_pico
    return [
        ("part", (_use_text(use), Amount(sums[use])))
        for use in sorted(sums, key=lambda use: (-sums[use], use))
    ]


# --- the picture of where the money went


def _where_the_money_went(statement: Statement) -> str:
    flows = _named(statement.flows(), dict(statement.names))
    order = [_column(flows, prefix) for prefix in (("pool",), ("use",), ("customer", "function"))]
    broad = _picture(
        flows, order, 920, 420, "bills, by pool; what they were used for; who or what bore it"
    )
    first = _picture(flows, order[:2], 328, 400, "bills, by pool, and what they were used for")
    second = _picture(flows, order[1:], 328, 400, "what was used, and who or what bore it")
    table = _table(
        ("FROM", "TO", statement.currency),
        [("", (_node_text(f.source), _node_text(f.target), Amount(f.amount_pico))) for f in flows],
    )
    return _section(
        "Where the money went",
        "Every bill on the left; what it was used for in the middle; on the right the customer it "
        "served or the function it belongs to. A band is as thick as its amount.",
        f'<figure class="broad">{broad}</figure>'
        f'<figure class="narrow">{first}</figure><figure class="narrow">{second}</figure>'
        f"<details><summary>The same as a table</summary>{table}</details>",
    )


def _named(flows: Iterable[Flow], names: Mapping[str, str]) -> list[Flow]:
    """`flows` to customers as `names` call them, no two of which are alike."""
    called = {f"customer:{customer}": f"customer:{name}" for customer, name in names.items()}
    return [replace(flow, target=called.get(flow.target, flow.target)) for flow in flows]


def _picture(
    flows: Sequence[Flow], order: Sequence[Sequence[str]], width: int, height: int, about: str
) -> str:
    inside = {name for column in order for name in column}
    drawn = [flow for flow in flows if {flow.source, flow.target} <= inside]
    names = sorted(inside)
    return sankey(
        drawn,
        order,
        {name: _node_text(name) for name in names},
        classes={name: _colour(name) for name in names},
        width=width,
        scale_height=height,
        title=f"Where the money went: {about}",
        description="; ".join(
            f"{_node_text(f.source)} to {_node_text(f.target)} {round_pico(f.amount_pico, places=2)}"
            for f in drawn
        ),
    )


def _column(flows: Iterable[Flow], prefixes: Sequence[str]) -> list[str]:
    """The nodes of one column, grouped by colour and then largest first, so that bands cross little."""
    amounts: dict[str, int] = {}
    for flow in flows:
        for name in (flow.source, flow.target):
            if name.partition(":")[0] in prefixes:
                amounts[name] = amounts.get(name, 0) + flow.amount_pico
    return sorted(amounts, key=lambda n: (_COLOUR_ORDER.index(_colour(n)), -amounts[n], n))


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
        return _ENDS.get(Function(name)) or _FUNCTIONS[Function(name)].lower()
    return _use_text(name) if kind == "use" else name


def _use_text(use: str) -> str:
    """A use in words: `unused:idle` is unused capacity, and why; `department:sales` is sales."""
    return (
        use.replace("unused:", "unused, ")
        .replace("Unallocated:", "unallocated, ")
        .removeprefix("department:")
    )


# --- by customer


def _customers(statement: Statement) -> str:
    rows = statement.by(Dimension.CUSTOMER)
    largest = max((abs(row.gross_margin_pico) for row in rows), default=0)
    total = Row(
        TOTAL,
        statement.revenue_pico,
        statement.cost_of_revenue_pico,
        statement.research_and_development_pico,
        0,
    )
    names = dict(statement.names)
    named = (replace(row, name=shown_name(row, Dimension.CUSTOMER, names)) for row in rows)
    body = "".join(_customer_row(row, largest) for row in named)
    table = (
        '<table class="bars"><thead><tr><th scope="col">Customer</th>'
        '<th scope="col" class="n income">Revenue</th>'
        '<th scope="col" class="n cost">Cost of revenue</th><th scope="col" class="n">Gross margin</th>'
        f'<th scope="col" class="bar">loss | gain</th></tr></thead>'
        f"<tbody>{body}{_customer_row(total, 0)}</tbody></table>"
    )
    return _section(
        "Gross margin by customer",
        "Revenue less the cost of serving that customer. Rows in brackets belong to no customer; "
        "unused capacity is charged to nobody: else a unit would cost more whenever fewer are sold.",
        f'<div class="wide">{table}</div>',
    )


def _customer_row(row: Row, largest: int) -> str:
    margin = row.gross_margin_pico
    kind = "" if largest else ' class="sum"'
    bar = _bar(margin, largest, row.name) if largest else ""
    return (
        f'<tr{kind}><th scope="row">{html_text(row.name)}</th>'
        f'<td class="n income">{_money(Amount(row.revenue_pico))}</td>'
        f'<td class="n cost">{_money(Amount(row.cost_of_revenue_pico))}</td>'
        f'<td class="n">{_money(Amount(margin, signed=True))}</td><td class="bar">{bar}</td></tr>'
    )


def _bar(pico: int, largest: int, name: str) -> str:
    """A bar to the right of the middle for a gain, to the left for a loss."""
    length = 49.0 * abs(pico) / largest
    start = 50.0 if pico >= 0 else 50.0 - length
    kind = "gain" if pico >= 0 else "loss"
    said = f"Gross margin of {name}: {round_pico(pico, places=2)}"
    return (
        f'<svg viewBox="0 0 100 10" preserveAspectRatio="none" role="img" aria-label="{html_text(said)}">'
        f'<rect class="{kind}" data-pico="{pico}" x="{start:.2f}" y="1" width="{length:.2f}" height="8"/>'
        '<line x1="50" y1="0" x2="50" y2="10"/></svg>'
    )


# --- the five questions


def _questions(statement: Statement) -> str:
    rows = [
        (
            "",
            (
                f"{q.number}. {q.text}",
                q.pool,
                Amount(q.amount_pico),
                Amount(q.cost_of_revenue_pico),
                Amount(q.research_and_development_pico),
            ),
        )
        for q in statement.questions
    ]
    columns = ("Does it include …?", "Pool", "Amount", "Cost of revenue", "R&D")
    return _section(
        "The five questions",
        "What “compute cost” says depends on what it includes. Each answer is an amount on its own line.",
        f'<div class="asked">{_table(columns, rows)}</div>'
        + "".join(_question_lines(q) for q in statement.questions),
    )


def _question_lines(question: Question) -> str:
    rows = [
        ("", (_FUNCTIONS[key[0]], _use_text(key[1]), key[2], key[3], Amount(pico)))
        for key, pico in _grouped(question.lines)
    ]
    table = _table(("Function", "Used for", "Customer", "Bought as", "Amount"), rows)
    return (
        f"<details><summary>{question.number}. {html_text(question.text)}: {html_text(question.pool)}, "
        f"divided by {html_text(question.driver)}</summary>{table}</details>"
    )


def _grouped(lines: Iterable[Line]) -> list[tuple[tuple[Function, str, str, str], int]]:
    """The lines summed over model, key and direction, which a reader of the question does not need."""

    def key(line: Line) -> tuple[Function, str, str, str]:
        target = line.target
        return line.function, target.label, target.customer or "", line.natural_class.value

    return [
        (name, sum(line.amount_pico for line in group))
        for name, group in groupby(sorted(lines, key=key), key)
    ]


# --- what lies under it


def _what_happened(report: Report) -> str:
    if not report.facts and report.sample is None:
        return ""
    said = ""
    if report.sample is not None:
        asked, answered = report.sample
        said = (
            f"<blockquote><p><b>{html_text(asked)}</b></p><p>{html_text(answered)}</p></blockquote>"
        )
    terms = "".join(
        f"<dt>{html_text(f.name)}</dt><dd>{html_text(f.text)}</dd>" for f in report.facts
    )
    return _section("What happened", "", f"{said}<dl>{terms}</dl>")


def _bills(report: Report) -> str:
    rows: list[tuple[str, Sequence[Cell]]] = [
        ("", (c.description, c.natural_class.value, c.issuer, Amount(c.amount_pico)))
        for c in sorted(report.charges, key=lambda charge: (-charge.amount_pico, charge.id))
    ]
    total_pico = sum(charge.amount_pico for charge in report.charges)
    rows.append(("sum", ("Billed", "", "", Amount(total_pico))))
    table = _table(("Bill line", "Bought as", "From", report.statement.currency), rows)
    return _section("The bills", report.label, table)


_METHODS = (
    ("Machine", ("A machine's bill is divided by nanoseconds: among what was on it, then among the states "
     "of each replica, then each engine step among the calls in it, by weighted tokens (method M2).")),
    ("Storage", "By bytes times seconds held, by the purpose of what is held."),
    ("Web", "By bytes in and out of every call, refused ones included."),
    ("People", "By the machine's busy time, by purpose; or to the activity that the time sheet names."),
    ("Function", "Decided last, by the policy, a table without a default row."),
    ("Revenue", "Tokens delivered times the price in force when the call was opened; nothing rounds."),
)  # fmt: skip


def _how_computed(statement: Statement) -> str:
    exact = f"{format_pico(statement.billed_pico)} {statement.currency}"
    same = "the same" if statement.billed_pico == statement.allocated_pico else "NOT the same"
    terms = (
        *_METHODS,
        ("Checked", (f"Billed {exact}, allocated {format_pico(statement.allocated_pico)}: {same}, to the "
         f"last 10⁻¹². {len(statement.entries)} balanced entries.")),
        *(("Note", note) for note in remarks(statement.lines, statement.notes)),
    )  # fmt: skip
    listed = "".join(f"<dt>{name}</dt><dd>{html_text(text)}</dd>" for name, text in terms)
    return _section("How each figure is computed", "", f"<dl>{listed}</dl>")


# --- small pieces


def _section(title: str, lead: str, body: str) -> str:
    told = f'<p class="quiet">{html_text(lead)}</p>' if lead else ""
    return f"<section><h2>{html_text(title)}</h2>\n{told}\n{body}</section>"


def _table(columns: Sequence[str], rows: Iterable[tuple[str, Sequence[Cell]]]) -> str:
    """A table; each row is its class and its cells, the first of which heads it."""
    rows = list(rows)
    money = {place for _, cells in rows for place, c in enumerate(cells) if isinstance(c, Amount)}
    head = "".join(
        f'<th scope="col"{_numeric(place in money)}>{html_text(name)}</th>'
        for place, name in enumerate(columns)
    )
    body = "".join(_table_row(kind, cells) for kind, cells in rows)
    return f'<div class="wide"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'


def _table_row(kind: str, cells: Sequence[Cell]) -> str:
    first, *others = cells
    rest = "".join(f"<td{_numeric(isinstance(cell, Amount))}>{_cell(cell)}</td>" for cell in others)
    attribute = f' class="{kind}"' if kind else ""
    return f'<tr{attribute}><th scope="row">{_cell(first)}</th>{rest}</tr>'


def _numeric(yes: bool) -> str:
    return ' class="n"' if yes else ""


def _cell(cell: Cell) -> str:
    return _money(cell) if isinstance(cell, Amount) else html_text(cell)


def _money(amount: Amount) -> str:
    """An amount rounded for reading, with the exact one in its title."""
    tells = amount.signed and amount.pico != 0
    kind = f' class="{"loss" if amount.pico < 0 else "gain"}"' if tells else ""
    shown = round_pico(amount.pico, places=2).replace("-", "−")
    return f'<span{kind} title="{format_pico(amount.pico)}">{shown}</span>'


def _moment(at_ns: int) -> str:
    moment = dt.datetime.fromtimestamp(at_ns // NS_PER_SECOND, dt.UTC)
    return moment.strftime("%Y-%m-%d %H:%M:%S")
