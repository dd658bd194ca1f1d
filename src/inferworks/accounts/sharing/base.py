"""Seam of what gateways share of their accounts: a table of rows, in which the last of each row stands.

Problem. A key that one gateway revokes must be refused by all within a second, and a million keys must cost
a gateway neither memory nor a round trip for each call.

Decision. Every gateway keeps the whole accounts in its own file (`accounts.stores.sqlite`), which answers
all questions. The shared store knows no customers and keys: it has the rows of that file, each with the
number of the change that wrote it last. A gateway that knows all up to change 17 asks for the rows of later
ones. That is a log from which every row but the newest of its key was removed, so it is as long as the
accounts are large, and whoever begins today reads it once. A deleted row stays as one without content for
the next `KEPT_DELETIONS` changes; a file that is older than those is loaded anew.

Changes are made one after the other: the store is locked, the file is brought up to the newest change, the
change is made there as ever, and the rows that it wrote are the next change. So each of them sees all
earlier ones, there is one audit log, and no rule of the accounts is written twice.

Rejected. The accounts in tables of the shared database, and queries there (each rule and query twice, a
round trip per unknown key, and none known while the database is away); notifications alone (one that is
lost is a key that stays); a log of statements (it never ends, and each version reads it otherwise).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager
from typing import Final, NamedTuple, Protocol

import msgspec

KEPT_DELETIONS: Final = 100_000
"""Changes for which it stays known that a row was deleted."""


class SharedRow(NamedTuple):
    """A row of the accounts as it is shared."""

    table: str
    key: str
    """The columns that name it, as a JSON array."""
    body: bytes | None
    """All its columns, as a MessagePack array; None when it was deleted."""
    version: int
    """Number of the change that wrote it last."""


class SharedHead(msgspec.Struct, frozen=True):
    """The state of the shared accounts."""

    id: str
    """Name that they have for ever, which no others have."""
    version: int
    """Number of the last change, from 1."""
    layout: int
    """Version of the tables that the rows are of."""
    statements: tuple[str, ...]
    """SQL that makes those tables, for a later program that no longer knows them."""


class SharedState(Protocol):
    """The shared accounts at one moment."""

    head: SharedHead | None
    """None while nothing is shared."""

    def rows(self, since: int) -> Iterator[SharedRow]:
        """Rows that changes after `since` wrote, in no order; deleted ones are among them."""
        ...

    def body(self, table: str, key: str) -> bytes | None:
        """Return the content of one row; None when there is none."""
        ...


class SharedChange(SharedState, Protocol):
    """A change in the making, while nobody else makes one."""

    has_rows: bool
    """True once anything was put."""

    def put(self, head: SharedHead, rows: Iterable[SharedRow]) -> None:
        """Write `rows`, each in the place of the one of its key, and the new head."""
        ...

    def put_all(self, head: SharedHead, rows: Iterable[SharedRow]) -> None:
        """Write `rows` in the place of all that there are, and the new head."""
        ...

    def commit(self) -> None:
        """Make it so, durably. SharedAccountsError when that failed or is not known to have happened."""
        ...


class SharedRows(Protocol):
    """Store of the rows. Every method raises SharedAccountsError when it cannot be used now."""

    def head(self) -> SharedHead | None:
        """Return the state, in one round trip."""
        ...

    def state(self) -> AbstractContextManager[SharedState]:
        """Look at one moment of it: what is changed meanwhile is not seen."""
        ...

    def change(self) -> AbstractContextManager[SharedChange]:
        """Begin a change, after those under way; without `commit` within the block there was none."""
        ...

    def close(self) -> None:
        """Let go of what is open; the next use opens it again."""
        ...
