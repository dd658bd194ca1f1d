"""The accounts of a data folder as commands open them, and their pepper, as configured."""

from __future__ import annotations

import datetime as dt
import logging
import math
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, closing
from functools import partial
from pathlib import Path
from typing import Final, NamedTuple

from inferworks.accounts.author import Author, process_author
from inferworks.accounts.member import Member
from inferworks.accounts.pepper import Pepper, RecordsPepper, load_pepper
from inferworks.accounts.sharing.base import SharedRows
from inferworks.accounts.stores.base import Registry
from inferworks.accounts.stores.mirror import Mirror, unmark
from inferworks.accounts.stores.sqlite import FollowedAccounts, SharedAccounts, SqliteAccounts
from inferworks.config import Config
from inferworks.errors import SharedAccountsError, UserError
from inferworks.folder import DataFolder, leaving_none_empty
from inferworks.secrets import parse_reference, resolve
from inferworks.sqlite import Database
from inferworks.units import NS_PER_SECOND
from inferworks.wiring.sharing import shared_rows

MEMBER: Final = "INFERWORKS_MEMBER"
"""Variable of the environment that names the member as whom a command changes accounts."""
_ORIGIN: Final = "command line"
_AGAIN_S: Final = 10.0

_log = logging.getLogger("inferworks.accounts")


def pepper_of(
    accounts: RecordsPepper, folder: DataFolder, config: Config, environment: Mapping[str, str]
) -> Pepper:
    """Return the pepper under which the keys of `accounts` are hashed; made with the first key.

    ConfigError or DataFolderError when it cannot be had, or is not theirs.
    """
    reference = config.gateway.key_pepper
    secret = resolve(parse_reference(reference), environment) if reference else None
    return load_pepper(accounts, folder.pepper, secret)


def open_accounts(config: Config, author: Author | None = None) -> SqliteAccounts:
    """Open the accounts of `config` for reading and changes by `author`: as they are at this moment.

    SharedAccountsError when gateways share them and that cannot be known now.
    """
    accounts = _opened(config, author)
    if isinstance(accounts, SharedAccounts):
        try:
            accounts.sync()
        except BaseException:
            accounts.close()
            raise
    return accounts


def open_last_known(config: Config) -> SqliteAccounts:
    """Open the accounts for changes as they are, or as they were last known while that cannot be known.

    A gateway starts so: it serves with the keys that it knows, for as long as `gateway.keys_stale_s` says.
    """
    accounts = _opened(config, None)
    if isinstance(accounts, SharedAccounts):
        try:
            accounts.sync()
        except BaseException as error:
            if isinstance(error, SharedAccountsError) and accounts.synced_ns() is not None:
                _log.warning("%s; the keys are those that were last known", error)
                return accounts
            accounts.close()
            raise
    return accounts


def change_accounts(
    config: Config, environment: Mapping[str, str]
) -> AbstractContextManager[SqliteAccounts]:
    """Open the accounts of `config` for changes from the command line.

    Their author is the user of this process. Where `INFERWORKS_MEMBER` names a member by id or address,
    that is the author instead, and nothing is changed that its role and scope do not allow.
    """
    accounts = open_accounts(config, process_author(_ORIGIN))
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


def read_accounts(config: Config) -> AbstractContextManager[SqliteAccounts]:
    """Open the accounts of `config` for reading.

    Where gateways share them and they cannot be reached, these are the last that are known, and a
    warning says how old they are: in the log, or to who gave the command.
    """
    path, rows = _place(config)
    missed = _missed(path, rows) if rows is not None and path.parent.exists() else None
    if missed is not None and not path.exists():
        raise missed
    accounts = SqliteAccounts(path, read_only=True)
    if missed is not None:
        synced_ns = accounts.synced_ns()
        if synced_ns is None:
            accounts.close()
            raise missed
        at = dt.datetime.fromtimestamp(synced_ns // NS_PER_SECOND, dt.UTC)
        _log.warning(
            "%s; these are the accounts as of %s UTC", missed, at.strftime("%Y-%m-%d %H:%M")
        )
    return closing(accounts)


def accounts_reader(config: Config) -> Callable[[], AbstractContextManager[SqliteAccounts]]:
    """Return what opens the accounts as `read_accounts` does, for a question that opens them often.

    It looks at what others changed no more than once in some seconds.
    """
    looked_s = -math.inf

    def opened() -> AbstractContextManager[SqliteAccounts]:
        nonlocal looked_s
        now_s = time.monotonic()
        if now_s - looked_s > _AGAIN_S:
            found = read_accounts(config)
            looked_s = now_s
            return found
        return closing(SqliteAccounts(_place(config)[0], read_only=True))

    return opened


def follow_accounts(config: Config) -> FollowedAccounts:
    """Return reads of the accounts as the folder has them."""
    return FollowedAccounts(DataFolder(Path(config.data.folder)).accounts)


def sync_of(config: Config) -> Callable[[], None] | None:
    """Return what takes up in the folder what other gateways changed; None where none share its accounts.

    It raises SharedAccountsError while that is not possible.
    """
    path, rows = _place(config)
    return None if rows is None else partial(_sync, path, rows)


class Sharing(NamedTuple):
    """State of the accounts of a folder among those that gateways share."""

    id: str | None
    """Name of the shared accounts that the folder is a mirror of; None for accounts of its own."""
    version: int
    """Number of the last change that the folder has."""
    synced_ns: int | None
    """Moment at which it was last known to have all, to a minute."""
    newest: int | None
    """Number of the last change of all; None where there is none, or it cannot be known now."""
    missed: str
    """Reason why it cannot be known; empty for none."""


def sharing_of(config: Config) -> Sharing:
    """Return how the accounts of a folder stand; DataFolderError when there are none."""
    path, rows = _place(config)
    newest, missed = None, ""
    if rows is not None:
        with closing(rows):
            try:
                head = rows.head()
                newest = None if head is None else head.version
            except SharedAccountsError as error:
                missed = str(error)
    with closing(SqliteAccounts(path, read_only=True)) as accounts:
        mark = accounts.mark()
    if mark is None:
        return Sharing(None, 0, None, newest, missed)
    return Sharing(mark.id, mark.version, mark.synced_ns, newest, missed)


def leave_shared(config: Config) -> str:
    """Make the accounts of a folder its own; the id of those that it was a mirror of.

    UserError when they are its own already, or a gateway runs on the folder.
    """
    folder = DataFolder(Path(config.data.folder))
    with folder.hold(), closing(SqliteAccounts(folder.accounts, read_only=True)) as accounts:
        mark = accounts.mark()
        if mark is None:
            raise UserError(f"{folder.accounts} has accounts of its own already")
        with closing(Database(folder.accounts)) as database:
            unmark(database)
    return mark.id


def _place(config: Config) -> tuple[Path, SharedRows | None]:
    """Return the file of the accounts, and what they are the mirror of."""
    return DataFolder(Path(config.data.folder)).accounts, shared_rows(config.store)


def _opened(config: Config, author: Author | None) -> SqliteAccounts:
    """Open the accounts for changes; a mirror that is gone is made anew, other accounts are not."""
    path, rows = _place(config)
    folder = DataFolder(Path(config.data.folder))
    if rows is None:
        folder.check_accounts()
        return SqliteAccounts(path, author=author)
    try:
        if folder.has_lost_accounts and rows.head() is None:
            folder.check_accounts(", and the database of store.url has no accounts")
        return SharedAccounts(path, rows, author=author)
    except BaseException:
        rows.close()
        raise


def _missed(path: Path, rows: SharedRows) -> SharedAccountsError | None:
    """Take up what others changed; return why that is not possible now."""
    with closing(rows):
        try:
            _sync(path, rows)
        except SharedAccountsError as error:
            return error
    return None


def _sync(path: Path, rows: SharedRows) -> None:
    """Bring the file at `path` up to what is shared, in a connection of its own: it may be replaced."""
    with leaving_none_empty(path), closing(Database(path)) as database:
        Mirror(database, rows).sync()


def member_named(accounts: Registry, name: str) -> Member:
    """Return the member with this id or email address; UserError when there is none."""
    for member in accounts.members():
        if name == member.id or (member.email and name.casefold() == member.email.casefold()):
            return member
    raise UserError(f"no member {name[:80]}; list them with: inferworks members list")
