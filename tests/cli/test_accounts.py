"""Organisations, projects, members and the audit log on the command line."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from tests.support.command_line import document, invoke, refusal, run

from inferworks.errors import UserError

ACCOUNTS = Path("inferworks-data") / "accounts.db"


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Work in a folder of our own."""
    monkeypatch.chdir(tmp_path)


def test_an_organisation_takes_customers_and_lets_them_go() -> None:
    """Several at once, all or none; one with customers is not closed."""
    for name in ("acme", "burns"):
        run("customers", "create", name)
    run("organisations", "create", "acme-group", "--called", "Acme Group")
    assert "no customer nobody" in refusal(
        "organisations", "put-in", "acme-group", "acme", "nobody"
    )
    assert document("organisations", "show", "acme-group")["customers"] == []
    run("organisations", "put-in", "acme-group", "acme", "burns")
    assert document("organisations", "show", "acme-group")["customers"] == ["acme", "burns"]
    assert "has customers (2)" in refusal("organisations", "change", "acme-group", "--close")
    run("organisations", "take-out", "acme", "burns")
    run("organisations", "change", "acme-group", "--close", "--called", "Acme Holdings")
    [one] = document("organisations", "list")
    assert (one["name"], one["closed"] is None) == ("Acme Holdings", False)
    run("organisations", "change", "acme-group", "--reopen")
    assert "open" in run("organisations", "list").stdout
    assert "no organisation nothing" in refusal("organisations", "show", "nothing")
    assert "give --called" in refusal("organisations", "change", "acme-group")


def test_recorded_projects_bind_new_keys() -> None:
    """Names that are in use go on; a mistyped one is refused with the command that would create it."""
    run("customers", "create", "acme")
    before = document("keys", "create", "--customer", "acme", "--project", "as before")
    run("projects", "create", "acme", "search", "--called", "Search")
    run("keys", "create", "--customer", "acme", "--project", "search")
    run("keys", "create", "--customer", "acme", "--project", "as before")
    words = refusal("keys", "create", "--customer", "acme", "--project", "serach")
    assert "inferworks projects create acme serach" in words
    run("keys", "rotate", before["id"])
    assert "valid (1)" in refusal("projects", "close", "acme", "search")
    run("keys", "revoke", "--customer", "acme")
    run("projects", "close", "acme", "search")
    [one] = document("projects", "list", "--customer", "acme")
    assert (one["id"], one["name"], one["closed"] is None) == ("search", "Search", False)
    assert "closed" in run("projects", "list").stdout


def test_a_member_has_tokens_that_are_shown_once() -> None:
    """By id or address; the lists have the last four characters alone."""
    ann = document("members", "create", "Ann", "--email", "ann@example.com", "--role", "owner")
    made = document("members", "token", "Ann@example.com", "--days", "7")
    shown = run("members", "show", "ann@example.com")
    assert made["token"][-4:] in shown.stdout
    assert made["token"] not in shown.stdout
    assert document("members", "show", ann["id"])["tokens"][0]["id"] == made["id"]
    run("members", "revoke", made["id"])
    assert "over" in run("members", "show", ann["id"]).stdout
    run("members", "change", ann["id"], "--role", "finance", "--name", "Ann B.")
    [one] = document("members", "list")
    assert (one["role"], one["name"]) == ("finance", "Ann B.")
    run("members", "withdraw", ann["id"])
    assert "withdrawn" in run("members", "list").stdout
    assert "no member" in refusal("members", "token", ann["id"])
    assert "no member nobody" in refusal("members", "show", "nobody")
    assert "give --role" in refusal("members", "change", ann["id"])


def test_a_named_member_changes_what_its_role_and_scope_allow() -> None:
    """`INFERWORKS_MEMBER` binds every command that changes accounts, credit and plans included."""
    for name in ("acme", "burns"):
        run("customers", "create", name)
    arguments = ("Dev", "--role", "developer", "--customer", "acme")
    member = document("members", "create", *arguments)["id"]

    def as_member(*words: str) -> str:
        result = invoke(*words, environment={"INFERWORKS_MEMBER": member})
        if isinstance(result.exception, UserError):
            return str(result.exception)
        assert result.exit_code == 0, result.output
        return ""

    assert as_member("keys", "create", "--customer", "acme") == ""
    assert as_member("projects", "create", "acme", "search") == ""
    for words in (
        ("keys", "create", "--customer", "burns"),
        ("projects", "create", "burns", "search"),
        ("customers", "rename", "burns", "--name", "x", "--reason", "y"),
    ):
        assert as_member(*words).startswith("there is no "), words
    for words in (
        ("keys", "create", "--customer", "acme", "--monitor"),
        ("customers", "credit", "acme", "--amount", "100"),
        ("customers", "price", "acme", "--input-price", "0", "--output-price", "0"),
        ("customers", "rename", "acme", "--name", "x", "--reason", "y"),
        ("members", "change", member, "--role", "owner"),
        ("members", "token", member),
    ):
        assert "does not allow" in as_member(*words), words
    rows = [row for row in document("audit", "log") if row["who"] == member]
    assert [row["action"] for row in rows] == ["keys pepper", "keys create", "projects create"]
    assert rows[0]["origin"].startswith("command line ")
    assert "no member mallory" in str(
        invoke("keys", "create", environment={"INFERWORKS_MEMBER": "mallory"}).exception
    )


def test_the_log_says_who_did_what() -> None:
    """By author, subject and moment; with the thing before and after, and no secret."""
    run("customers", "create", "acme")
    made = document("keys", "create", "--customer", "acme")
    run("keys", "revoke", made["id"])
    run("customers", "create", "burns")
    rows = document("audit", "log", "--subject", "customer acme")
    assert [row["action"] for row in rows if row["subject"].startswith("key ")] == [
        "keys create", "keys revoke",
    ]  # fmt: skip
    last = rows[-1]
    assert "revoked_ns" not in json.loads(last["before"])
    assert json.loads(last["after"])["revoked_ns"] > 0
    assert "@" in last["who"]
    assert made["key"] not in json.dumps(rows)
    assert "nobody called 'nobody'" in refusal("audit", "log", "--who", "nobody")
    assert document("audit", "log", "--since", "2199-01-01") == []
    assert "customers create" in run("audit", "log").stdout


@pytest.mark.parametrize("who", ["ann", "ANN@Example", "Ann B", None])
def test_the_log_is_asked_for_a_member_as_people_call_it(
    who: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By part of its name or address, or by its id; one that changed nothing has no rows."""
    ann = document("members", "create", "Ann B.", "--email", "ann@example.com", "--role", "owner")
    run("members", "create", "Bob", "--role", "viewer")
    assert "no such change" in run("audit", "log", "--who", "bob").stdout
    monkeypatch.setenv("INFERWORKS_MEMBER", "ann@example.com")
    run("customers", "create", "acme")
    [row] = document("audit", "log", "--who", who or ann["id"])
    assert (row["who"], row["action"]) == (ann["id"], "customers create")


def test_a_log_that_was_changed_is_found() -> None:
    """The first row that differs is named, and a head that was noted shows a log written anew."""
    for name in ("acme", "burns", "carter"):
        run("customers", "create", name)
    head = document("audit", "verify")["head"]
    run("customers", "create", "dent")
    assert "4 rows are as they were written" in run("audit", "verify", "--head", head).stdout
    with closing(sqlite3.connect(ACCOUNTS, isolation_level=None)) as database:
        database.execute("DROP TRIGGER audit_stays")
        database.execute("UPDATE audit SET who = 'bob' WHERE number = 2")
    assert "audit row 2 is not what was written" in refusal("audit", "verify")
    other = head[:-1] + ("0" if head[-1] != "0" else "1")
    assert "is no head" in refusal("audit", "verify", "--head", "3:x")
    assert "audit row" in refusal("audit", "verify", "--head", other)
