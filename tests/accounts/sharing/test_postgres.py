"""Shared accounts in PostgreSQL, on a server of the tests' own."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import psycopg
import pytest
from tests.support.postgres import PostgresServer, postgres_server

from inferworks.accounts.sharing import postgres
from inferworks.accounts.sharing.postgres import PostgresRows
from inferworks.accounts.stores.sqlite import SharedAccounts
from inferworks.errors import NewerStoreError, SharedAccountsError
from inferworks.testing.accounts import check_accounts
from inferworks.testing.sharing import HEAD, ONE, check_shared_rows

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresServer]:
    """A running server."""
    with postgres_server() as running:
        yield running


def test_conformance(server: PostgresServer) -> None:
    """Stores on one database keep the promises of the seam."""
    url = server.database()
    check_shared_rows(lambda: PostgresRows(url))


def test_accounts_conformance(server: PostgresServer, tmp_path: Path) -> None:
    """Accounts that are shared through it are accounts like any, and the other node has the same."""
    url = server.database()
    with (
        closing(SharedAccounts(tmp_path / "a.db", PostgresRows(url))) as one,
        closing(SharedAccounts(tmp_path / "b.db", PostgresRows(url))) as other,
    ):
        one.sync()
        check_accounts(one)
        other.sync()
        assert (other.keys(), other.audit()) == (one.keys(), one.audit())
        assert other.check() == one.check()


def test_a_server_that_is_away_is_said_to_be_and_found_again(server: PostgresServer) -> None:
    """While the server is away, each use is refused in one line; later the same store goes on."""
    rows = PostgresRows(server.database())
    assert rows.head() is None
    server.stop("immediate")
    with pytest.raises(
        SharedAccountsError, match=r"cannot use the shared accounts \(store.url\)"
    ) as caught:
        rows.head()
    assert "\n" not in str(caught.value)
    server.start()
    assert rows.head() is None
    rows.close()


def test_a_server_that_hangs_is_given_up(
    server: PostgresServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At the first look, and in the midst of rows or of a change; later the same store goes on."""
    monkeypatch.setattr(postgres, "_STATEMENT_S", 1)
    monkeypatch.setattr(postgres, "SILENT_S", 1)
    rows = PostgresRows(server.database())
    with rows.change() as change:
        change.put_all(HEAD, [ONE])
        change.commit()
    with server.frozen(), pytest.raises(SharedAccountsError, match="has not answered for 1 s"):
        rows.head()
    for use in (rows.state, rows.change):
        before_s = time.monotonic()
        silent = pytest.raises(SharedAccountsError, match="has not answered for 2 s")
        with silent, use() as state, server.frozen():
            list(state.rows(0))
        assert time.monotonic() - before_s < 4
    assert rows.head() == HEAD
    rows.close()


@pytest.mark.parametrize("is_committed", [True, False])
def test_a_commit_whose_answer_is_lost_is_asked_about(
    server: PostgresServer, monkeypatch: pytest.MonkeyPatch, *, is_committed: bool
) -> None:
    """The server knows whether it was; so a change that is there is not told to have failed."""
    url = server.database()
    rows, other = PostgresRows(url), PostgresRows(url)
    execute = psycopg.Connection.execute

    def cut_off(connection, query, *args, **options):  # type: ignore[no-untyped-def]
        if query != "COMMIT":
            return execute(connection, query, *args, **options)
        if is_committed:
            execute(connection, query)
        connection.close()
        return execute(connection, query)

    with rows.change() as change:
        change.put_all(HEAD, [ONE])
        monkeypatch.setattr(psycopg.Connection, "execute", cut_off)
        if is_committed:
            change.commit()
        else:
            with pytest.raises(SharedAccountsError, match="the change was not made"):
                change.commit()
        monkeypatch.undo()
    assert other.head() == rows.head() == (HEAD if is_committed else None)
    rows.close()
    other.close()


def test_a_commit_that_nobody_can_tell_of_is_said_to_be_one(
    server: PostgresServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The user is told to look before repeating the change, where the server stays away."""
    rows = PostgresRows(server.database())
    monkeypatch.setattr(postgres, "_UNSURE_S", 0.3)
    execute = psycopg.Connection.execute

    def stop_before(connection, query, *args, **options):  # type: ignore[no-untyped-def]
        if query == "COMMIT":
            server.stop("immediate")
        return execute(connection, query, *args, **options)

    with rows.change() as change:
        change.put_all(HEAD, [ONE])
        monkeypatch.setattr(psycopg.Connection, "execute", stop_before)
        with pytest.raises(SharedAccountsError, match="not known: look before you repeat it"):
            change.commit()
    server.start()
    assert rows.head() is None
    rows.close()


def test_one_that_stops_in_a_change_holds_up_the_others_for_a_while(
    server: PostgresServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Others are told to try again meanwhile; then the server ends its session."""
    url = server.database()
    monkeypatch.setattr(postgres, "_LOCK_S", 1)
    monkeypatch.setattr(postgres, "_IDLE_S", 3)
    stopped, other = PostgresRows(url), PostgresRows(url)
    with pytest.raises(SharedAccountsError), stopped.change() as change:  # noqa: PT012
        with pytest.raises(SharedAccountsError, match="being changed by others; try again"):
            other.change().__enter__()
        for _ in range(5):
            try:
                with other.change() as later:
                    later.put_all(HEAD, [ONE])
                    later.commit()
            except SharedAccountsError:
                continue
            break
        change.put_all(HEAD, [])
    assert stopped.head() == HEAD
    stopped.close()
    other.close()


def test_tables_of_a_newer_version_are_refused(server: PostgresServer) -> None:
    """A newer layout may mean anything."""
    url = server.database()
    with closing(PostgresRows(url)) as rows:
        rows.head()
    with psycopg.connect(url) as connection:
        connection.execute("UPDATE inferworks.schema_version SET version = 99")
    with closing(PostgresRows(url)) as rows, pytest.raises(NewerStoreError, match="version 99"):
        rows.head()
