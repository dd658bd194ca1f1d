"""Customers and their price plans on the command line."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import pytest
from tests.support.command_line import document, invoke, refusal, run

PLAN = """\
name = "Team"
currency = "USD"
effective = 2025-11-01
subscription = "30.00"

[[price]]
unit = "input_tokens"
per_million = "1.00"

[[price]]
unit = "output_tokens"
graduated = [{ up_to = 1_000_000, per_million = "10.00" }, { per_million = "5.00" }]
"""
PRICES = ("--input-price", "0.50", "--output-price", "1.50")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data folder with acme on the plan above, and lab, which pays nothing."""
    top = tmp_path_factory.mktemp("customers")
    (top / "plan.toml").write_text(PLAN)
    (top / "euro.toml").write_text('currency = "EUR"\n')
    run("customers", "create", "acme", "--plan", top / "plan.toml", "--data", top / "data")
    run("customers", "create", "lab", "--data", top / "data")
    return top / "data"


def listed(data: Path, name: str) -> Any:
    """The row of a customer in the list."""
    rows = document("customers", "list", "--data", data)
    return next(row for row in rows if row["customer"] == name)


def test_a_customer_is_made_with_its_prices(data: Path) -> None:
    """Prices are in force from now on, in the currency of the books, and listed as they were given."""
    assert run("customers", "create", "simple", *PRICES, "--data", data).stdout == (
        "Customer simple created.\n"
    )
    row = listed(data, "simple")
    prices = (row["input_price_per_million"], row["output_price_per_million"], row["currency"])
    assert prices == ("0.50", "1.50", "USD")
    assert (row["name"], row["counts_as"], row["zone"]) == (None, "simple", "UTC")


def test_a_customer_is_made_with_its_clock_and_currency(data: Path) -> None:
    """Its prices are in that currency, and the list then has a column of clocks."""
    run("customers", "create", "berlin", *PRICES, "--zone", "Europe/Berlin", "--currency", "EUR",
        "--data", data)  # fmt: skip
    row = listed(data, "berlin")
    assert (row["zone"], row["currency"]) == ("Europe/Berlin", "EUR")
    heading, *rows = run("customers", "list", "--data", data).stdout.splitlines()
    assert heading.split() == [
        "CUSTOMER",
        "NAME",
        "ZONE",
        "INPUT/M",
        "OUTPUT/M",
        "CURRENCY",
        "PLAN",
    ]
    [berlin] = [line.split() for line in rows if line.startswith("berlin")]
    assert berlin[:6] == ["berlin", "-", "Europe/Berlin", "0.50", "1.50", "EUR"]


def test_a_customer_without_prices_is_listed_without_any(data: Path) -> None:
    """Its calls earn nothing; a price that is not one number is in the plan."""
    row = listed(data, "lab")
    assert (row["input_price_per_million"], row["currency"], row["plan_sha256"]) == (None,) * 3
    acme = listed(data, "acme")
    assert (acme["input_price_per_million"], acme["output_price_per_million"]) == ("1.00", None)
    rows = run("customers", "list", "--data", data).stdout.splitlines()
    [line] = [line.split() for line in rows if line.startswith("acme")]
    assert "see plan" in " ".join(line)


def test_a_plan_is_listed_with_its_hash(data: Path) -> None:
    """The hash that its amounts carry, from its own moment on; the same plan again is refused."""
    (plan,) = document("customers", "plans", "acme", "--data", data)
    assert plan["effective_ns"] == 1_761_955_200 * 10**9  # 2025-11-01
    assert (plan["terms"]["name"], plan["withdrawn_ns"]) == ("Team", None)
    assert plan["sha256"] == listed(data, "acme")["plan_sha256"]
    assert len(plan["sha256"]) == len(hashlib.sha256().hexdigest())
    heading, row = run("customers", "plans", "acme", "--data", data).stdout.splitlines()
    assert heading.split() == ["FROM", "NAME", "CURRENCY", "SHA-256", "WITHDRAWN"]
    assert row.split() == ["2025-11-01", "00:00:00", "UTC", "Team", "USD", plan["sha256"][:12], "-"]
    again = refusal(
        "customers", "price", "acme", "--plan", data.parent / "plan.toml", "--data", data
    )
    assert "this very plan" in again


def test_a_plan_of_the_same_start_replaces_the_one_before(data: Path) -> None:
    """The one that was a mistake stays on record, and what is withdrawn later too."""
    run("customers", "create", "mended", "--data", data)
    path = data.parent / "mended.toml"
    for fee in ("10.00", "20.00"):
        path.write_text(f'currency = "USD"\neffective = 2025-03-01\nsubscription = "{fee}"\n')
        said = run("customers", "price", "mended", "--plan", path, "--data", data).stdout
    first = document("customers", "plans", "mended", "--data", data)[0]
    assert said == (
        f"The plan of mended with SHA-256 {first['sha256'][:12]} is withdrawn.\n"
        "New prices of mended are in force from 2025-03-01 00:00:00 UTC.\n"
    )
    withdraw = ("customers", "withdraw", "mended", "--data", data, "--from")
    assert run(*withdraw, "2025-03-01").stdout == (
        "The plan of mended from 2025-03-01 00:00:00 UTC is withdrawn.\n"
    )
    plans = document("customers", "plans", "mended", "--data", data)
    assert [one["withdrawn_ns"] is None for one in plans] == [False, False]
    assert "no plan from that moment" in refusal(*withdraw, "2025-03-01")
    assert "not a moment" in refusal(*withdraw, "yesterday")


def test_a_plan_begins_by_the_customer_s_calendar(data: Path) -> None:
    """March begins in Berlin an hour before it does in UTC; it is withdrawn by the same date."""
    run("customers", "create", "dated", "--zone", "Europe/Berlin", "--data", data)
    path = data.parent / "dated.toml"
    path.write_text('currency = "USD"\neffective = 2025-03-01\n')
    said = run("customers", "price", "dated", "--plan", path, "--data", data).stdout
    assert "from 2025-02-28 23:00:00 UTC" in said
    run("customers", "withdraw", "dated", "--from", "2025-03-01", "--data", data)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("create", "Acme"), "customer name"),
        (("create", "acme"), "customer acme exists already"),
        (("create", "new", "--input-price", "1"), "give both --input-price and --output-price"),
        (("create", "new", *PRICES, "--plan", "plan.toml"), "or --plan alone"),
        (("create", "new", "--input-price", "abc", "--output-price", "1"), "'abc'"),
        (("create", "new", "--zone", "Mars/Base"), "Mars/Base"),
        (("create", "new", "--plan", "euro.toml"), "euro.toml: in EUR, new pays in USD"),
        (("price", "acme"), "give --input-price and --output-price, or --plan"),
        (("price", "nobody", *PRICES), "no customer nobody"),
        (("price", "acme", "--plan", "nowhere.toml"), "cannot read"),
        (("withdraw", "acme", "--from", "2020-01-01"), "no plan from that moment"),
    ],
)
def test_what_cannot_be_is_refused(
    data: Path, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...], told: str
) -> None:
    """One clear line; no customer is made, and no plan is changed."""
    monkeypatch.chdir(data.parent)
    assert told in refusal("customers", *words, "--data", data)
    names = {row["customer"] for row in document("customers", "list", "--data", data)}
    assert "new" not in names
    assert len(document("customers", "plans", "acme", "--data", data)) == 1


def test_a_list_without_accounts_says_the_first_step(tmp_path: Path) -> None:
    """An error that can be mended, and no file is made."""
    result = invoke("customers", "list", "--data", tmp_path / "none")
    assert "inferworks up" in str(result.exception)
    assert list(tmp_path.iterdir()) == []
