"""Rights that a command asks of the member whom `INFERWORKS_MEMBER` names: one table of command and action.

Who can write the data folder needs nobody's leave, so this keeps no stranger out. It keeps a member to its
role: a script that runs as one does not show, by a slip, what the member may not see. Changes of accounts
are checked by the store itself, each by its own subject; those commands ask nothing here, nor do those that
run the machine. All others show the whole installation, or change its books: a member of a part of it is
sent to the admin API, which shows that part.

A command that is not in the table is refused to members, so none is forgotten.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Final

import click

from inferworks.accounts.roles import Action, RoleError, may
from inferworks.config import Config
from inferworks.errors import UserError

_NOTHING: Final = (
    *("init", "up", "config", "providers", "models", "prices", "chat", "demo"),
    *("lake", "ship", "scrub", "backup", "restore", "accounts"),
    *("keys", "limits", "customers", "organisations", "projects", "members"),
)
"""Commands that ask nothing, but for those below them that stand in `ASKED` by themselves."""
ASKED: Final[Mapping[str, Action | None]] = {
    **dict.fromkeys(_NOTHING),
    **dict.fromkeys(("status", "top", "logs", "usage"), Action.READ_USAGE),
    **dict.fromkeys(("books", "usage import", "usage retract"), Action.READ_BOOKS),
    **dict.fromkeys(("keys list", "keys show"), Action.READ_KEYS),
    **dict.fromkeys(("limits list", "limits warnings"), Action.READ_LIMITS),
    # these show prices, too
    **dict.fromkeys(("customers list", "customers show", "customers plans"), Action.READ_PLANS),
    **dict.fromkeys(("customers credits", "customers wallets"), Action.READ_CREDITS),
    **dict.fromkeys(("organisations list", "organisations show"), Action.READ_ORGANISATIONS),
    "projects list": Action.READ_PROJECTS,
    **dict.fromkeys(("members list", "members show"), Action.READ_MEMBERS),
    "audit": Action.READ_AUDIT,
}
"""Action that a command asks, by its longest beginning that stands here: `books` is for all below it."""


def asked_by(command: str) -> Action | None:
    """Return the action that `command` asks, e.g. `keys list`; KeyError when the table has none of it."""
    words = command.split()
    while words and " ".join(words) not in ASKED:
        words.pop()
    return ASKED[" ".join(words)]


def check_command(config: Config, environment: Mapping[str, str] = os.environ) -> None:
    """Check that the member who is named may give the command that runs; RoleError when it may not.

    UserError when there is no such member.
    """
    from inferworks.wiring.accounts import MEMBER  # loads more than most commands need

    context, named = click.get_current_context(silent=True), environment.get(MEMBER, "").strip()
    if context is None or not named:
        return
    command = context.command_path.partition(" ")[2]
    try:
        action = asked_by(command)
    except KeyError:
        raise RoleError(f"{MEMBER}: {command} is not for members") from None
    if action is not None:
        _check(config, named, action)


def _check(config: Config, named: str, action: Action) -> None:
    from inferworks.wiring.accounts import MEMBER, member_named, read_accounts

    with read_accounts(config) as accounts:
        member = member_named(accounts, named)
    if member.withdrawn_ns is not None:
        raise UserError(f"{MEMBER}: {member.id} was withdrawn")
    if not may(member.role, member.scope, action):
        raise RoleError(f"{MEMBER}: the role {member.role} does not allow {action}")
    if not member.scope.is_whole:
        raise RoleError(
            f"{MEMBER}: {member.id} sees a part of the installation, and this shows all of it; ask the "
            "admin API, which shows that part"
        )
