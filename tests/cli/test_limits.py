"""`inferworks limits`, as a user runs it."""

from __future__ import annotations

import json
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from inferworks.accounts.customer import Customer
from inferworks.accounts.stores.sqlite import SqliteAccounts
from inferworks.cli.main import cli
from inferworks.folder import DataFolder
from inferworks.ids import CustomerId
from inferworks.limits.ledger import Gateway, Settlement, Want, draw, settle
from inferworks.limits.stores.sqlite import SqliteLimits
from inferworks.limits.warnings import LimitWarning


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A data folder with a customer."""
    folder = DataFolder(tmp_path / "data")
    folder.create()
    with closing(SqliteAccounts(folder.accounts)) as accounts:
        accounts.add_customer(Customer(CustomerId("acme"), 1))
    return folder.path


def run(data: Path, *words: str, code: int = 0) -> str:
    """Run a command of limits, and return what it printed."""
    done = CliRunner().invoke(cli, ["limits", *words, "--data", str(data)])
    assert done.exit_code == code, done.output
    return done.output


def listed(data: Path, *words: str) -> list[dict[str, Any]]:
    """Return the limits as JSON."""
    found: list[dict[str, Any]] = json.loads(run(data, "list", "--json", *words))
    return found


def test_a_limit_is_made_listed_changed_and_withdrawn(data: Path) -> None:
    """Each command says what holds now, and the record stays."""
    made = run(data, "create", "--customer", "acme", "--money", "100", "--currency", "EUR",
               "--per", "month", "--zone", "europe/berlin")  # fmt: skip
    name = made.partition(":")[0]
    assert made == f"{name}: customer acme may use 100.00 EUR per month in Europe/Berlin.\n"
    [limit] = listed(data)
    assert (limit["amount"], limit["used"], limit["left"]) == ("100.00", "0.00", "100.00")
    assert (limit["hard"], limit["currency"]) == (True, "EUR")
    table = run(data, "list")
    assert "100.00 EUR" in table
    assert max(map(len, table.splitlines())) <= 80
    said = run(data, "change", name, "--amount", "250", "--soft")
    assert (
        said == f"{name}: customer acme is counted up to 250.00 EUR per month in Europe/Berlin.\n"
    )
    assert run(data, "withdraw", name) == f"{name} is withdrawn.\n"
    assert listed(data) == []
    assert [one["revision"] for one in listed(data, "--all")] == [3]
    assert "Nothing is limited" in run(data, "list")
    again = CliRunner().invoke(cli, ["limits", "withdraw", name, "--data", str(data)])
    assert f"no limit {name} is in force" in str(again.exception)


def test_what_is_used_is_what_the_ledger_says(data: Path) -> None:
    """Amounts that gateways have taken count as used, in the window of now; more than the limit, too."""
    name = run(data, "create", "--customer", "acme", "--tokens", "200k").partition(":")[0]
    with closing(SqliteLimits(data / "limits.db")) as store:
        account = f"{name}/tokens/total@0"
        want = Want(account, 200_000, 1, 0, False, "slice_1", 500, 500)
        owner = Gateway("run", "place", "boot", 0)
        [grant] = store.transact(lambda rows: draw(rows, owner, [want]))
        assert grant.granted == 500
        [limit] = listed(data)
        assert (limit["used"], limit["left"]) == (500, 199_500)
        spent = Settlement("slice_1", account, 500, 200_032)
        store.transact(lambda rows: settle(rows, owner, spent))
    [limit] = listed(data)
    assert (limit["used"], limit["left"]) == (200_032, 0)
    assert "200,032" in run(data, "list")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--customer", "acme"), "name one of --key"),
        (("--customer", "acme", "--key", "k", "--calls", "1"), "name one of --key"),
        (("--customer", "acme", "--calls", "many"), "'many' is no count"),
        (("--customer", "acme", "--calls", "-1"), "'-1' is no count"),
        (("--customer", "acme", "--money", "ten"), "not a plain decimal number"),
        (("--customer", "acme", "--money", "-5"), "between 0 and"),
        (("--customer", "nobody", "--calls", "1"), "no customer nobody"),
        (("--key", "key_x", "--calls", "1"), "no key key_x"),
        (("--customer", "acme", "--calls", "1", "--per", "day"), "not counted by a window"),
        (
            ("--customer", "acme", "--requests", "1", "--zone", "Berlin"),
            "did you mean Europe/Berlin",
        ),
    ],
)
def test_what_means_nothing_is_refused(data: Path, words: tuple[str, ...], said: str) -> None:
    """A wrong option is refused in one line, and nothing is kept."""
    done = CliRunner().invoke(cli, ["limits", "create", *words, "--data", str(data)])
    assert done.exit_code != 0
    assert said in f"{done.output}{done.exception}"
    assert listed(data, "--all") == []


def test_shares_at_which_a_limit_warns_are_set_shown_and_changed(data: Path) -> None:
    """In rising order, each once; a soft limit without any warns when it is used up."""
    made = run(data, "create", "--customer", "acme", "--requests", "60", "--warn", "100, 50%,80,50")
    name = made.partition(":")[0]
    assert made == (
        f"{name}: customer acme may use 60 requests, with a warning at 50 %, 80 %, 100 %.\n"
    )
    assert listed(data)[0]["warn_at"] == [50, 80, 100]
    run(data, "change", name, "--warn", "90")
    assert listed(data)[0]["warn_at"] == [90]
    run(data, "change", name, "--amount", "70")
    assert listed(data)[0]["warn_at"] == [90]
    run(data, "change", name, "--warn", "none")
    assert listed(data)[0]["warn_at"] == []
    run(data, "withdraw", name)
    run(data, "create", "--customer", "acme", "--tokens", "5k", "--per", "minute", "--soft")
    assert listed(data)[0]["warn_at"] == [100]


@pytest.mark.parametrize(
    "shares", ["half", "0", "101", "50,,80", "-5", ",".join(map(str, range(1, 12)))]
)
def test_shares_that_are_none_are_refused(data: Path, shares: str) -> None:
    """Nothing is made of them."""
    words = ("create", "--customer", "acme", "--requests", "60", f"--warn={shares}")
    said = run(data, *words, code=2)
    assert "percentages" in said
    assert listed(data) == []


def test_warnings_are_listed_with_what_became_of_them(data: Path) -> None:
    """The newest first, and whether the receiver of webhooks has each."""
    assert run(data, "warnings") == "No limit has warned.\n"
    body = {
        "type": "limit.warning",
        "timestamp": "2026-12-01T09:30:00+00:00",
        "data": {"limit": "limit_1", "of": "acme", "share_percent": 80, "used": "80.00",
                 "currency": "EUR", "measure": "money"},
    }  # fmt: skip
    with closing(SqliteLimits(DataFolder(data).limits)) as store:
        for n, (due_ns, tries, sent_ns) in enumerate([(0, 0, 0), (9, 1, 0), (0, 1, 9), (0, 10, 0)]):
            one = LimitWarning(f"w{n}", "account", json.dumps(body), n, due_ns, tries, sent_ns)
            store.transact(lambda rows, one=one: rows.put_warning(one))  # type: ignore[misc]
    told = json.loads(run(data, "warnings", "--json"))
    assert [one["webhook"] for one in told] == ["given up", "sent", "waits", "none"]
    assert told[0]["data"] == body["data"]
    table = run(data, "warnings", "--most", "2")
    assert "80.00 EUR" in table
    assert len(table.splitlines()) == 3


def invoke(data: Path, *words: str, code: int = 0) -> str:
    """Run any command, and return what it printed, or its error."""
    done = CliRunner().invoke(cli, [*words, "--data", str(data)])
    assert done.exit_code == code, done.output
    return str(done.exception) if code else done.output


def test_a_prepaid_limit_follows_the_credit(data: Path) -> None:
    """Its amount is what was bought less what was paid back; it is made once, of a customer with a plan."""
    prepaid = ("limits", "create", "--customer", "acme", "--prepaid")
    assert "acme has no price plan" in invoke(data, *prepaid, code=1)
    invoke(data, "customers", "price", "acme", "--input-price", "1", "--output-price", "2")
    made = invoke(data, *prepaid, "--warn", "80")
    name = made.partition(":")[0]
    assert made == (
        f"{name}: customer acme may use 0.00 USD of prepaid credit, with a warning at 80 %.\n"
    )
    assert "has a prepaid limit already" in invoke(data, *prepaid, code=1)
    invoke(data, "customers", "credit", "acme", "--amount", "50")
    invoke(data, "customers", "credit", "acme", "--amount", "30")
    [limit] = listed(data)
    assert (limit["amount"], limit["left"], limit["prepaid"]) == ("80.00", "80.00", True)
    invoke(data, "customers", "credit", "acme", "--amount=-10", "--reason", "as they asked")
    assert listed(data)[0]["amount"] == "70.00"
    [first, *_] = json.loads(invoke(data, "customers", "credits", "acme", "--json"))
    invoke(data, "customers", "void", first["id"], "--reason", "entered twice")
    assert listed(data)[0]["left"] == "20.00"
    refused = invoke(data, "limits", "change", name, "--amount", "5", code=1)
    assert "is the customer's credit" in refused
    invoke(data, "limits", "change", name, "--warn", "50")
    assert (listed(data)[0]["warn_at"], listed(data)[0]["amount"]) == ([50], "20.00")
    invoke(data, "limits", "withdraw", name)
    assert listed(data) == []


@pytest.mark.parametrize(
    "words",
    [("--money", "5"), ("--soft",), ("--per", "month"), ("--key", "key_1"), ("--calls", "1")],
)
def test_a_prepaid_limit_goes_with_nothing_else(data: Path, words: tuple[str, ...]) -> None:
    """Its amount, its window and its hardness are those of the credit."""
    said = run(data, "create", "--customer", "acme", "--prepaid", *words, code=2)
    assert "--prepaid goes with --customer" in said
