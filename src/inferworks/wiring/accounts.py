"""The accounts of a data folder as commands open them, and their pepper, as configured."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager, closing
from typing import Final

from inferworks.accounts.author import Author, process_author
from inferworks.accounts.member import Member
from inferworks.accounts.pepper import Pepper, RecordsPepper, load_pepper
from inferworks.accounts.stores.base import Registry
from inferworks.accounts.stores.sqlite import SqliteAccounts
from inferworks.config import Config
from inferworks.errors import UserError
from inferworks.folder import DataFolder
from inferworks.secrets import parse_reference, resolve

MEMBER: Final = "INFERWORKS_MEMBER"
"""Variable of the environment that names the member as whom a command changes accounts."""
_ORIGIN: Final = "command line"


def pepper_of(
    accounts: RecordsPepper, folder: DataFolder, config: Config, environment: Mapping[str, str]
) -> Pepper:
    """Return the pepper under which the keys of `accounts` are hashed; made with the first key.

    ConfigError or DataFolderError when it cannot be had, or is not theirs.
    """
    reference = config.gateway.key_pepper
    secret = resolve(parse_reference(reference), environment) if reference else None
    return load_pepper(accounts, folder.pepper, secret)


def change_accounts(
    folder: DataFolder, environment: Mapping[str, str]
) -> AbstractContextManager[SqliteAccounts]:
    """Open the accounts of `folder` for changes from the command line.

    Their author is the user of this process. Where `INFERWORKS_MEMBER` names a member by id or address,
    that is the author instead, and nothing is changed that its role and scope do not allow.
    """
    accounts = SqliteAccounts(folder.accounts, author=process_author(_ORIGIN))
    named = environment.get(MEMBER, "").strip()
    if named:
        try:
            member = member_named(accounts, named)
            if member.withdrawn_ns is not None:
                raise UserError(f"{MEMBER}: {member.id} was withdrawn")
        except BaseException:
            accounts.close()
            raise
        accounts.author = Author(member.id, f"{_ORIGIN} {process_author().who}", member)
    return closing(accounts)


def read_accounts(folder: DataFolder) -> AbstractContextManager[SqliteAccounts]:
    """Open the accounts of `folder` for reading."""
    return closing(SqliteAccounts(folder.accounts, read_only=True))


def member_named(accounts: Registry, name: str) -> Member:
    """Return the member with this id or email address; UserError when there is none."""
    for member in accounts.members():
        if name == member.id or (member.email and name.casefold() == member.email.casefold()):
            return member
    raise UserError(f"no member {name[:80]}; list them with: inferworks members list")
