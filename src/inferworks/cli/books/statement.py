"""`inferworks books statement`: what was earned and what it cost."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from pathlib import Path

import click
from rich.table import Table

from inferworks.books.charge import COST_OF_REVENUE, Function
from inferworks.books.statement import Dimension, Row, Statement
from inferworks.books.workings import Line
from inferworks.cli.books.papers import drawn_up, moments
from inferworks.cli.options import config_option, data_option, json_option, read_config
from inferworks.cli.show import console, print_json
from inferworks.money import round_pico
from inferworks.units import NS_PER_SECOND

_CAPTIONS = {
    Function.RESEARCH_AND_DEVELOPMENT: "Research and development",
    Function.SALES_AND_MARKETING: "Sales and marketing",
    Function.GENERAL_AND_ADMINISTRATIVE: "General and administrative",
}


@click.command()
@click.option("--by", type=click.Choice([d.value for d in Dimension]), help="Cut the statement.")
@click.option("--from", "from_text", metavar="DATE", help="First day or moment (UTC).")
@click.option("--to", "to_text", metavar="DATE", help="The day or moment to stop before (UTC).")
@click.option("--policy", metavar="NAME", help="A shipped policy or a TOML file.  [default: gaap]")
@click.option(
    "--pools",
    "pools_path",
    type=click.Path(path_type=Path),
    help="Rules for cost pools, instead of the shipped ones.",
)
@config_option
@data_option
@json_option
def statement(
    by: str | None,
    from_text: str | None,
    to_text: str | None,
    policy: str | None,
    pools_path: Path | None,
    config_path: Path | None,
    data_path: Path | None,
    as_json: bool,
) -> None:
    """Print revenue, cost of revenue, gross margin and what else was spent.

    Without dates, it covers everything recorded. Amounts in tables are rounded for reading; --json has
    every one exactly.

    \b
    Examples:
      inferworks books statement
      inferworks books statement --by customer
      inferworks books statement --from 2026-11-01 --to 2026-12-01 --json
    """
    config = read_config(config_path, data_path)
    start_ns, end_ns = moments(from_text, to_text)
    drawn = drawn_up(config, policy or config.books.policy, pools_path, start_ns, end_ns)
    if as_json:
        print_json(drawn.to_json())
        return
    _print_statement(drawn)
    if by:
        _print_cut(drawn, Dimension(by))
    else:
        _print_questions(drawn)
    for note in drawn.notes:
        click.echo(f"Note: {note}")


def _print_statement(drawn: Statement) -> None:
    places = _places(drawn)
    span = f"{_date(drawn.start_ns)} to {_date(drawn.end_ns)}"
    click.echo(f"Statement in {drawn.currency}, policy {drawn.policy}, {span}\n")
    rows = [("Revenue", drawn.revenue_pico), ("Cost of revenue", drawn.cost_of_revenue_pico)]
    rows += _of_which(drawn, COST_OF_REVENUE)
    rows += [("Gross margin", drawn.gross_margin_pico)]
    for function, caption in _CAPTIONS.items():
        if drawn.function_pico(function):
            rows += [(caption, drawn.function_pico(function)), *_of_which(drawn, (function,))]
    rows += [("Billed", drawn.billed_pico), ("Allocated", drawn.allocated_pico)]
    table = [(name, round_pico(pico, places=places)) for name, pico in rows]
    _print_figures(("", f"AMOUNT {drawn.currency}"), table)


def _of_which(drawn: Statement, functions: Sequence[Function]) -> list[tuple[str, int]]:
    """The uses within `functions`, indented, largest first."""
    sums: dict[str, int] = {}
    for line in drawn.lines:
        if line.function in functions:
            sums[_use(line)] = sums.get(_use(line), 0) + line.amount_pico
    return [(f"  {use}", sums[use]) for use in sorted(sums, key=lambda use: (-sums[use], use))]


def _use(line: Line) -> str:
    unused = line.target.unused
    return line.target.label if unused is None else f"unused capacity: {unused}"


def _print_cut(drawn: Statement, dimension: Dimension) -> None:
    places = _places(drawn)
    columns = (
        dimension.value.upper(),
        "REVENUE",
        "COST OF REVENUE",
        "GROSS MARGIN",
        "R&D",
        "OTHER",
    )
    rows = [_cut_row(row, places) for row in drawn.by(dimension)]
    total = Row(
        "Total",
        drawn.revenue_pico,
        drawn.cost_of_revenue_pico,
        drawn.research_and_development_pico,
        drawn.allocated_pico - drawn.cost_of_revenue_pico - drawn.research_and_development_pico,
    )
    _print_figures(columns, [*rows, _cut_row(total, places)])


def _cut_row(row: Row, places: int) -> tuple[str, ...]:
    amounts = (
        row.revenue_pico,
        row.cost_of_revenue_pico,
        row.gross_margin_pico,
        row.research_and_development_pico,
        row.other_pico,
    )
    return (row.name, *(round_pico(pico, places=places) for pico in amounts))


def _print_questions(drawn: Statement) -> None:
    places = _places(drawn)
    columns = ("THE FIVE QUESTIONS", "POOL", "AMOUNT", "COST OF REVENUE", "R&D")
    rows = [
        (
            f"{question.number} {question.text}",
            question.pool,
            round_pico(question.amount_pico, places=places),
            round_pico(question.cost_of_revenue_pico, places=places),
            round_pico(question.research_and_development_pico, places=places),
        )
        for question in drawn.questions
    ]
    _print_figures(columns, rows)


def _print_figures(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """A table of amounts, which stand on the right; only the first column and POOL are words."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for place, name in enumerate(columns):
        words = place == 0 or name == "POOL"
        table.add_column(name, justify="left" if words else "right", overflow="fold")
    for row in rows:
        table.add_row(*row)
    console().print(table)
    click.echo()


def _places(drawn: Statement) -> int:
    """Decimals to show: cents for a company, millionths for an afternoon."""
    largest = max(abs(drawn.billed_pico), abs(drawn.revenue_pico))
    return 2 if largest >= 1000 * 10**12 else 6


def _date(at_ns: int) -> str:
    moment = dt.datetime.fromtimestamp(at_ns // NS_PER_SECOND, dt.UTC)
    return moment.strftime("%Y-%m-%d %H:%M:%S")
