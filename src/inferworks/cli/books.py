"""`inferworks books`: bills in, statements out."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from inferworks.accounts.plan import PricePlan
from inferworks.accounts.stores.sqlite import SqliteAccounts
from inferworks.books.bills.base import BillFile, BillReader, open_bill, parse_moment_ns
from inferworks.books.bills.base import Progress as RowsRead
from inferworks.books.bills.detect import reader_for
from inferworks.books.bills.focus import FocusBillReader
from inferworks.books.bills.timesheet import TimesheetReader
from inferworks.books.charge import Charge, Function
from inferworks.books.policy import load_policy
from inferworks.books.pools import default_pools, read_pools
from inferworks.books.span import Span
from inferworks.books.statement import (
    COST_OF_REVENUE,
    Dimension,
    Row,
    Statement,
    close_span,
    whole_span,
)
from inferworks.books.store import BookStore
from inferworks.books.workings import Line, Rules
from inferworks.catalog.load import model_catalog
from inferworks.cli.options import config_option, data_option, json_option, read_config
from inferworks.cli.show import console, print_json, print_table
from inferworks.clock import SystemClock
from inferworks.config import Config
from inferworks.errors import BillError, BooksError, DataFolderError, UserError
from inferworks.folder import DataFolder
from inferworks.meter.facts import Facts
from inferworks.meter.reader import JournalReader
from inferworks.money import format_pico, round_pico
from inferworks.units import NS_PER_SECOND

READERS: tuple[BillReader, ...] = (FocusBillReader(), TimesheetReader())
"""The kinds of file that can be imported, told apart by their header."""

_ALWAYS = Span(0, 2**63 - 1)
_LONGEST_CALL_NS = 86_400 * NS_PER_SECOND
"""How long before a span its calls may have been opened and still use machines in it."""

_CAPTIONS = {
    Function.RESEARCH_AND_DEVELOPMENT: "Research and development",
    Function.SALES_AND_MARKETING: "Sales and marketing",
    Function.GENERAL_AND_ADMINISTRATIVE: "General and administrative",
}


@click.group()
def books() -> None:
    """Import bills and time sheets; print what was earned and what it cost."""


@books.command("import")
@click.argument(
    "files", nargs=-1, required=True, metavar="FILE...", type=click.Path(path_type=Path)
)
@config_option
@data_option
def import_bills(files: tuple[Path, ...], config_path: Path | None, data_path: Path | None) -> None:
    """Take in bills (FOCUS CSV, 1.0 and later) and time sheets (CSV).

    The kind is told by the header. A file lands whole or not at all, and the same file or line twice
    lands once. A line that is here already with another amount is refused.

    \b
    Examples:
      inferworks books import aws-2026-11.csv
      inferworks books import bills/*.csv timesheet.csv

    \b
    A time sheet names a node or an activity in each line:
      person,start,end,minutes,node,activity,pay,currency,sheet
      ann,2026-11-21T09:00Z,2026-11-21T17:00Z,40,gpu-3,,32.00,USD,2026-47
    """
    config = read_config(config_path, data_path)
    folder = DataFolder(Path(config.data.folder))
    folder.create()
    rows: list[tuple[str, ...]] = []
    refused: list[str] = []
    with BookStore(folder.books, currency=config.books.currency) as store:
        for path in files:
            try:
                rows.append(_import_file(path, store))
            except BillError as error:
                refused.append(str(error))
    if rows:
        columns = ("FILE", "KIND", "NEW", "DUPLICATE", "AMOUNT", "CURRENCY")
        print_table(columns, rows, right="NEW DUPLICATE AMOUNT")
    if refused:
        raise BillError("\n".join(refused))


@books.command()
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
    start_ns, end_ns = _moments(from_text, to_text)
    drawn = _drawn(config, policy or config.books.policy, pools_path, start_ns, end_ns)
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


def _import_file(path: Path, store: BookStore) -> tuple[str, ...]:
    """Read and store one file; what became of its lines, as a row to print."""
    bill = open_bill(path)
    reader = reader_for(bill, READERS)
    with _watched(bill) as rows_read:
        charges = reader.read(bill, store.currency, rows_read)
    done = store.add(bill, reader.kind, charges, SystemClock().now_ns())
    counts = (str(done.accepted), str(done.duplicate))
    return path.name, reader.kind, *counts, format_pico(done.accepted_pico), store.currency


@contextmanager
def _watched(bill: BillFile) -> Iterator[RowsRead]:
    """A progress bar on standard error, when that is a terminal."""
    terminal = Console(stderr=True)
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
    )
    with Progress(
        *columns, console=terminal, transient=True, disable=not terminal.is_terminal
    ) as progress:
        task = progress.add_task(bill.name, total=bill.text.count("\n"))
        yield lambda rows: progress.update(task, completed=rows)


def _drawn(
    config: Config, policy: str, pools_path: Path | None, start_ns: int | None, end_ns: int | None
) -> Statement:
    """The statement that the command line asks for."""
    folder = DataFolder(Path(config.data.folder))
    if not folder.path.is_dir():
        raise DataFolderError(
            f"no data folder {folder.path}; name it with --data, or begin with: "
            "inferworks books import FILE"
        )
    wanted = Span(
        _ALWAYS.start_ns if start_ns is None else start_ns,
        _ALWAYS.end_ns if end_ns is None else end_ns,
    )
    charges, currency = _charges(folder, wanted, config.books.currency)
    facts, plans = _facts(folder, wanted), _plans(folder)
    span = wanted.meet(*whole_span(charges, facts)) if None in (start_ns, end_ns) else wanted
    try:
        return close_span(
            charges, facts, plans, load_policy(policy), currency, *span, rules=_rules(pools_path)
        )
    except BooksError as error:
        raise click.ClickException(f"no statement can be drawn up: {error}") from error


def _charges(folder: DataFolder, span: Span, currency: str) -> tuple[list[Charge], str]:
    """The charges that meet `span`, and their currency; none when nothing was imported yet."""
    if not folder.books.exists():
        return [], currency
    with BookStore(folder.books, read_only=True) as store:
        return store.charges(*span), store.currency


def _facts(folder: DataFolder, span: Span) -> Facts:
    """The meter's facts for `span`; none when nothing was ever served here."""
    if not folder.journal.exists():
        return Facts((), (), (), ())
    with JournalReader(folder.journal) as reader:
        return reader.facts(max(0, span.start_ns - _LONGEST_CALL_NS), span.end_ns)


def _plans(folder: DataFolder) -> list[PricePlan]:
    """Every price plan; none when there are no customers yet."""
    if not folder.accounts.exists():
        return []
    with closing(SqliteAccounts(folder.accounts, read_only=True)) as accounts:
        return accounts.plans()


def _rules(pools_path: Path | None) -> Rules:
    if pools_path is None:
        return Rules(default_pools(), model_catalog())
    try:
        text = pools_path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"cannot read the pools file {pools_path}: {error}") from error
    return Rules(read_pools(text, pools_path.name), model_catalog())


def _moments(from_text: str | None, to_text: str | None) -> tuple[int | None, int | None]:
    """The two ends of the span asked for."""
    start_ns, end_ns = _moment(from_text), _moment(to_text)
    if start_ns is not None and end_ns is not None and end_ns <= start_ns:
        raise click.BadParameter(f"--to {to_text} must be after --from {from_text}")
    return start_ns, end_ns


def _moment(text: str | None) -> int | None:
    if text is None:
        return None
    try:
        return parse_moment_ns(text)
    except ValueError as error:
        raise click.BadParameter(f"{text!r}: {error}") from error


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
