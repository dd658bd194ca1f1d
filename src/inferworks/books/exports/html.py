"""A statement as one HTML file: no script, no network, readable on a phone, in the dark and on paper.

Every figure is rounded for reading and has its exact amount in its title. Whatever is text is escaped:
names of customers and descriptions of bills come from outside.

The charts have a table beside them with the same figures, for readers who cannot see them and for
checking.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Sequence

import msgspec
from msgspec.structs import replace

from inferworks.books.analysis.bridge import Bridge, Step, bridge
from inferworks.books.analysis.budget import Against
from inferworks.books.analysis.comparatives import Comparison
from inferworks.books.calendar.months import DAY_NS
from inferworks.books.charge import Charge, Function
from inferworks.books.closing.prior_period import LaterCorrection, as_corrected, own_and_corrections
from inferworks.books.exports.changes import beside_budget, causes, comparatives
from inferworks.books.exports.flows import where_the_money_went
from inferworks.books.exports.pieces import (
    BELOW,
    FUNCTIONS,
    Amount,
    Cell,
    money,
    section,
    signed,
    table,
    use_text,
)
from inferworks.books.exports.style import STYLE
from inferworks.books.exports.values import html_text, shown_amount
from inferworks.books.exports.waterfall import Bar, Kind, waterfall
from inferworks.books.statement.statement import (
    TOTAL,
    Dimension,
    Row,
    Statement,
    remarks,
    shown_name,
)
from inferworks.money import format_pico
from inferworks.units import NS_PER_SECOND


class Fact(msgspec.Struct, frozen=True):
    """An event worth knowing beside the figures: a name and a text."""

    name: str
    text: str


class Report(msgspec.Struct, frozen=True):
    """A statement with the facts shown around it."""

    title: str
    lead: str
    label: str
    """A warning that stands above everything, e.g. that bills are made up; empty for none."""
    statement: Statement
    charges: tuple[Charge, ...]
    facts: tuple[Fact, ...] = ()
    """Events, in words."""
    sample: tuple[str, str] | None = None
    """A question and its answer, as a sample of the product."""
    later: tuple[LaterCorrection, ...] = ()
    """Corrections of this period that later ones post: shown beside its figures, never part of them."""
    beside: Comparison | None = None
    """The statement of another time."""
    budget: Against | None = None
    """Budget of the span."""


def render(report: Report) -> str:
    """The HTML document of `report`."""
    statement = report.statement
    parts = (
        _head(report),
        comparatives(statement, report.beside) if report.beside else "",
        causes(statement, report.beside) if report.beside else "",
        beside_budget(report.budget) if report.budget else "",
        section(
            "The bridge",
            "What does compute cost? The same money, four answers: each margin in bold leaves out less "
            "than the one above it. What one more customer would cost lies between the first two.",
            f'<div class="wide">{waterfall(bridge_bars(bridge(statement)), statement.currency)}</div>',
        ),
        where_the_money_went(statement),
        _customers(statement),
        _statement_table(statement),
        _corrections(statement, report.later),
        _questions(statement),
        *_evidence(report),
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
    days, rest_ns = divmod(statement.end_ns - statement.start_ns, DAY_NS)
    seconds = f"{(statement.end_ns - statement.start_ns) / NS_PER_SECOND:g} s"
    length = f"{days} days" if days and not rest_ns else seconds
    span = f"{_moment(statement.start_ns)} to {_moment(statement.end_ns)} UTC ({length})"
    label = f'<p class="label" role="note">{html_text(report.label)}</p>' if report.label else ""
    tiles = (
        ("Revenue", Amount(statement.revenue_pico)),
        ("Cost of revenue", Amount(statement.cost_of_revenue_pico)),
        ("Gross margin", signed(statement.gross_margin_pico)),
        ("Research and development", Amount(statement.research_and_development_pico)),
    )
    items = "".join(f"<li><span>{name}</span><b>{money(amount)}</b></li>" for name, amount in tiles)
    return (
        f"<header><h1>{html_text(report.title)}</h1>\n"
        f'<p class="quiet">{html_text(span)} · policy {html_text(statement.policy)} · '
        f"amounts in {html_text(statement.currency)}</p>\n{label}\n"
        f"<p>{html_text(report.lead)}</p></header>\n"
        f'<ul class="tiles">{items}</ul>'
    )


def _statement_table(statement: Statement) -> str:
    rows: list[tuple[str, Sequence[Cell]]] = [
        ("", ("Revenue", Amount(statement.revenue_pico))),
        ("", ("Cost of revenue", Amount(statement.cost_of_revenue_pico))),
        *_parts(statement, Function.COST_OF_REVENUE),
        *_parts(statement, Function.UNUSED_CAPACITY),
        ("sum", ("Gross margin", signed(statement.gross_margin_pico))),
    ]
    for function, name in BELOW.items():
        if statement.function_pico(function):
            rows.append(("", (name, Amount(statement.function_pico(function)))))
            rows += _parts(statement, function)
    after_pico = statement.revenue_pico - statement.allocated_pico
    rows.append(("sum", ("After every cost", signed(after_pico))))
    return section(
        "Statement",
        "Revenue less what it cost to earn it; then what was spent beside it.",
        table(("", statement.currency), rows),
    )


def _corrections(statement: Statement, later: Sequence[LaterCorrection]) -> str:
    """Return the tables of corrections: those posted here, and those that later periods post for it."""
    tables = [
        table((title, "Revenue", "Cost of revenue", "Gross margin", "R&D", "Other"), rows)
        for title, rows in (
            (
                "Corrections booked here",
                _corrected_rows(own_and_corrections(statement), statement.corrections),
            ),
            ("Corrected since", _corrected_rows(as_corrected(statement, later), later)),
        )
        if rows
    ]
    lead = "What came late is booked in the open period; the figures of a closed one never change."
    return section("Corrections", lead, "\n".join(tables)) if tables else ""


def _corrected_rows(
    rows: Sequence[Row], corrections: Sequence[object]
) -> list[tuple[str, Sequence[Cell]]]:
    """`rows` as cells, the last of them a sum; none where there is nothing to correct."""
    if not corrections:
        return []
    kinds = [*([""] * (len(rows) - 1)), "sum"]
    return [
        (
            kind,
            (
                row.name,
                Amount(row.revenue_pico),
                Amount(row.cost_of_revenue_pico),
                signed(row.gross_margin_pico),
                Amount(row.research_and_development_pico),
                Amount(row.other_pico),
            ),
        )
        for kind, row in zip(kinds, rows, strict=True)
    ]


# --- the bridge


def bridge_bars(built: Bridge) -> list[Bar]:
    """Return the bars of revenue, of each pool's deduction in each step, and of each step's margin."""
    bars = [Bar("Revenue", built.revenue_pico, Kind.REACHED, "paid")]
    for step in built.steps:
        lines = [line for line in step.lines if line.cost_pico]
        lines.sort(key=lambda line: (line.function.value, line.pool))
        heading = ""
        for line in lines:  # below the gross margin, by function
            own = _STEP_HEADINGS.get(step.step) or FUNCTIONS[line.function].lower()
            if own != heading:
                heading = own
                bars.append(Bar(f"less {heading}", kind=Kind.HEADING))
            bars.append(Bar(line.pool, -line.cost_pico, colour=_STEP_COLOURS[step.step]))
        bars.append(Bar(step.margin, step.margin_pico, Kind.REACHED))
    return bars


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


def _parts(statement: Statement, function: Function) -> list[tuple[str, Sequence[Cell]]]:
    """The uses within a function, largest first."""
    sums: dict[str, int] = {}
    for line in statement.lines:
        if line.function is function:
            sums[line.target.label] = sums.get(line.target.label, 0) + line.amount_pico
    return [
        ("part", (use_text(use), Amount(sums[use])))
        for use in sorted(sums, key=lambda use: (-sums[use], use))
    ]


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
    listed = (
        '<table class="bars"><thead><tr><th scope="col">Customer</th>'
        '<th scope="col" class="n income">Revenue</th>'
        '<th scope="col" class="n cost">Cost of revenue</th><th scope="col" class="n">Gross margin</th>'
        f'<th scope="col" class="bar">loss | gain</th></tr></thead>'
        f"<tbody>{body}{_customer_row(total, 0)}</tbody></table>"
    )
    return section(
        "Gross margin by customer",
        "Revenue less the cost of serving that customer. Rows in brackets belong to no customer; "
        "unused capacity is charged to nobody: else a unit would cost more whenever fewer are sold.",
        f'<div class="wide">{listed}</div>',
    )


def _customer_row(row: Row, largest: int) -> str:
    margin, kind, bar = row.gross_margin_pico, ' class="sum"', ""
    if largest:  # a bar to the right of the middle for a gain, to the left for a loss
        length, kind = 49.0 * abs(margin) / largest, ""
        start, colour = (50.0, "gain") if margin >= 0 else (50.0 - length, "loss")
        text = html_text(f"Gross margin of {row.name}: {shown_amount(margin)}")
        bar = (
            f'<svg viewBox="0 0 100 10" preserveAspectRatio="none" role="img" aria-label="{text}">'
            f'<rect class="{colour}" data-pico="{margin}" x="{start:.2f}" y="1" '
            f'width="{length:.2f}" height="8"/><line x1="50" y1="0" x2="50" y2="10"/></svg>'
        )
    return (
        f'<tr{kind}><th scope="row">{html_text(row.name)}</th>'
        f'<td class="n income">{money(Amount(row.revenue_pico))}</td>'
        f'<td class="n cost">{money(Amount(row.cost_of_revenue_pico))}</td>'
        f'<td class="n">{money(signed(margin))}</td><td class="bar">{bar}</td></tr>'
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
    details = ""
    for question in statement.questions:
        sums: dict[tuple[Function, str, str, str], int] = {}
        for line in question.lines:  # over model, key and direction, which no reader of it needs
            target = line.target
            key = (line.function, target.label, target.customer or "", line.natural_class.value)
            sums[key] = sums.get(key, 0) + line.amount_pico
        listed = table(
            ("Function", "Used for", "Customer", "Bought as", "Amount"),
            [
                ("", (FUNCTIONS[function], use_text(use), customer, bought_as, Amount(pico)))
                for (function, use, customer, bought_as), pico in sorted(sums.items())
            ],
        )
        details += (
            f"<details><summary>{question.number}. {html_text(question.text)}: "
            f"{html_text(question.pool)}, divided by {html_text(question.driver)}</summary>"
            f"{listed}</details>"
        )
    columns = ("Does it include …?", "Pool", "Amount", "Cost of revenue", "R&D")
    return section(
        "The five questions",
        "What “compute cost” says depends on what it includes. Each answer is an amount on its own line.",
        f'<div class="asked">{table(columns, rows)}</div>{details}',
    )


# --- what lies under it


def _evidence(report: Report) -> Iterator[str]:
    """Yield the sections below the figures: what happened, the bills, and how each figure is computed."""
    statement = report.statement
    if report.facts or report.sample is not None:
        sample = ""
        if report.sample is not None:
            asked, answered = map(html_text, report.sample)
            sample = f"<blockquote><p><b>{asked}</b></p><p>{answered}</p></blockquote>"
        facts = "".join(
            f"<dt>{html_text(f.name)}</dt><dd>{html_text(f.text)}</dd>" for f in report.facts
        )
        yield section("What happened", "", f"{sample}<dl>{facts}</dl>")
    rows: list[tuple[str, Sequence[Cell]]] = [
        ("", (c.title, c.natural_class.value, c.issuer, Amount(c.amount_pico)))
        for c in sorted(report.charges, key=lambda charge: (-charge.amount_pico, charge.id))
    ]
    total_pico = sum(charge.amount_pico for charge in report.charges)
    rows.append(("sum", ("Billed", "", "", Amount(total_pico))))
    columns = ("Bill line", "Bought as", "From", statement.currency)
    yield section("The bills", report.label, table(columns, rows))
    exact = f"{format_pico(statement.billed_pico)} {statement.currency}"
    same = "the same" if statement.billed_pico == statement.allocated_pico else "NOT the same"
    terms = (
        *_METHODS,
        ("Checked", (f"Billed {exact}, allocated {format_pico(statement.allocated_pico)}: {same}, to the "
         f"last 10⁻¹². {len(statement.entries)} balanced entries.")),
        *(("Note", note) for note in remarks(statement.lines, statement.notes)),
    )  # fmt: skip
    listed = "".join(f"<dt>{name}</dt><dd>{html_text(text)}</dd>" for name, text in terms)
    yield section("How each figure is computed", "", f"<dl>{listed}</dl>")


_METHODS = (
    ("Machine", ("A machine's bill is divided by nanoseconds: among what was on it, then among the states "
     "of each replica, then each engine step among the calls in it, by weighted tokens (method M2).")),
    ("Storage", "By bytes times seconds held, by the purpose of what is held."),
    ("Web", "By bytes in and out of every call, refused ones included."),
    ("People", "By the machine's busy time, by purpose; or to the activity that the time sheet names."),
    ("Function", "Decided last, by the policy, a table without a default row."),
    ("Revenue", "Tokens delivered times the price in force when the call was opened; nothing rounds."),
)  # fmt: skip


def _moment(at_ns: int) -> str:
    moment = dt.datetime.fromtimestamp(at_ns // NS_PER_SECOND, dt.UTC)
    return moment.strftime("%Y-%m-%d %H:%M:%S")
