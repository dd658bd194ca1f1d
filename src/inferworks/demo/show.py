"""Output of the demo: the same figures as tables for a terminal, as JSON, and as an HTML page."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import msgspec

from inferworks.books.exports.html import Fact, Report, render
from inferworks.books.statement.statement import Dimension, Statement
from inferworks.demo.bills import SCALE, price_lines
from inferworks.demo.run import DemoResult
from inferworks.demo.scenario import SAMPLE_QUESTION
from inferworks.money import format_pico, round_pico

SYNTHETIC = (
    "The bills and the prices are SYNTHETIC, made for exactly this span: "
    f"{SCALE}. Calls, tokens, engine steps, seconds and gradient descent are real and were measured."
)
_MILLION = 10**6


class Section(msgspec.Struct, frozen=True):
    """Part of the output: a table, lines of text, or both."""

    title: str
    columns: Sequence[str] = ()
    rows: Sequence[Sequence[str]] = ()
    right: str = ""
    """The columns to be aligned to the right, separated by spaces."""
    lines: Sequence[str] = ()


_ROUNDED = (
    "Each amount is rounded by itself, so sums may differ by 0.01; --json has all of them exactly."
)


def sections(result: DemoResult) -> list[Section]:
    """Return the printed sections, in order; every table fits 80 columns."""
    return [
        Section("Inferworks demo", lines=(SYNTHETIC,)),
        Section(
            "A question and its answer", lines=(f"> {SAMPLE_QUESTION}", result.live.sample.text)
        ),
        Section(
            "What happened",
            ("WHAT", "MEASURED"),
            [(fact.name, fact.text) for fact in facts(result)],
        ),
        _statement(result.statement),
        _customers(result.statement),
        _questions(result.statement),
    ]


def facts(result: DemoResult) -> list[Fact]:
    """Describe what happened, in words."""
    trained = result.live.trained
    prices: list[str] = []
    for price in result.prices:
        read, written = (
            round_pico(pico * _MILLION, places=2) for pico in (price.input_pico, price.output_pico)
        )
        listed = f" ({read} in, {written} out, per million tokens)" if price.output_pico else ""
        prices.append(f"{price.customer} {price.about}{listed}")
    outcomes = ", ".join(f"{count} {outcome}" for outcome, count in result.outcomes.items())
    return [
        Fact(
            "Traffic", f"{result.plan.about}; 1 sample; {trained.rollouts} rollouts of the trainer"
        ),
        Fact(
            "Calls", f"{result.calls_sent} sent, {result.usage_records} usage records: {outcomes}"
        ),
        Fact("Tokens", f"{result.tokens.input:,} in, {result.tokens.output:,} out"),
        Fact(
            "Training",
            f"{trained.steps:,} steps of gradient descent on {trained.windows:,} windows of the "
            f"rollouts, {trained.parameters:,} parameters; loss {trained.start_loss:.2f} to "
            f"{trained.end_loss:.2f} nats a character",
        ),
        Fact("Customers", "; ".join(prices)),
    ]


def page(result: DemoResult) -> str:
    """The HTML report."""
    lead = (
        "One run of everything: customers called a model, a trainer learned from it, bills came in, "
        "and the books say what each answer earned and what it cost."
    )
    prices = "; ".join(f"{name} {price}" for name, price in price_lines())
    return render(
        Report(
            title="What the answers earned, and what they cost",
            lead=lead,
            label=SYNTHETIC,
            statement=result.statement,
            charges=result.charges,
            facts=(*facts(result), Fact("Synthetic prices", prices)),
            sample=(SAMPLE_QUESTION, result.live.sample.text),
        )
    )


def as_json(result: DemoResult, report: Path) -> dict[str, Any]:
    """The figures as JSON values; amounts are exact decimal strings."""
    statement = result.statement.to_json()
    return {
        "calls_sent": result.calls_sent,
        "calls_answered": result.calls_answered,
        "usage_records": result.usage_records,
        "tokens": {"input": result.tokens.input, "output": result.tokens.output},
        "billed": statement["billed"],
        "allocated": statement["allocated"],
        "statement": statement["statement"],
        "customers": _only(statement["customers"], _CUSTOMER_FIELDS),
        "questions": _only(statement["questions"], _QUESTION_FIELDS),
        "training": msgspec.to_builtins(result.live.trained),
        "traffic": result.plan.about,
        "synthetic": SYNTHETIC,
        "report": str(report),
    }


_CUSTOMER_FIELDS = ("customer", "revenue", "cost_of_revenue", "gross_margin")
_QUESTION_FIELDS = (
    "number",
    "question",
    "pool",
    "amount",
    "cost_of_revenue",
    "research_and_development",
)


def _only(rows: Any, fields: Iterable[str]) -> list[dict[str, Any]]:
    return [{field: row[field] for field in fields} for row in rows]


def _statement(statement: Statement) -> Section:
    rows = [
        ("Revenue", _money(statement.revenue_pico)),
        ("Cost of revenue", _money(statement.cost_of_revenue_pico)),
        ("  of which unused capacity", _money(statement.unused_capacity_pico)),
        ("Gross margin", _money(statement.gross_margin_pico)),
        ("Research and development", _money(statement.research_and_development_pico)),
        ("Billed", format_pico(statement.billed_pico)),
        ("Allocated", format_pico(statement.allocated_pico)),
    ]
    title = f"Statement, policy {statement.policy}"
    return Section(title, ("", statement.currency), rows, statement.currency, (_ROUNDED,))


def _customers(statement: Statement) -> Section:
    rows = [
        (
            row.name,
            _money(row.revenue_pico),
            _money(row.cost_of_revenue_pico),
            _money(row.gross_margin_pico),
        )
        for row in statement.by(Dimension.CUSTOMER)
    ]
    columns = ("CUSTOMER", "REVENUE", "COST", "MARGIN")
    return Section(
        "Gross margin by customer",
        columns,
        rows,
        "REVENUE COST MARGIN",
        ("MARGIN: revenue less cost of revenue.",),
    )


def _questions(statement: Statement) -> Section:
    rows = [
        (
            f"{question.number} {question.text}",
            question.pool,
            _money(question.amount_pico),
            _money(question.cost_of_revenue_pico),
            _money(question.research_and_development_pico),
        )
        for question in statement.questions
    ]
    columns = ("DOES IT INCLUDE", "POOL", "AMOUNT", "COR", "R&D")
    return Section(
        "The five questions",
        columns,
        rows,
        right="AMOUNT COR R&D",
        lines=("COR: cost of revenue. The report has the lines behind each.",),
    )


def _money(pico: int) -> str:
    return round_pico(pico, places=2)
