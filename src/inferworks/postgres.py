"""PostgreSQL: connections that hang nowhere for long, and the layout of what one part of the program keeps.

All parts share one database and a schema in it, `inferworks`, where `schema_version` has the version of the
tables of each. They need PostgreSQL 13 or newer.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import psycopg

from inferworks.errors import NewerStoreError

_LOCK: Final = 0x696E6665725F6C6D
"""Advisory lock under which tables are laid out: `infer_lm`."""
_SILENT_S: Final = 5
"""Seconds after which a server that does not answer at all is given up."""


def connect(url: str, *, statement_s: int, idle_s: int, lock_s: int = 0) -> psycopg.Connection[Any]:
    """Return a connection to the database at `url`, in which each statement is a transaction unless begun.

    The server ends a statement after `statement_s` seconds, a wait for a lock after `lock_s` (0: with the
    statement), and a session that is silent within a transaction after `idle_s`. What is committed is on
    its disk, whatever its default is. A server that is silent is given up. `psycopg.Error` when it cannot
    be reached.
    """
    options = {
        "statement_timeout": f"{statement_s}s",
        "lock_timeout": f"{lock_s}s",
        "idle_in_transaction_session_timeout": f"{idle_s}s",
        "synchronous_commit": "on",
    }
    return psycopg.connect(
        url,
        autocommit=True,
        connect_timeout=_SILENT_S,
        options=" ".join(f"-c {name}={value}" for name, value in options.items()),
        tcp_user_timeout=_SILENT_S * 1000,
        keepalives_idle=_SILENT_S,
        keepalives_interval=1,
        keepalives_count=3,
        application_name="inferworks",
    )


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
