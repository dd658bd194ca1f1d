"""`inferworks books statement`: revenue, cost and margin."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

import click
import msgspec

from inferworks.books.analysis.comparatives import percent_of
from inferworks.books.calendar.moments import utc_text
from inferworks.books.charge import COST_OF_REVENUE, Function
from inferworks.books.closing.seal import Close
from inferworks.books.statement.computation import Line
from inferworks.books.statement.statement import (
    TOTAL,
    Dimension,
    Row,
    Statement,
    remarks,
    shown_name,
)
from inferworks.books.workspace.engine_choice import BY_CALL
from inferworks.books.workspace.settings import EngineName
from inferworks.cli.books.budgets import budget_option
from inferworks.cli.books.comparatives import compare_option, print_comparatives
from inferworks.cli.books.formatting import (
    amount,
    percentage,
    places_of,
    print_figures,
    print_no_costs,
    span_text,
)
from inferworks.cli.books.later import print_corrections
from inferworks.cli.books.query import QueryOptions, query_options
from inferworks.cli.show import print_json, say

if TYPE_CHECKING:  # Ibis takes its time to load
    from inferworks.books.engines.customer_statement import CustomerStatement

AnyStatement: TypeAlias = "Statement | CustomerStatement"
Sealed: TypeAlias = tuple[Close, str] | None
"""The close of a statement's period and its SHA-256; None while it is open."""
_CAPTIONS = {
    Function.RESEARCH_AND_DEVELOPMENT: "Research and development",
    Function.SALES_AND_MARKETING: "Sales and marketing",
    Function.GENERAL_AND_ADMINISTRATIVE: "General and administrative",
}
_GROSS_MARGIN = "Gross margin"


@click.command()
@click.option(
    "--by",
    type=click.Choice([d.value for d in Dimension]),
    help="Dimension to cut the statement by.",
)
@click.option(
    "--engine",
    type=click.Choice([name.value for name in EngineName]),
    help="Engine; all give the same figures.  [default: auto]",
)
@compare_option
@budget_option
@query_options()
def statement(
    by: str | None,
    engine: str | None,
    beside: str | None,
    budget: Path | None,
    options: QueryOptions,
    as_json: bool,
) -> None:
    """Print revenue, cost of revenue, gross margin and other costs.

    Without a period or dates: the newest month with any data. A month that is not over is provisional,
    and ends with the last usage or bill.
    Statements are computed in Python, from 100,000 facts on by DuckDB; see books.engine. Amounts in tables
    are rounded for reading; --json has all of them exactly, and the charges of each line.

    \b
    Examples:
      inferworks books statement
      inferworks books statement --by customer
      inferworks books statement --period 2026-11 --policy marginal
      inferworks books statement --period 2026-11 --compare previous
      inferworks books statement --compare previous --budget budget.csv
      inferworks books statement --from 2026-11-01 --to 2026-12-01 --json
    """
    compares = beside is not None or budget is not None
    if by is not None and compares:
        raise click.UsageError(
            "--by cannot be combined with --compare or --budget, which compare the whole statement"
        )
    workspace, query = options.open()
    cut = Dimension(by) if by else None
    if compares:
        print_comparatives(workspace, query, beside, budget, engine, as_json=as_json)
        return
    sealed = workspace.sealed_json(query) if as_json and cut is None else None
    if sealed is not None:
        print_json(msgspec.Raw(sealed))
        return
    if as_json:
        statement = workspace.statement(query, engine, cut)
        notes: dict[str, object] = {"notes": remarks(statement.lines, statement.notes)}
        print_json(query.marked(statement.to_json(cut) | notes))
        return
    if cut is None:
        statement = workspace.statement(query, engine)
        later = workspace.later(query)
        _print_statement(statement, workspace.close_of(query))
        _print_questions(statement)
        print_corrections(statement, later)
        _print_notes(statement)
    elif cut is Dimension.CUSTOMER:
        _print_cut(workspace.by_customer(query, engine), workspace.close_of(query), cut)
    else:
        _print_cut(workspace.statement(query, engine, cut), workspace.close_of(query), cut)


def _print_notes(statement: AnyStatement) -> None:
    print_no_costs(statement.lines)
    for note in statement.notes:
        say(f"Note: {note}")


def _print_statement(statement: AnyStatement, closed: Sealed) -> None:
    places = places_of(statement)
    say(f"Statement in {statement.currency}, policy {statement.policy}, {span_text(statement)}")
    if closed is not None:
        close, sha256 = closed
        say(f"Closed {utc_text(close.at_ns)} by {close.by}, SHA-256 {sha256[:12]}")
    say()
    rows = [
        ("Revenue", statement.revenue_pico),
        ("Cost of revenue", statement.cost_of_revenue_pico),
    ]
    rows += _of_which(statement, COST_OF_REVENUE)
    rows += [(_GROSS_MARGIN, statement.gross_margin_pico)]
    for function, caption in _CAPTIONS.items():
        if statement.function_pico(function):
            rows += [
                (caption, statement.function_pico(function)),
                *_of_which(statement, (function,)),
            ]
    if statement.margin != _GROSS_MARGIN:
        rows += [(statement.margin, statement.margin_pico)]
    rows += [("Billed", statement.billed_pico), ("Allocated", statement.allocated_pico)]
    table = [
        (name, amount(pico, places), percentage(percent_of(pico, statement.revenue_pico)))
        for name, pico in rows
    ]
    print_figures(("", f"AMOUNT {statement.currency}", "% OF REVENUE"), table)


def _of_which(statement: AnyStatement, functions: Sequence[Function]) -> list[tuple[str, int]]:
    """The uses within `functions`, indented, largest first."""
    sums: dict[str, int] = {}
    for line in statement.lines:
        if line.function in functions:
            sums[_use(line)] = sums.get(_use(line), 0) + line.amount_pico
    return [(f"  {use}", sums[use]) for use in sorted(sums, key=lambda use: (-sums[use], use))]


def _use(line: Line) -> str:
    unused = line.target.unused
    use = line.target.label if unused is None else f"unused capacity: {unused}"
    return f"committed: {use}" if line.function is Function.COMMITTED else use


def _print_cut(statement: AnyStatement, closed: Sealed, dimension: Dimension) -> None:
    _print_statement(statement, closed)
    places = places_of(statement)
    columns = (
        dimension.value.upper(),
        "REVENUE",
        "COST OF REVENUE",
        "GROSS MARGIN",
        "R&D",
        "OTHER",
    )
    names = dict(statement.names)
    rows = [
        _cut_row(row, shown_name(row, dimension, names), places) for row in statement.by(dimension)
    ]
    total = Row(
        TOTAL,
        statement.revenue_pico,
        statement.cost_of_revenue_pico,
        statement.research_and_development_pico,
        statement.allocated_pico
        - statement.cost_of_revenue_pico
        - statement.research_and_development_pico,
    )
    print_figures(columns, [*rows, _cut_row(total, TOTAL, places)])
    unplaced = isinstance(statement, Statement) and not statement.placed
    if dimension in BY_CALL and unplaced and statement.revenue_pico:
        say(
            f"Note: revenue is not shown by {dimension} here: that takes the revenue of single calls, "
            "which is not computed where DuckDB closes a large period."
        )
    _print_notes(statement)


def _cut_row(row: Row, name: str, places: int) -> tuple[str, ...]:
    return (name, *(amount(pico, places) for pico in row.amounts_pico.values()))


def _print_questions(statement: Statement) -> None:
    """The five questions in three views: gross margin (two columns), marginal, fully loaded."""
    places = places_of(statement)
    columns = ("THE FIVE QUESTIONS", "COST OF REVENUE", "R&D", "MARGINAL", "FULLY LOADED")
    rows = [
        (
            f"{question.number} {question.text}",
            amount(question.cost_of_revenue_pico, places),
            amount(question.research_and_development_pico, places),
            amount(question.marginal_pico, places),
            amount(question.amount_pico, places),
        )
        for question in statement.questions
    ]
    print_figures(columns, rows)
