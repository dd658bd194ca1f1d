"""Shared rows in memory, and what can happen on the way to them."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

from inferworks.accounts.sharing.base import KEPT_DELETIONS, SharedHead, SharedRow
from inferworks.errors import SharedAccountsError


class StubDatabase:
    """State that several `StubRows` share."""

    def __init__(self) -> None:
        self.head: SharedHead | None = None
        self.rows: dict[tuple[str, str], SharedRow] = {}
        self.turn = threading.Lock()
        """Held by the change under way."""
        self.swap = threading.Lock()
        """Held while the state is read or put in its place."""


class StubRows:
    """`SharedRows` in `database`, as one gateway reaches it."""

    def __init__(
        self,
        database: StubDatabase,
        at: Callable[[str], object] = lambda _: None,
        wait_s: float = 5,
    ) -> None:
        """`at` is called with the name of each step, and may raise what happens there.

        The steps are `read`, `lock`, `put`, `commit`, `committed`. A change waits `wait_s` for others.
        """
        self._database = database
        self._at = at
        self._wait_s = wait_s

    def head(self) -> SharedHead | None:
        """Return the state."""
        self._at("read")
        return self._database.head

    @contextmanager
    def state(self) -> Iterator[_State]:
        """Look at one moment of it."""
        self._at("read")
        with self._database.swap:
            state = _State(self._database.head, dict(self._database.rows))
        yield state

    @contextmanager
    def change(self) -> Iterator[_Change]:
        """Begin a change, after those under way."""
        self._at("lock")
        if not self._database.turn.acquire(timeout=self._wait_s):
            raise SharedAccountsError("the shared accounts are being changed by others; try again")
        try:
            yield _Change(self._database, self._at)
        finally:
            self._database.turn.release()

    def close(self) -> None:
        """Nothing to let go of."""


class _State:
    """The rows at one moment."""

    def __init__(self, head: SharedHead | None, found: dict[tuple[str, str], SharedRow]) -> None:
        self.head = head
        self._found = found

    def rows(self, since: int) -> Iterator[SharedRow]:
        """Rows that changes after `since` wrote."""
        return (row for row in self._found.values() if row.version > since)

    def body(self, table: str, key: str) -> bytes | None:
        """Return the content of one row."""
        row = self._found.get((table, key))
        return None if row is None else row.body


class _Change(_State):
    """A change in the making."""

    def __init__(self, database: StubDatabase, at: Callable[[str], object]) -> None:
        super().__init__(database.head, dict(database.rows))
        self._database = database
        self._at = at
        self.has_rows = False
        self._new_head: SharedHead | None = None

    def put(self, head: SharedHead, rows: Iterable[SharedRow]) -> None:
        """Write `rows` and the new head."""
        self._at("put")
        self.has_rows, self._new_head = True, head
        self._found.update(((row.table, row.key), row) for row in rows)
        for name, row in list(self._found.items()):
            if row.body is None and row.version <= head.version - KEPT_DELETIONS:
                del self._found[name]

    def put_all(self, head: SharedHead, rows: Iterable[SharedRow]) -> None:
        """Write `rows` in the place of all that there are, and the new head."""
        self._found.clear()
        self.put(head, rows)

    def commit(self) -> None:
        """Make it so."""
        assert self._new_head is not None, "a change that is committed has written something"
        self._at("commit")
        with self._database.swap:
            self._database.head, self._database.rows = self._new_head, self._found
        self._at("committed")
