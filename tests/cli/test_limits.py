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
from inferworks.limits.ledger import Gateway, Want, draw
from inferworks.limits.stores.sqlite import SqliteLimits


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
    """Amounts that gateways have taken count as used, in the window of now."""
    name = run(data, "create", "--customer", "acme", "--tokens", "200k").partition(":")[0]
    with closing(SqliteLimits(data / "limits.db")) as store:
        account = f"{name}/tokens/total@0"
        want = Want(account, 200_000, 1, 0, False, "slice_1", 500, 500)
        owner = Gateway("run", "place", "boot", 0)
        [grant] = store.transact(lambda rows: draw(rows, owner, [want]))
        assert grant.granted == 500
    [limit] = listed(data)
    assert (limit["used"], limit["left"]) == (500, 199_500)


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
