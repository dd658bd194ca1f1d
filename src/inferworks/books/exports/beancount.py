"""A ledger for beancount (https://beancount.github.io/docs); `bean-check` must accept it.

Every account is opened with the commodity it may hold, and balances are asserted on the day after the
last entry.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Sequence

from inferworks.books.exports.base import ExportFile
from inferworks.books.exports.journal import Journal
from inferworks.books.exports.plain_text import (
    amount_text,
    commodity,
    head,
    last_day,
    names_of,
    one_line,
    sealed,
)


class BeancountExporter:
    """One ledger."""

    name = "beancount"
    about = "a ledger for beancount, in whole picounits or rounded"

    def files(self, journal: Journal) -> Sequence[ExportFile]:
        """One file."""
        return [
            ExportFile("books.beancount", lambda sink: sink.writelines(sealed(_lines(journal))))
        ]


def _lines(journal: Journal) -> Iterable[str]:
    names, unit = names_of(journal), commodity(journal)
    yield from (f"; {line}" for line in head(journal))
    if journal.entries:
        yield f"{journal.first} commodity {unit}"
    for written, original in names.originals():
        yield f"{journal.first} open {written} {unit}"
        yield f"  name: {_quoted(original)}"
    for entry in journal.entries:
        yield ""
        yield f"{entry.date} * {_quoted(entry.text)}"
        yield from [f"  number: {_quoted(entry.number)}"] if entry.number else []
        for side in entry.sides:
            yield f"  {names.written[side.account]}  {amount_text(journal, side.amount)}"
    yield ""
    after = last_day(journal) + dt.timedelta(days=1)  # a balance is that of a day's beginning
    for written, amount in names.balances.items():
        yield f"{after} balance {written}  {amount_text(journal, amount)}"


def _quoted(text: str) -> str:
    """`text` as a string of beancount."""
    escaped = one_line(text).replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
