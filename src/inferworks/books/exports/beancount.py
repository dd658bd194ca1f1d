"""A ledger for beancount (https://beancount.github.io/docs); `bean-check` must accept it.

Every account is opened with the commodities it may hold, and balances are asserted on the day after the
last entry.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from functools import partial
from typing import BinaryIO

from inferworks.books.exports.base import Books, ExportFile
from inferworks.books.exports.chart import Chart, chart, one_line, sealed
from inferworks.books.statement import Statement


class BeancountExporter:
    """One ledger."""

    name = "beancount"
    about = "a ledger for beancount, in whole picounits"

    def files(self, books: Books) -> Sequence[ExportFile]:
        """One file."""
        return [ExportFile("books.beancount", partial(_write, books.statement))]


def _write(statement: Statement, sink: BinaryIO) -> None:
    sink.writelines(sealed(_lines(chart(statement.entries, statement.start_ns))))


def _lines(journal: Chart) -> Iterable[str]:
    yield "; Amounts are whole numbers of 10^-12 of a currency."
    yield from (f"{journal.first} commodity {unit}" for unit in journal.commodities)
    held = _held(journal)
    for account, name in journal.accounts.items():
        yield f"{journal.first} open {account} {','.join(held[account])}"
        yield f"  name: {_quoted(name)}"
    for entry in journal.entries:
        yield ""
        yield f"{entry.date} * {_quoted(entry.text)}"
        for side in entry.sides:
            yield f"  {side.account}  {side.amount_pico} {side.commodity}"
    yield ""
    for balance in journal.balances:
        yield f"{journal.after} balance {balance.account}  {balance.amount_pico} {balance.commodity}"


def _held(journal: Chart) -> dict[str, list[str]]:
    """The commodities that each account holds."""
    held: dict[str, list[str]] = defaultdict(list)
    for balance in journal.balances:
        held[balance.account].append(balance.commodity)
    return held


def _quoted(text: str) -> str:
    """`text` as a string of beancount."""
    escaped = one_line(text).replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
