"""The views of the books on the command line: exact in JSON, 80 columns in tables, one line when wrong."""

from __future__ import annotations

import json
from contextlib import closing
from importlib import resources
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result
from tests.support.command_line import invoke

from inferworks.accounts.customer import Customer
from inferworks.accounts.plan import PricePlan
from inferworks.accounts.stores.sqlite import SqliteAccounts
from inferworks.errors import UserError
from inferworks.folder import DataFolder
from inferworks.ids import CustomerId
from inferworks.meter.capacity import State
from inferworks.meter.stores.sqlite import SqliteStore
from inferworks.meter.usage import Tokens
from inferworks.testing.books import a_step, a_usage, an_interval

DAY_NS = 1_795_219_200 * 10**9  # 2026-11-21
SECOND_NS = 10**9
BILL = """\
BilledCost,BillingCurrency,ChargePeriodStart,ChargePeriodEnd,InvoiceIssuerName,ServiceCategory,ResourceId
10.00,USD,2026-11-21T00:00:00Z,2026-11-21T00:00:10Z,A Cloud,Compute,node-1
1.00,USD,2026-11-21T00:00:00Z,2026-11-21T00:00:10Z,A Cloud,Networking,
"""
VIEWS = (
    ("bridge",),
    ("economics",),
    ("compare", "gaap", "marginal"),
    ("methods",),
    ("explain", "customer:acme"),
    ("explain", "pool:machines"),
    ("statement", "--policy", "marginal"),
    ("statement", "--policy", "full"),
    *(("statement", "--by", name) for name in ("project", "key", "provider", "region", "chip")),
    *(("statement", "--by", name) for name in ("pool", "day")),
)


def books(*arguments: str | Path) -> Result:
    """Run a verb of the books."""
    return invoke("books", *arguments)


def document(*arguments: str | Path) -> Any:
    """JSON that a verb prints with `--json`; no amount in it is a float."""
    result = books(*arguments, "--json")
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout, parse_float=lambda text: pytest.fail(f"a float: {text}"))


@pytest.fixture(autouse=True)
def _served(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A data folder where acme paid 14.00 for four of ten seconds; a machine and traffic were billed."""
    monkeypatch.chdir(tmp_path)
    folder = DataFolder(Path("inferworks-data"))
    folder.create()
    acme = CustomerId("acme")
    plan = PricePlan.per_million(acme, DAY_NS, "USD", "8.00", "12.00")
    with closing(SqliteAccounts(folder.accounts)) as accounts:
        accounts.add_customer(Customer(acme, DAY_NS), plan)
    tokens = Tokens(input=1_000_000, output=500_000)
    store = SqliteStore(folder.journal)
    store.open()
    with closing(store):
        store.write(
            [
                a_usage("call-1", opened_ns=DAY_NS, tokens=tokens, sent_bytes=500),
                a_step(0, DAY_NS, 4 * SECOND_NS, [("call-1", 10, 0, 0)]),
                *an_interval(
                    (DAY_NS, DAY_NS + 10 * SECOND_NS),
                    {State.ACTIVE: 4 * SECOND_NS, State.IDLE: 6 * SECOND_NS},
                ),
            ]
        )
    Path("bill.csv").write_text(BILL)
    assert books("import", "bill.csv").exit_code == 0


@pytest.mark.parametrize("arguments", VIEWS, ids=" ".join)
def test_views_fit_80_columns(arguments: tuple[str, ...]) -> None:
    """Every table and every tree, without colour where there is no terminal."""
    result = books(*arguments)
    assert result.exit_code == 0, result.output
    assert max(map(len, result.stdout.splitlines())) <= 80
    assert "\x1b" not in result.stdout


@pytest.mark.slow
@pytest.mark.parametrize("arguments", VIEWS, ids=" ".join)
def test_views_of_a_period_are_those_of_its_dates(arguments: tuple[str, ...]) -> None:
    """`--period 2026-11` is November, as JSON, without floats."""
    november = ("--from", "2026-11-01", "--to", "2026-12-01")
    assert document(*arguments, "--period", "2026-11") == document(*arguments, *november)


def test_the_statement_of_a_month_has_its_parts_beside_each_line() -> None:
    """Billed, allocated, unallocated and lines as decimal strings; each line's charges sum to it."""
    drawn = document("statement", "--period", "2026-11")
    assert (drawn["billed"], drawn["allocated"], drawn["unallocated"]) == ("11.00", "11.00", "0.00")
    amounts = {
        (line["use"], line["pool"]): (line["amount"], [part["amount"] for part in line["parts"]])
        for line in drawn["lines"]
    }
    assert amounts == {
        ("serve-paid", "machines"): ("4.00", ["4.00"]),
        ("serve-paid", "web"): ("1.00", ["1.00"]),
        ("unused:idle", "machines"): ("6.00", ["6.00"]),
    }


def test_the_bridge_walks_down() -> None:
    """14 less 1 of traffic, which is avoidable, 4 of the machine's work, and 6 of its idle time."""
    walked = document("bridge")
    assert [step["margin"] for step in walked["steps"]] == ["13.00", "9.00", "3.00", "3.00"]


def test_economics_give_an_interval() -> None:
    """Acme makes us buy traffic for 1, and uses 4 of the machine."""
    found = document("economics")
    assert found["one_more_customer_costs"] == {"short_run": "1.00", "capacity_inclusive": "5.00"}
    assert found["break_even"] == "1 customers like these cover it; there are 1"
    assert "Break-even: 1 customers" in books("economics").output


def test_a_comparison_names_what_moves() -> None:
    """From cost of revenue to committed: the machine's work, and not the traffic."""
    found = document("compare", "gaap", "marginal")
    assert found["policies"] == ["gaap", "marginal"]
    assert [(m["use"], m["from"], m["to"], m["amount"]) for m in found["moved"]] == [
        ("serve-paid", "cost-of-revenue", "committed", "4.00"),
    ]


def test_ones_own_policy_in_the_data_folder_is_compared_by_name() -> None:
    """A copy of gaap, called ours, differs in nothing."""
    text = (
        resources.files("inferworks.books.accounting")
        .joinpath("policies/gaap.toml")
        .read_text("utf-8")
    )
    Path("inferworks-data/policies").mkdir()
    Path("inferworks-data/policies/ours.toml").write_text(text.replace('"gaap"', '"ours"'))
    assert document("compare", "gaap", "ours")["moved"] == []
    assert document("statement", "--policy", "ours")["statement"]["policy"] == "ours"


def test_an_explanation_reaches_bill_and_call() -> None:
    """The bill's file and line, the ratio and the call stand on the way down."""
    text = books("explain", "customer:acme").output
    for found in ("bill.csv line 2", "node_ns", "call call-1 Input", "5.00"):
        assert found in text
    call = document("explain", "call:call-1")
    assert (call["revenue"]["amount"], call["cost"]["amount"]) == ("14.00", "5.00")


def test_what_is_left_out_of_an_explanation_is_said() -> None:
    """`--width 1` shows one part and the sum of the others."""
    text = books("explain", "pool:machines", "--width", "1", "--depth", "2").output
    assert "and 1 more" in text


def test_a_closed_period_is_explained_from_what_was_sealed() -> None:
    """After a close the views still answer, and the statement is the sealed one."""
    before = document("explain", "customer:acme", "--period", "2026-11")
    assert books("close", "2026-11").exit_code == 0
    closed = {"provisional": False}  # before, that depends on today
    assert document("explain", "customer:acme", "--period", "2026-11") | closed == before | closed
    assert document("bridge", "--period", "2026-11")["revenue"] == "14.00"
    assert document("compare", "gaap", "full", "--period", "2026-11")["moved"] == []


def test_methods_are_measured() -> None:
    """One call in every step: M2 is the yardstick itself."""
    found = document("methods")
    assert {d["method"]: d["distance"] for d in found["distances"]}["M2"] == "0.00"
    assert found["largest_difference"] == "0.00"


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (("explain", "acme"), "write KIND:NAME"),
        (("explain", "customer:wayne"), "no customer 'wayne'"),
        (("compare", "gaap", "ifrs"), "policy 'ifrs' not found"),
    ],
)
def test_what_cannot_be_meant_is_one_line(arguments: tuple[str, ...], reason: str) -> None:
    """The error says what is wrong, and what there is instead."""
    result = books(*arguments)
    assert isinstance(result.exception, UserError)
    assert reason in str(result.exception)
    assert "\n" not in str(result.exception)


def test_a_period_and_dates_are_one_too_many() -> None:
    """A usage error."""
    result = books("bridge", "--period", "2026-11", "--from", "2026-11-01")
    assert result.exit_code == 2
    assert "name a period or dates, not both" in result.output
