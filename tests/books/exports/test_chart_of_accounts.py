"""Charts of accounts: a row for every account, by patterns."""

from __future__ import annotations

import re

import pytest
from tests.support.journals import CHART, _row

from inferworks.books.exports.chart_of_accounts import (
    Account,
    accounts,
    read_chart,
    shipped_chart,
)
from inferworks.errors import ConfigError


def test_the_chart_that_ships_takes_every_account() -> None:
    """Each kind has a row, pools and rounding among them."""
    found = {name: CHART.account_of(name) for name in accounts()}
    assert all(found.values())
    assert found["Liabilities:Credits:(any)"] == Account(
        "Deferred revenue", "2400", "Liabilities", "Tax Exempt (0%)"
    )
    assert CHART.account_of("Costs:web:power") == Account(
        "Cost pools", "6990", "Expenses", "Tax Exempt (0%)"
    )


def without(pattern: str) -> str:
    """The chart that ships without a row."""
    return re.sub(
        rf'\[\[account\]\]\n[^\[]*takes = \["{re.escape(pattern)}"\]\n', "", shipped_chart()
    )


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        (without("Assets:Prepaid:*"), r"own\.toml has no row for Assets:Prepaid:\(any\); add rows"),
        (without("Expenses:committed:*"), r"no row for .*employee-compensation:.* and 3 more"),
        ('account = []\n', "no row for"),
        ("account = 3", "account: expected array"),
        ('[[account]]\nnumber = "1"\nname = "a"\ntakes = []\n', "length >= 1"),
        ('[[account]]\nnumber = "1"\nname = "a"\n', r"account\[0\]: object missing required field takes"),
        ('[[account]]\nnumber = "=1"\nname = "a"\ntakes = ["*"]\n', "letters and digits.*, got '=1'"),
        ('[[account]]\nnumbre = "1"\nname = "a"\ntakes = ["*"]\n', "unknown field numbre"),
        ('[[account]]\nnumber = "1"\nname = "a"\ntakes = ["Asset:*", "*"]\n', "'Asset:.*' is no account"),
        ('[[account]]\nnumber = "1"\nname = "a"\ntakes = ["*", "Income:*"]\n', "'Income:.*never applies"),
        (_row("1", "a", "Income:*") + _row("1", "b", "*"), "number 1 is 'b', and 1 is 'a' already"),
        (_row("1.1", "a", "Income:*") + _row("1-1", "b", "*"), "number 1-1 is 'b', and 1.1 is 'a' already"),
        ("account = [", "own.toml: "),
        ("".join(_row(f"{n}", "a", f"Income:{n}") for n in range(2001)), "2001 patterns, more than 2000"),
    ],
)  # fmt: skip
def test_a_chart_that_cannot_be_used_is_refused_when_it_is_loaded(text: str, fault: str) -> None:
    """In one line that names the file and what is wrong."""
    with pytest.raises(ConfigError, match=fault) as refused:
        read_chart(text, "own.toml")
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("pattern", "fitting", "others"),
    [
        ("Income:Usage:acme", ["Income:Usage:acme"], ["Income:Usage:acme2", "Income:Usage:"]),
        (
            "Income:*:acme",
            ["Income:Usage:acme", "Income::acme"],
            ["Income:acme", "Income:Usage:acmes"],
        ),
        ("*:acme", ["Income:Usage:acme", ":acme"], ["acme"]),
        ("Costs:*a*b*", ["Costs:ab", "Costs:xaxbx"], ["Costs:ba", "Cost:ab"]),
        ("*", ["", "Income:Usage:two\nlines"], []),
    ],
)
def test_a_star_stands_for_any_text(pattern: str, fitting: list[str], others: list[str]) -> None:
    """No other sign than the star has a meaning."""
    text = f'default = {{ number = "9", name = "rest" }}\n{_row("1", "a", pattern)}'
    chart = read_chart(text, "own.toml")
    assert {chart.account_of(name).number for name in fitting} <= {"1"}
    assert {chart.account_of(name).number for name in others} <= {"9"}


def test_many_stars_take_no_time() -> None:
    """Each of them is looked for once."""
    text = f'default = {{ number = "9", name = "rest" }}\n{_row("1", "a", "Income:" + "a*" * 40 + "b")}'
    chart = read_chart(text, "own.toml")
    assert chart.account_of("Income:" + "a" * 100_000) is not None


def test_a_default_takes_what_is_left() -> None:
    """Only where the file states one."""
    text = 'account = []\ndefault = { number = "9999", name = "Suspense" }\n'
    chart = read_chart(text, "own.toml")
    assert {chart.account_of(name) for name in accounts()} == {
        Account("Suspense", "9999", root, "Tax Exempt (0%)")
        for root in ("Assets", "Liabilities", "Income", "Expenses")
    }
