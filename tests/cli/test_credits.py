"""Prepaid credit on the command line: sold, paid back, listed and voided."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.support.command_line import document, refusal, run


@pytest.fixture(autouse=True)
def _customers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Acme pays 8.00 and 12.00 per million tokens."""
    monkeypatch.chdir(tmp_path)
    run("customers", "create", "acme", "--input-price", "8.00", "--output-price", "12.00")


def test_credit_is_sold_from_the_command_line() -> None:
    """An amount and a day; anything else is one clear line."""
    said = run("customers", "credit", "acme", "--amount", "100", "--expires", "2099-01-01")
    assert said.stdout == "Added 100.00 USD of credit to acme.\n"
    assert "no customer burns" in refusal("customers", "credit", "burns", "--amount", "1")
    assert "must not be zero" in refusal("customers", "credit", "acme", "--amount", "0")
    old = refusal("customers", "credit", "acme", "--amount", "1", "--expires", "2020-01-01")
    assert "expire before" in old


def test_credit_is_dated_paid_back_and_voided() -> None:
    """Entered for the day it was paid on; no more goes back than is left; a mistake stays on record."""
    run("customers", "credit", "acme", "--amount", "40.00", "--at", "2020-02-28")
    twice = run("customers", "credit", "acme", "--amount", "40.00", "--at", "2020-02-28").stdout
    assert "Added 40.00 USD" in twice
    first, second = document("customers", "credits", "acme")
    run("customers", "void", second["id"], "--reason", "entered twice")
    assert "no credit" in refusal("customers", "void", second["id"], "--reason", "again")
    back = run("customers", "credit", "acme", "--amount=-50.00", "--reason", "contract ended")
    assert "Paid back 40.00 USD" in back.stdout
    assert "10.00 beyond it is no credit" in back.stderr
    assert "nothing is left" in refusal("customers", "credit", "acme", "--amount=-1.00")
    [wallet] = document("customers", "wallets", "acme")
    amounts = (wallet["bought"], wallet["used"], wallet["refunded"], wallet["left"])
    assert amounts == ("40.00", "0.00", "40.00", "0.00")
    found = document("customers", "credits", "acme")
    assert [one["voided_ns"] is None for one in found].count(False) == 1
    for command in ("credits", "wallets"):
        text = run("customers", command, "acme").stdout
        assert max(map(len, text.splitlines())) <= 80
    assert first["id"] in {one["id"] for one in found}


def test_nothing_is_entered_into_a_closed_period() -> None:
    """Credit is neither dated into it nor voided in it; and none is paid tomorrow."""
    run("customers", "credit", "acme", "--amount", "5.00", "--at", "2020-01-10")
    [credit] = document("customers", "credits", "acme")
    run("books", "close", "2020-01")
    for sold in (("credit", "acme", "--amount", "1.00", "--at", "2020-01-31"),
                 ("void", credit["id"], "--reason", "oops")):  # fmt: skip
        assert "is in 2020-01, which is closed" in refusal("customers", *sold)
    assert "yet to come" in refusal(
        "customers", "credit", "acme", "--amount", "1.00", "--at", "2222-01-01"
    )


def test_a_list_has_every_entry_with_its_end() -> None:
    """Oldest first: the day it was paid, the amount, and the day from which it can no longer be used."""
    run(
        "customers",
        "credit",
        "acme",
        "--amount",
        "2.50",
        "--at",
        "2020-02-29",
        "--expires",
        "2020-03-01",
    )
    run("customers", "credit", "acme", "--amount", "1", "--at", "2020-01-31")
    first, second = document("customers", "credits", "acme")
    assert [one["amount"] for one in (first, second)] == ["1.00", "2.50"]
    assert (first["expires_ns"], second["expires_ns"]) == (None, 1_583_020_800 * 10**9)
    said = run("customers", "void", first["id"], "--reason", "a slip").stdout
    assert said == "The credit of 1.00 USD to acme is void.\n"
    lines = [
        " ".join(line.split()) for line in run("customers", "credits", "acme").stdout.splitlines()
    ]
    assert lines == [
        "CREDIT PAID AMOUNT EXPIRES",
        f"{first['id']} 2020-01-31 1.00 voided",
        f"{second['id']} 2020-02-29 2.50 2020-03-01",
        *("", "Amounts in USD."),
    ]
    assert document("customers", "credits", "acme")[0]["reason"] == "a slip"


def test_who_bought_none_has_an_empty_list() -> None:
    """A sentence says so; a customer that there is not is refused, as everywhere."""
    assert document("customers", "credits", "acme") == []
    assert run("customers", "credits", "acme").stdout == "acme has no prepaid credit.\n"
    for command in ("credits", "plans", "show"):
        text = "there is no customer nobody; see: inferworks customers list"
        assert text in refusal("customers", command, "nobody")
        assert text in refusal("customers", command, "nobody", "--json")
    run("customers", "create", "free")
    assert "free has no price plan" in run("customers", "plans", "free").stdout
    assert document("customers", "plans", "free") == []


def test_credit_ends_by_the_customer_s_own_clock() -> None:
    """March begins in Berlin an hour before it does in UTC."""
    run("customers", "create", "berlin", "--zone", "Europe/Berlin")
    run(
        "customers",
        "credit",
        "berlin",
        "--amount",
        "1",
        "--at",
        "2020-02-01",
        "--expires",
        "2020-03-01",
    )
    [one] = document("customers", "credits", "berlin")
    assert one["expires_ns"] == (1_583_020_800 - 3600) * 10**9
    assert "2020-03-01" in run("customers", "credits", "berlin").stdout
