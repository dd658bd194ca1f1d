"""Shared parts of plain-text ledgers: names that both tools accept and never mix up, and sealed lines."""

from __future__ import annotations

import datetime as dt
import hashlib
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inferworks.books.exports.chart_of_accounts import Account
from inferworks.books.exports.journal import EXACT, Dated, Journal, Rounding, Side
from inferworks.books.exports.plain_text import (
    account_name,
    amount_text,
    commodity,
    head,
    last_day,
    names_of,
    one_line,
    seal_line,
    sealed,
)
from inferworks.errors import BooksError

FIRST = dt.date(2026, 11, 1)
ACCEPTED = re.compile(
    r"(Assets|Liabilities|Equity|Income|Expenses)(:[A-Z0-9][A-Za-z0-9]*(-[A-Za-z0-9]+)*)+"
)
"""Names that hledger and beancount both take."""


def a_journal(*entries: Dated, decimals: int = EXACT, **changes: object) -> Journal:
    """A journal of dollars from 1 November on."""
    return Journal("USD", FIRST, entries, decimals)._replace(**changes)


def an_entry(day: int, **amounts: int) -> Dated:
    """An entry of a day; underscores in names of accounts stand for colons."""
    sides = [Side(Account(name.replace("_", ":")), amount) for name, amount in amounts.items()]
    return Dated(FIRST.replace(day=day), "x", tuple(sides))


@pytest.mark.parametrize(
    ("account", "name"),
    [
        (Account("Income:Usage:acme"), "Income:Usage:Acme"),
        (Account("Assets:receivable"), "Assets:Receivable"),
        (Account("Costs:machines:purchased-compute"), "Expenses:Pools:Machines:Purchased-compute"),
        (Account("Liabilities:Payable:a-1"), "Liabilities:Payable:A-1"),
        (Account("Usage revenue", "4000", "Income"), "Income:4000-Usage-revenue"),
        (Account("", "4000", "Income"), "Income:4000"),
        (Account("Löhne & Gehälter", "6000", "Expenses"), "Expenses:6000-L-hne-Geh-lter"),
    ],
)
def test_plain_names_stay_readable(account: Account, name: str) -> None:
    """A capital letter is all that most of them need; pools stand under expenses."""
    assert account_name(account) == name


@pytest.mark.parametrize("text", ["Acme", "A b", "a:b", "ü", "a--b", "-a", "a-", "", "x, type:A"])
def test_a_name_that_cannot_stand_carries_a_part_of_its_hash(text: str) -> None:
    """So `Acme` and `acme` are two accounts, and no text becomes a tag or an account below."""
    parts = text.split(":")
    found = account_name(Account(f"Income:Usage:{text}"))
    for part in parts:
        if part not in ("a", "b"):
            assert hashlib.sha256(part.encode()).hexdigest()[:12] in found
    assert ACCEPTED.fullmatch(found)


def test_a_root_that_no_tool_knows_is_another_equity() -> None:
    """With its own name below."""
    assert account_name(Account("Odd:x")).startswith("Equity:Other:Odd-")
    assert account_name(Account("Assets")).startswith("Equity:Other:Assets-")


NAMES = st.lists(st.text("aA1-: ü", max_size=4), min_size=1, max_size=3).map(":".join)


@settings(max_examples=25)
@given(
    st.sampled_from(["Assets", "Income", "Costs", "Odd"]), st.lists(NAMES, min_size=2, unique=True)
)
def test_two_accounts_never_become_one(root: str, names: list[str]) -> None:
    """Any two names; and both tools take every one."""
    written = [account_name(Account(f"{root}:Of:{name}")) for name in names]
    assert len(set(written)) == len(names)
    assert all(map(ACCEPTED.fullmatch, written))


def test_accounts_of_a_journal_have_their_balances() -> None:
    """By written name, in order, those at zero included; and the original beside each."""
    names = names_of(
        a_journal(
            an_entry(1, Income_Usage_acme=-5, Assets_Receivable_acme=5),
            an_entry(2, Assets_Receivable_acme=-5, Assets_Bank=5),
        )
    )
    assert names.balances == {
        "Assets:Bank": 5,
        "Assets:Receivable:Acme": 0,
        "Income:Usage:Acme": -5,
    }
    assert list(names.balances) == sorted(names.balances)
    assert list(names.originals()) == [
        ("Assets:Bank", "Assets:Bank"),
        ("Assets:Receivable:Acme", "Assets:Receivable:acme"),
        ("Income:Usage:Acme", "Income:Usage:acme"),
    ]
    assert names_of(a_journal()) == ({}, {})


def test_a_journal_whose_accounts_are_written_alike_is_refused() -> None:
    """Two accounts of a chart with one number and title, under names that differ."""
    sides = (Side(Account("A b", "4000", "Income"), 1), Side(Account("A-b", "4000", "Income"), -1))
    with pytest.raises(BooksError) as refused:
        names_of(a_journal(Dated(FIRST, "x", sides)))
    assert str(refused.value) == (
        "two accounts have the same name in the journal; no journal was written"
    )


def test_exact_amounts_are_whole_numbers_of_a_commodity_of_their_own() -> None:
    """Rounded ones are of the currency, with their decimals."""
    exact, cents = a_journal(), a_journal(decimals=2)
    assert (commodity(exact), amount_text(exact, -5)) == ("USDP", "-5 USDP")
    assert (commodity(cents), amount_text(cents, -5)) == ("USD", "-0.05 USD")
    assert amount_text(cents, 123_400) == "1234.00 USD"


def test_a_journal_begins_with_what_its_amounts_are() -> None:
    """And with the first day that may change."""
    assert list(head(a_journal())) == ["Amounts are whole numbers of 10^-12 of a currency."]
    provisional = a_journal(decimals=2, rounding=Rounding(3, 1), provisional_from=FIRST)
    first, second = head(provisional)
    assert first.startswith(
        "Amounts are rounded to 2 decimals: 3 lines, each by at most half a unit;"
    )
    assert second == ("Provisional: what is from 2026-11-01 on is not closed and may change.")


def test_the_last_day_is_that_of_the_last_entry() -> None:
    """Of an empty journal it is the first."""
    assert last_day(a_journal()) == FIRST
    assert last_day(a_journal(an_entry(3, Assets_Bank=0), an_entry(9, Assets_Bank=0))).day == 9


def test_a_text_is_one_line() -> None:
    """Line breaks and what nobody sees are escaped."""
    assert one_line("  a b ") == "a b"
    assert "\n" not in one_line("a\nb\u202ec")
    assert len(one_line("a\nb\u202ec").splitlines()) == 1


def test_a_journal_ends_with_the_hash_of_all_lines_above() -> None:
    """As `head -n -1 FILE | sha256sum` says it."""
    raw = b"".join(sealed(["one", "", "zwölf"]))
    above, last = raw[: raw.rindex(b";")], raw[raw.rindex(b";") :].decode()
    assert above == "one\n\nzwölf\n".encode()
    assert last == seal_line(hashlib.sha256(above).hexdigest())
    assert list(sealed([])) == [seal_line(hashlib.sha256().hexdigest()).encode()]
