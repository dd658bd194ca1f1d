"""Prepaid credit on the command line, and prices that reach into a closed period."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import pytest
from tests.support.command_line import document, invoke, run

from inferworks.clock import SystemClock
from inferworks.meter.stores.sqlite import SqliteStore
from inferworks.meter.usage import Tokens
from inferworks.testing.books import a_usage

PLAN = """\
currency = "USD"
effective = 2020-01-15
"""


@pytest.fixture(autouse=True)
def _customers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Acme pays 8.00 and 12.00 per million tokens."""
    monkeypatch.chdir(tmp_path)
    run("customers", "create", "acme", "--input-price", "8.00", "--output-price", "12.00")


def test_a_wallet_is_what_was_bought_less_what_was_used() -> None:
    """A million input tokens of the 100.00 that were paid ahead: 92.00 are left, in a table and as JSON."""
    assert "No customer has bought credit" in run("customers", "wallets").stdout
    run("customers", "credit", "acme", "--amount", "100.00", "--expires", "2999-01-01")
    store = SqliteStore(Path("inferworks-data/journal.db"))
    store.open()
    with closing(store):
        now_ns = SystemClock().now_ns()
        store.write([a_usage("call-1", opened_ns=now_ns, tokens=Tokens(input=1_000_000))])
    [wallet] = document("customers", "wallets", "acme")
    assert (wallet["bought"], wallet["used"], wallet["left"]) == ("100.00", "8.00", "92.00")
    text = run("customers", "wallets").stdout
    assert "2999-01-01" in text
    assert max(map(len, text.splitlines())) <= 80
    refused = invoke("customers", "wallets", "wayne")
    assert "never bought credit" in str(refused.exception)


def test_credit_is_used_in_the_parts_in_which_a_month_is_closed() -> None:
    """31.00 a month, October in halves: 16.00 fall due on the 16th, and are paid by what came on the 10th.

    In one piece all of it was due on the 1st, before there was credit. Of 20.00 then 4.00 expire.
    """
    fee = 'currency = "USD"\neffective = 2025-10-01\nsubscription = "31.00"\n'
    Path("plan.toml").write_text(fee)
    run("customers", "create", "burns", "--plan", "plan.toml")
    run(
        "customers",
        "credit",
        "burns",
        "--amount",
        "20",
        "--at",
        "2025-10-10",
        "--expires",
        "2025-11-01",
    )
    run("books", "close", "2025-10-01..2025-10-16")
    run("books", "close", "2025-10-16..2025-11-01")
    [wallet] = document("customers", "wallets", "burns")
    assert (wallet["used"], wallet["expired"], wallet["left"]) == ("16.00", "4.00", "0.00")


def test_a_price_inside_a_closed_period_is_pointed_out() -> None:
    """The price holds from the first open day on; the note names the period and the way to open it."""
    run("books", "close", "2020-01", "--accept", "no business")
    Path("plan.toml").write_text(PLAN)
    result = run("customers", "price", "acme", "--plan", "plan.toml")
    assert "2020-01 is closed and keeps its prices" in result.stderr
    assert "count from 2020-02-01" in result.stderr
    later = run("customers", "price", "acme", "--input-price", "9.00", "--output-price", "12.00")
    assert later.stderr == ""
