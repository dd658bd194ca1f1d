"""Prices as their user meets them: plans from files, credit, list prices, estimates and their bills."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace
from tests.support.command_line import document, refusal, run

from inferworks.accounts.credit import Credit
from inferworks.accounts.stores.sqlite import SqliteAccounts
from inferworks.catalog.genai import installed_book
from inferworks.clock import SimClock
from inferworks.folder import DataFolder
from inferworks.ids import CustomerId
from inferworks.meter.stores.sqlite import SqliteStore
from inferworks.meter.usage import Tokens, Usage
from inferworks.testing.books import a_leg, a_usage

DAY_NS = 86_400 * 10**9
NOVEMBER_NS = 1_793_491_200 * 10**9  # 2026-11-01
DECEMBER_NS = NOVEMBER_NS + 30 * DAY_NS
PLAN = """\
name = "Team"
currency = "USD"
effective = 2026-11-01
subscription = "30.00"

[[price]]
unit = "input_tokens"
per_million = "1.00"

[[price]]
unit = "output_tokens"
graduated = [{ up_to = 1_000_000, per_million = "10.00" }, { per_million = "5.00" }]
"""
BILL = """\
BilledCost,BillingCurrency,ChargePeriodStart,ChargePeriodEnd,ServiceCategory,ServiceName,\
InvoiceIssuerName,InvoiceId,x_LineId
2.20,USD,2026-11-01T00:00:00Z,2026-12-01T00:00:00Z,AI and Machine Learning,API,OpenAI LLC,inv-1,1
"""


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Work in a folder of our own, on a day on which December is over."""
    monkeypatch.chdir(tmp_path)
    january = SimClock(DECEMBER_NS + 31 * DAY_NS)
    monkeypatch.setattr("inferworks.wiring.books.SystemClock", lambda: january)


@pytest.fixture
def folder() -> DataFolder:
    """A data folder with the customer acme on the plan above."""
    Path("plan.toml").write_text(PLAN)
    run("customers", "create", "acme", "--plan", "plan.toml")
    return DataFolder(Path("inferworks-data"))


def served(folder: DataFolder, calls: Sequence[Usage]) -> None:
    """Write `calls` to the journal."""
    store = SqliteStore(folder.journal)
    store.open()
    try:
        store.write(calls)
    finally:
        store.close()


def a_call(name: str, at_ns: int, output: int, *, model: str = "gpt-5-mini") -> Usage:
    """A call of acme's that OpenAI served."""
    tokens = Tokens(output=output)
    leg = a_leg(None, (at_ns, at_ns + 1), tokens, provider="openai")
    return a_usage(name, opened_ns=at_ns, tokens=tokens, model=model, legs=[leg])


def test_a_plan_that_was_typed_wrong_is_mended(folder: DataFolder) -> None:
    """Reopened, mended, closed again: the month is charged by the right price, and all of it verifies.

    100,000 tokens at 10.00 a million are 1.00, where 100.00 had been typed. (lago: plans that cannot be
    mended)
    """
    served(folder, [a_call("a", NOVEMBER_NS, 100_000)])
    terms = (
        'currency="USD"\neffective=2026-11-01\n[[price]]\nunit="output_tokens"\nper_million="{}"\n'
    )
    Path("wrong.toml").write_text(terms.format("100.00"))
    Path("right.toml").write_text(terms.format("10.00"))
    run("customers", "price", "acme", "--plan", "wrong.toml")
    run("books", "close", "2026-11", "--begin")
    run("books", "reopen", "2026-11", "--reason", "10.00, not 100.00")
    said = run("customers", "price", "acme", "--plan", "right.toml")
    assert "is withdrawn" in said.stdout
    assert document("books", "statement", "--period", "2026-11")["statement"]["revenue"] == "1.00"
    run("books", "close", "2026-11")
    run("books", "verify")
    third = [plan["withdrawn_ns"] is None for plan in document("customers", "plans", "acme")]
    assert third == [False, False, True]
    text = run("customers", "plans", "acme").stdout
    assert max(map(len, text.splitlines())) <= 80


def test_a_plan_is_withdrawn(folder: DataFolder) -> None:
    """The plan before it goes on; a closed period keeps it, and still verifies."""
    served(folder, [a_call("a", NOVEMBER_NS, 1_500_000)])
    Path("later.toml").write_text('currency="USD"\neffective=2026-11-02\nsubscription="900.00"\n')
    run("customers", "price", "acme", "--plan", "later.toml")
    run("books", "close", "2026-11", "--begin")
    sealed = document("books", "statement", "--period", "2026-11")
    said = run("customers", "withdraw", "acme", "--from", "2026-11-02 00:00:00 UTC")
    assert "2026-11 is closed and keeps its prices" in said.stderr
    assert document("books", "statement", "--period", "2026-11") == sealed
    run("books", "verify")
    assert "no plan from that moment" in refusal(
        "customers", "withdraw", "acme", "--from", "2026-11-02"
    )
    assert "not a moment" in refusal("customers", "withdraw", "acme", "--from", "yesterday")


def test_a_month_by_the_plan(folder: DataFolder) -> None:
    """1.5 million output tokens: 10.00 and 2.50, and 30.00 for the month; every row has its hash."""
    served(folder, [a_call("a", NOVEMBER_NS, 1_500_000)])
    drawn = document("books", "statement", "--from", "2026-11-01", "--to", "2026-12-01")
    assert drawn["statement"]["revenue"] == "42.50"
    items = {row["item"]: row["amount"] for row in drawn["revenue_lines"]}
    assert items == {"usage": "12.50", "subscription": "30.00"}
    (plan,) = document("customers", "plans", "acme")
    assert {row["plan_sha256"] for row in drawn["revenue_lines"]} == {plan["sha256"]}


@pytest.mark.slow
def test_an_estimate_until_the_bill_comes(folder: DataFolder) -> None:
    """A million output tokens at 2.00 are estimated, then billed at 2.20; the error is 9.0909 percent."""
    served(folder, [a_call("a", NOVEMBER_NS + 5, 1_000_000)])
    span = ("--from", "2026-11-01", "--to", "2026-12-01")
    before = document("books", "statement", *span)
    assert before["billed"] == "2.00"
    assert any("2.00 of openai is estimated" in note for note in before["notes"])
    Path("bill.csv").write_text(BILL)
    run("books", "import", "bill.csv")
    after = document("books", "statement", *span)
    assert after["billed"] == "2.20"
    assert not any("estimated" in note for note in after["notes"])
    assert document("books", "estimates", *span) == [
        {
            "provider": "openai",
            "month": "2026-11",
            "estimated": "2.00",
            "billed": "2.20",
            "difference": "-0.20",
            "percent": "-9.0909",
            "waiting": "0.00",
            "unpriced_tokens": 0,
        }
    ]
    assert "-9.0909" in run("books", "estimates", *span).stdout


@pytest.mark.slow
def test_a_closed_estimate_is_trued_up_in_the_open_month(folder: DataFolder) -> None:
    """November closed at 2.00 stays; the bill of 2.20 makes December 0.20 dearer, and it all verifies."""
    served(folder, [a_call("a", NOVEMBER_NS + 5, 1_000_000)])
    assert document("books", "close", "2026-11")["billed"] == "2.00"
    Path("bill.csv").write_text(BILL)
    run("books", "import", "bill.csv")
    assert document("books", "statement", "--period", "2026-11")["billed"] == "2.00"
    december = document("books", "statement", "--period", "2026-12")
    assert december["billed"] == "0.20"
    assert document("books", "close", "2026-12")["billed"] == "0.20"
    assert document("books", "verify")["sound"]
    january = document("books", "statement", "--period", "2027-01")
    assert january["billed"] == "0.00"
    (row,) = document("books", "estimates", "--from", "2026-11-01", "--to", "2026-12-01")
    assert (row["estimated"], row["billed"], row["difference"]) == ("2.00", "2.20", "-0.20")


@pytest.mark.slow
def test_a_model_without_a_list_price_is_said_to_be_missing(folder: DataFolder) -> None:
    """Tokens without a list price are counted, not taken as free."""
    served(folder, [a_call("a", NOVEMBER_NS, 1000, model="secret-model")])
    drawn = document("books", "statement")
    assert any("1000 tokens of openai have no list price" in note for note in drawn["notes"])
    (row,) = document("books", "estimates")
    assert (row["unpriced_tokens"], row["billed"], row["percent"]) == (1000, None, None)


@pytest.mark.slow
def test_credit_over_two_months(folder: DataFolder) -> None:
    """90 bought in November, when 40 are used; December's fee uses 30, the 2nd 7.50; 12.50 expire."""
    acme = CustomerId("acme")
    bought = Credit("credit-1", acme, NOVEMBER_NS, 90 * 10**12, "USD", DECEMBER_NS + 2 * DAY_NS)
    with closing(SqliteAccounts(folder.accounts)) as accounts:
        accounts.add_credit(bought)
    times = {"a": NOVEMBER_NS, "b": DECEMBER_NS + DAY_NS, "c": DECEMBER_NS + 9 * DAY_NS}
    served(folder, [a_call(name, at_ns, 1_000_000) for name, at_ns in times.items()])
    november = {"usage": 10, "subscription": 30}
    assert incomes("2026-11-01", "2026-12-01") == november
    december = {"usage": 15, "subscription": 30, "breakage": Decimal("12.50")}
    assert incomes("2026-12-01", "2027-01-01") == december
    assert incomes("2026-11-01", "2027-01-01") == {
        "usage": 25,
        "subscription": 60,
        "breakage": Decimal("12.50"),
    }
    assert document("books", "close", "2026-11")["number"] == 0
    assert document("books", "verify")["sound"]


def incomes(start: str, end: str) -> dict[str, Decimal]:
    """The revenue of a span by item."""
    drawn = document("books", "statement", "--from", start, "--to", end)
    sums: dict[str, Decimal] = {}
    for row in drawn["revenue_lines"]:
        sums[row["item"]] = sums.get(row["item"], Decimal(0)) + Decimal(row["amount"])
    return sums


@pytest.mark.slow
def test_prices_are_shown_and_pinned() -> None:
    """The list price of a model, exactly; a pin keeps the whole book."""
    (price,) = document("prices", "show", "gpt-5-mini", "--provider", "openai")
    rates = {rate["unit"]: rate["price_per_million"] for rate in price["rates"]}
    tokens = {"input_tokens": "0.25", "cache_read_tokens": "0.025", "output_tokens": "2"}
    assert rates == {**tokens, "searches": "10000"}
    assert "gpt-5-mini" in run("prices", "show", "gpt-5-mini").stdout
    assert "no list price" in refusal("prices", "show", "gpt-5-mini", "--provider", "nobody")
    pinned = document("prices", "pin", "--from", "2026-12-01")
    assert pinned["sha256"] == price["book_sha256"] == installed_book().sha256
    assert "is pinned" in run("prices", "pin").stdout


HALVES = ("2026-11-01..2026-11-16", "2026-11-16..2026-12-01")


def test_the_parts_of_a_month_are_closed_apart(folder: DataFolder) -> None:
    """Two halves come to the month; what is late for the first moves the tiers of both.

    75 and 75 units at 100 x 2.00 and 1.50 beyond are 150.00 and 125.00. Another 50 for the first half make
    it 237.50, of 350.00 for the month.
    """
    Path("tiers.toml").write_text(
        'currency="USD"\neffective=2026-11-01\n[[price]]\nunit="output_tokens"\n'
        'graduated=[{up_to=100, each="2.00"}, {each="1.50"}]\n'
    )
    run("customers", "create", "burns", "--plan", "tiers.toml")
    for day, name in ((4, "a"), (19, "b")):
        call = a_call(name, NOVEMBER_NS + day * DAY_NS, 75)
        served(folder, [replace(call, customer=CustomerId("burns"))])
    revenue = []
    for half in HALVES:
        run("books", "close", half, *(["--begin"] if half is HALVES[0] else []))
        drawn = document("books", "statement", "--period", half)
        revenue.append(sum_of(drawn, "burns"))
    assert revenue == [Decimal("150.00"), Decimal("125.00")]
    late = a_call("late", NOVEMBER_NS + 5 * DAY_NS, 50)
    served(folder, [replace(late, customer=CustomerId("burns"))])
    december = document("books", "statement", "--period", "2026-12")
    corrections = {one["period"]: one["revenue"] for one in december["corrections"]}
    assert corrections == {HALVES[0]: "87.50", HALVES[1]: "-12.50"}
    run("books", "close", "2026-12")
    run("books", "verify")
    january = document("books", "statement", "--period", "2027-01")
    assert january["corrections"] == []


def sum_of(drawn: Any, customer: str) -> Decimal:
    """Amount that `customer` is to pay, by a statement."""
    rows = (row for row in drawn["revenue_lines"] if row["customer"] == customer)
    return sum((Decimal(row["amount"]) for row in rows), Decimal())
