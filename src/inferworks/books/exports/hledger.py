"""A journal for hledger (https://hledger.org/journal.html); `hledger check --strict` must accept it.

Every account and commodity is declared, entries stand in the order of their days, and a last entry
asserts the balance of every account. What an account is called in the books stands in a comment of its own:
beside the declaration hledger would read tags out of it, and `type:` there makes a revenue an asset.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from inferworks.books.exports.base import ExportFile
from inferworks.books.exports.journal import EXACT, Journal
from inferworks.books.exports.plain_text import (
    amount_text,
    commodity,
    head,
    last_day,
    names_of,
    one_line,
    sealed,
)


class HledgerExporter:
    """One journal."""

    name = "hledger"
    about = "a journal for hledger, in whole picounits or rounded"

    def files(self, journal: Journal) -> Sequence[ExportFile]:
        """One file."""
        return [ExportFile("books.journal", lambda sink: sink.writelines(sealed(_lines(journal))))]


def _lines(journal: Journal) -> Iterable[str]:
    names = names_of(journal)
    yield from (f"; {line}" for line in head(journal))
    yield from (f"; {written} is {original}" for written, original in names.originals())
    places = "1." if journal.decimals in (0, EXACT) else f"1.{'0' * journal.decimals}"
    if journal.entries:
        yield f"commodity {places} {commodity(journal)}"
    yield from (f"account {written}" for written in names.balances)
    for entry in journal.entries:
        yield ""
        number = f"({entry.number}) " if entry.number else ""
        text = one_line(entry.text).replace(";", "\\x3b")  # which would begin a comment, with tags
        yield f"{entry.date} * {number}{text}"
        for side in entry.sides:
            yield f"    {names.written[side.account]}  {amount_text(journal, side.amount)}"
    yield ""
    yield f"{last_day(journal)} * balances"
    for written, amount in names.balances.items():
        nothing, all_of_it = (amount_text(journal, pico) for pico in (0, amount))
        yield f"    {written}  {nothing} = {all_of_it}"
