"""A journal for hledger (https://hledger.org/journal.html); `hledger check --strict` must accept it.

Every account and commodity is declared, entries stand in the order of their days, and a last entry
asserts the balance of every account.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import partial
from typing import BinaryIO

from inferworks.books.exports.base import Books, ExportFile
from inferworks.books.exports.chart import Chart, chart, one_line, sealed
from inferworks.books.statement import Statement


class HledgerExporter:
    """One journal."""

    name = "hledger"
    about = "a journal for hledger, in whole picounits"

    def files(self, books: Books) -> Sequence[ExportFile]:
        """One file."""
        return [ExportFile("books.journal", partial(_write, books.statement))]


def _write(statement: Statement, sink: BinaryIO) -> None:
    sink.writelines(sealed(_lines(chart(statement.entries, statement.start_ns))))


def _lines(journal: Chart) -> Iterable[str]:
    yield "; Amounts are whole numbers of 10^-12 of a currency."
    yield from (f"commodity 1. {unit}" for unit in journal.commodities)
    for account, name in journal.accounts.items():
        yield f"account {account}  ; {one_line(name)}"
    for entry in journal.entries:
        yield ""
        yield f"{entry.date} * {entry.text}"
        for side in entry.sides:
            yield f"    {side.account}  {side.amount_pico} {side.commodity}"
    yield ""
    yield f"{journal.after} * balances"
    for balance in journal.balances:
        unit = balance.commodity
        yield f"    {balance.account}  0 {unit} = {balance.amount_pico} {unit}"
