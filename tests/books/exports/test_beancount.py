"""A ledger for beancount: accounts opened before they are used, entries, and asserted balances."""

from __future__ import annotations

import datetime as dt

from tests.support.journals import CHART

from inferworks.books.exports.base import Books, content
from inferworks.books.exports.beancount import BeancountExporter
from inferworks.books.exports.chart_of_accounts import Account
from inferworks.books.exports.journal import (
    EXACT,
    Dated,
    Journal,
    JournalForm,
    Side,
    exact_journal,
    rounded_journal,
)

FIRST = dt.date(2026, 11, 1)


def written(journal: Journal) -> list[str]:
    """The lines of the ledger, without the one that seals them."""
    [file] = BeancountExporter().files(journal)
    assert file.name == "books.beancount"
    *lines, last = content(file).decode().splitlines()
    assert last.startswith("; sha256 of all lines above: ")
    return lines


def an_entry(day: int, text: str, number: str = "", **amounts: int) -> Dated:
    """An entry; underscores in names of accounts stand for colons."""
    sides = [Side(Account(name.replace("_", ":")), amount) for name, amount in amounts.items()]
    return Dated(FIRST.replace(day=day), text, tuple(sides), number)


def test_an_empty_journal_is_a_ledger_without_accounts() -> None:
    """And without a commodity."""
    assert written(Journal("USD", FIRST, ())) == [
        "; Amounts are whole numbers of 10^-12 of a currency.", "",
    ]  # fmt: skip


def test_a_ledger_opens_uses_and_asserts_its_accounts() -> None:
    """Balances are those at the beginning of the day after the last entry."""
    journal = Journal(
        "USD",
        FIRST,
        (
            an_entry(1, "usage", Assets_Receivable_acme=5, Income_Usage_acme=-5),
            an_entry(9, 'paid "late"\\', "J-2", Assets_Receivable_acme=-5, Assets_Bank=5),
        ),
    )
    assert written(journal) == [
        "; Amounts are whole numbers of 10^-12 of a currency.",
        "2026-11-01 commodity USDP",
        "2026-11-01 open Assets:Bank USDP",
        '  name: "Assets:Bank"',
        "2026-11-01 open Assets:Receivable:Acme USDP",
        '  name: "Assets:Receivable:acme"',
        "2026-11-01 open Income:Usage:Acme USDP",
        '  name: "Income:Usage:acme"',
        "",
        '2026-11-01 * "usage"',
        "  Assets:Receivable:Acme  5 USDP",
        "  Income:Usage:Acme  -5 USDP",
        "",
        '2026-11-09 * "paid \\"late\\"\\\\"',
        '  number: "J-2"',
        "  Assets:Receivable:Acme  -5 USDP",
        "  Assets:Bank  5 USDP",
        "",
        "2026-11-10 balance Assets:Bank  5 USDP",
        "2026-11-10 balance Assets:Receivable:Acme  0 USDP",
        "2026-11-10 balance Income:Usage:Acme  -5 USDP",
    ]


def test_texts_stay_within_their_lines() -> None:
    """A line break in a text is no line of the ledger."""
    journal = Journal("USD", FIRST, (an_entry(1, "a\nb", Assets_Bank=0),))
    assert [line for line in written(journal) if line.startswith("2026-11-01 *")] == [
        '2026-11-01 * "a\\\\nb"'
    ]


def test_asserted_balances_come_to_nothing(books: Books) -> None:
    """Exactly, and in cents under a chart."""
    for journal, unit in (
        (exact_journal([books.statement]), "USDP"),
        (rounded_journal([books.statement], 2, JournalForm(CHART)), "USD"),
    ):
        lines = [line for line in written(journal) if " balance " in line]
        amounts = [line.split()[-2] for line in lines]
        assert {line.split()[-1] for line in lines} == {unit}
        assert sum(int(amount.replace(".", "")) for amount in amounts) == 0
        opened = [line.split()[2] for line in written(journal) if " open " in line]
        assert opened == [line.split()[2] for line in lines]
    assert exact_journal([books.statement]).decimals == EXACT
