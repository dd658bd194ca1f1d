"""PostgreSQL: connections that hang nowhere for long, and the layout of what one part of the program keeps.

All parts share one database and a schema in it, `inferworks`, where `schema_version` has the version of the
tables of each. They need PostgreSQL 13 or newer.
"""

from __future__ import annotations

import time
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final, TypeVar

import psycopg

from inferworks.errors import NewerStoreError

_LOCK: Final = 0x696E6665725F6C6D
"""Advisory lock under which tables are laid out: `infer_lm`."""
SILENT_S: Final = 5
"""Seconds after which a server that does not answer at all is given up."""
_GRACE_S: Final = 1
"""Seconds for which the server may be late to say that a statement took too long."""

T = TypeVar("T")


class Connection(psycopg.Connection[Any]):
    """Connection that is closed when the server is silent for too long: psycopg.OperationalError.

    The server's own timeouts end nothing where the server itself stands still, nor do those of TCP, for its
    kernel goes on confirming what is sent. So we look at the clock.
    """

    silent_s: float = SILENT_S
    """Seconds for which the server may say nothing to a statement."""

    def wait(self, gen: Generator[Any, Any, T], *arguments: Any, **options: Any) -> T:
        """Do what `gen` does on the wire; every statement goes through here."""
        try:
            return super().wait(_until_silent(gen, self.silent_s), *arguments, **options)
        except _SilentServerError:
            self.pgconn.finish()  # sends nothing that is waited for, and nobody asks for a ROLLBACK
            raise

    @contextmanager
    def answering(self, silent_s: float) -> Iterator[Connection]:
        """Let the server be silent for `silent_s` seconds at most within the block."""
        before, self.silent_s = self.silent_s, silent_s
        try:
            yield self
        finally:
            self.silent_s = before


class _SilentServerError(psycopg.OperationalError):
    """The server says nothing."""


def _until_silent(gen: Generator[Any, Any, T], silent_s: float) -> Generator[Any, Any, T]:
    """`gen`, until it was told for `silent_s` seconds that there is nothing to read or write.

    psycopg tells it so several times a second. What came while this process stood still is read first.
    """
    heard_s = time.monotonic()
    try:
        wanted = next(gen)
        while True:
            ready = yield wanted
            if ready:
                heard_s = time.monotonic()
            elif time.monotonic() - heard_s > silent_s:
                raise _SilentServerError(f"the server has not answered for {silent_s:g} s")
            wanted = gen.send(ready)
    except StopIteration as end:
        result: T = end.value
        return result


def connect(url: str, *, statement_s: int, idle_s: int, lock_s: int = 0) -> Connection:
    """Return a connection to the database at `url`, in which each statement is a transaction unless begun.

    The server ends a statement after `statement_s` seconds, a wait for a lock after `lock_s` (0: with the
    statement), and a session that is silent within a transaction after `idle_s`. What is committed is on
    its disk, whatever its default is. A server that is silent, because it hangs or cannot be reached, is
    given up a second after it should have ended a statement, and when connecting after `SILENT_S`.
    `psycopg.Error` then.
    """
    options = {
        "statement_timeout": f"{statement_s}s",
        "lock_timeout": f"{lock_s}s",
        "idle_in_transaction_session_timeout": f"{idle_s}s",
        "synchronous_commit": "on",
    }
    connection = Connection.connect(
        url,
        autocommit=True,
        connect_timeout=SILENT_S,
        options=" ".join(f"-c {name}={value}" for name, value in options.items()),
        tcp_user_timeout=SILENT_S * 1000,
        keepalives_idle=SILENT_S,
        keepalives_interval=1,
        keepalives_count=3,
        application_name="inferworks",
    )
    connection.silent_s = statement_s + _GRACE_S
    return connection


def lay_out(
    connection: psycopg.Connection[Any],
    part: str,
    version: int,
    statements: Sequence[str],
    upgrades: Sequence[Sequence[str]] = (),
) -> None:
    """Make the tables of `part`, or bring older ones up to `version`; NewerStoreError when they are newer.

    `statements` make the first version that `upgrades` begin with; each of these leads to the next.
    """
    with connection.transaction(), connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(%s)", (_LOCK,))
        cursor.execute("SELECT to_regclass('inferworks.schema_version')")
        row = cursor.fetchone()
        first, found = version - len(upgrades), None
        if row is not None and row[0] is not None:
            query = "SELECT version FROM inferworks.schema_version WHERE part = %s"
            found = cursor.execute(query, (part,)).fetchone()
        if found is None:
            cursor.execute("CREATE SCHEMA IF NOT EXISTS inferworks")
            cursor.execute(
                "CREATE TABLE IF NOT EXISTS inferworks.schema_version "
                "(part text PRIMARY KEY, version int NOT NULL)"
            )
            for statement in statements:
                cursor.execute(statement.encode())
            cursor.execute("INSERT INTO inferworks.schema_version VALUES (%s, %s)", (part, first))
            found = (first,)
        if found[0] > version:
            raise NewerStoreError(
                f"the database has {part} of version {found[0]}, this program reads version {version}; "
                "use the version of inferworks that made it"
            )
        for upgrade in upgrades[found[0] - first :]:
            for statement in upgrade:
                cursor.execute(statement.encode())
        if found[0] < version and upgrades:
            query = "UPDATE inferworks.schema_version SET version = %s WHERE part = %s"
            cursor.execute(query, (version, part))


def one_line(error: Exception) -> str:
    """Return the first line of what PostgreSQL says."""
    return str(error).strip().partition("\n")[0]
