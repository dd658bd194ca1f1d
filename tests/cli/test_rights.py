"""Commands ask the rights of the member who is named: one table, and a test of each cell."""

from __future__ import annotations

from collections.abc import Iterator

import click
import pytest
from tests.support.command_line import invoke

from inferworks.accounts.roles import ROLES, WHOLE_ONLY, Action, Role
from inferworks.cli.main import cli
from inferworks.cli.rights import ASKED, asked_by
from inferworks.errors import UserError

pytestmark = pytest.mark.slow


def commands(command: click.Command, *words: str) -> Iterator[str]:
    """Yield the names of all commands below one, as `keys list`."""
    if not isinstance(command, click.Group):
        yield " ".join(words)
        return
    context = click.Context(command)
    for name in command.list_commands(context):
        below = command.get_command(context, name)
        assert below is not None
        yield from commands(below, *words, name)


def test_every_command_is_in_the_table() -> None:
    """A new command has to say what it asks; and the table names no command that there is not."""
    there = list(commands(cli))
    for command in there:
        asked_by(command)
    for name in ASKED:
        assert any(f"{command} ".startswith(f"{name} ") for command in there), name


READS = {
    Action.READ_USAGE: [["usage", "list"], ["logs"], ["status"]],
    Action.READ_BOOKS: [
        ["books", "statement", "--period", "2026-01"], ["books", "periods"], ["books", "imports", "list"],
        ["books", "report"], ["usage", "import", "x.csv"],
        ["usage", "retract", "--source", "s", "--all", "--reason", "r"],
    ],
    Action.READ_KEYS: [["keys", "list"], ["keys", "show", "key_x"]],
    Action.READ_LIMITS: [["limits", "list"], ["limits", "warnings"]],
    Action.READ_PLANS: [
        ["customers", "list"], ["customers", "show", "acme"], ["customers", "plans", "acme"],
    ],
    Action.READ_CREDITS: [["customers", "credits", "acme"], ["customers", "wallets"]],
    Action.READ_ORGANISATIONS: [["organisations", "list"], ["organisations", "show", "group"]],
    Action.READ_PROJECTS: [["projects", "list"]],
    Action.READ_MEMBERS: [["members", "list"], ["members", "show", "ann@example.com"]],
    Action.READ_AUDIT: [["audit", "log"], ["audit", "verify"]],
}  # fmt: skip


@pytest.fixture
def folder(tmp_path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make an empty folder the working directory."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("INFERWORKS_MEMBER", raising=False)


def refusal(words: list[str], member: str) -> str:
    """Return why a command is refused to a member for want of a right; empty when it is not for that."""
    result = invoke(*words, environment={"INFERWORKS_MEMBER": member})
    text = str(result.exception) if isinstance(result.exception, UserError) else ""
    return text if text.startswith("INFERWORKS_MEMBER") else ""


@pytest.mark.parametrize("role", Role)
@pytest.mark.usefixtures("folder")
def test_each_cell_of_the_table_of_roles(role: Role) -> None:
    """Commands that the role allows go through, or fail for another reason; all others are refused."""
    for words in (["customers", "create", "acme"], ["organisations", "create", "group"]):
        assert invoke(*words).exit_code == 0
    whole = ["members", "create", "whole", "--email", "w@x.com", "--role", role]
    part = ["members", "create", "part", "--email", "p@x.com", "--role", role, "--customer", "acme"]
    for words in (whole, part):
        assert invoke(*words).exit_code == 0
    for action, requests in READS.items():
        for words in requests:
            why = refusal(words, "w@x.com")
            assert bool(why) is (action not in ROLES[role]), (words, why)
            assert not why or f"does not allow {action}" in why
            why = refusal(words, "p@x.com")
            assert why, words
            allowed = action in ROLES[role] and action not in WHOLE_ONLY
            assert ("sees a part of the installation" in why) is allowed, (words, why)


@pytest.mark.usefixtures("folder")
def test_a_limit_is_set_by_who_may() -> None:
    """Commands that change limits are bound by the member who is named, like all that change accounts."""
    assert invoke("customers", "create", "acme").exit_code == 0
    for role in ("operator", "finance"):
        made = ["members", "create", role, "--email", f"{role}@x.com", "--role", role]
        assert invoke(*made).exit_code == 0
    create = ["limits", "create", "--customer", "acme", "--requests", "5"]
    for member, done in (("operator@x.com", True), ("finance@x.com", False)):
        result = invoke(*create, environment={"INFERWORKS_MEMBER": member})
        assert (result.exception is None) is done
    assert "does not allow limits:change" in str(result.exception)


@pytest.mark.usefixtures("folder")
def test_a_member_who_is_gone_or_unknown_sees_nothing() -> None:
    """The variable is never passed over."""
    assert invoke("customers", "create", "acme").exit_code == 0
    made = ["members", "create", "ann", "--email", "ann@x.com", "--role", "owner"]
    assert invoke(*made).exit_code == 0
    assert (
        invoke("customers", "list", environment={"INFERWORKS_MEMBER": "ann@x.com"}).exit_code == 0
    )
    assert invoke("members", "withdraw", "ann@x.com").exit_code == 0
    for name, why in (("ann@x.com", "was withdrawn"), ("bob@x.com", "no member bob@x.com")):
        result = invoke("customers", "list", environment={"INFERWORKS_MEMBER": name})
        assert why in str(result.exception)
