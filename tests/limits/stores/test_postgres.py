"""The store of limits in PostgreSQL, on a server of the tests' own."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from threading import Event

import pytest
from tests.support.postgres import PostgresServer, postgres_server

from inferworks.errors import LimitsError, NewerStoreError
from inferworks.limits.ledger import Budget, Gateway, Grant, Rows, Want, draw
from inferworks.limits.stores import postgres
from inferworks.limits.stores.postgres import PostgresLimits
from inferworks.testing.limits import check_limits_store

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresServer]:
    """A running server."""
    with postgres_server() as running:
        yield running


def test_conformance(server: PostgresServer) -> None:
    """Stores on one database keep the promises of the seam."""
    url = server.database()
    check_limits_store(lambda: PostgresLimits(url))


def test_draws_at_once_are_one_after_the_other(server: PostgresServer) -> None:
    """Eight stores that draw two budgets at once grant what there is and no more, whoever comes first."""
    url = server.database()

    def take(worker: int) -> int:
        store = PostgresLimits(url)
        taken = 0
        for number in range(25):
            wants = [
                Want(name, 100, 1, 0, False, f"{name}-{worker}-{number}", 1, 1)
                for name in ("a", "b")[:: 1 if worker % 2 else -1]
            ]

            def work(rows: Rows, wants: list[Want] = wants) -> tuple[Grant, ...]:
                return draw(rows, Gateway(f"run{worker}", "place", "boot", 0), wants)

            taken += all(grant.granted for grant in store.transact(work))
        store.close()
        return taken

    with ThreadPoolExecutor(8) as threads:
        assert sum(threads.map(take, range(8))) == 100
    store = PostgresLimits(url)
    found = store.transact(lambda rows: rows.accounts(["a", "b"]))
    assert [(one.held, one.free) for one in found.values() if isinstance(one, Budget)] == [
        (100, 0)
    ] * 2
    store.close()


def test_a_server_that_is_away_is_said_to_be_and_found_again(server: PostgresServer) -> None:
    """While the server is away, each transaction is refused in one line; later the same store goes on."""
    store = PostgresLimits(server.database())
    before_ns = store.transact(lambda rows: rows.now_ns())
    server.stop("immediate")
    with pytest.raises(LimitsError, match="cannot use the store of limits") as refusal:
        store.transact(lambda rows: rows.now_ns())
    assert "\n" not in str(refusal.value)
    server.start()
    assert store.transact(lambda rows: rows.now_ns()) > before_ns
    store.close()


@pytest.mark.parametrize("when", ["before", "within"])
def test_a_server_that_hangs_is_given_up(
    server: PostgresServer, monkeypatch: pytest.MonkeyPatch, when: str
) -> None:
    """Its kernel confirms all that is sent, and no timeout of its own ends it; later it is used again."""
    monkeypatch.setattr(postgres, "_TIMEOUT_S", 1)
    store = PostgresLimits(server.database())
    before_ns = store.transact(lambda rows: rows.now_ns())
    with ExitStack() as stack:

        def work(rows: Rows) -> None:
            rows.now_ns()
            if when == "within":
                stack.enter_context(server.frozen())
            rows.accounts(["a"])

        if when == "before":
            stack.enter_context(server.frozen())
        before_s = time.monotonic()
        with pytest.raises(LimitsError, match="the server has not answered for 2 s"):
            store.transact(work)
        assert time.monotonic() - before_s < 4, "once, and no ROLLBACK is waited for"
    assert store.transact(lambda rows: rows.now_ns()) > before_ns
    store.close()


def test_tables_of_a_newer_version_are_refused(server: PostgresServer) -> None:
    """A newer layout may mean anything."""
    url = server.database()
    store = PostgresLimits(url)
    store.transact(lambda rows: rows.now_ns())
    store.close()
    server.run("psql", "-h", str(server.folder), "-d", url.split("/")[3].split("?")[0], "-c",
               "UPDATE inferworks.schema_version SET version = 99")  # fmt: skip
    with pytest.raises(LimitsError, match="limits of version 99") as refusal:
        store.transact(lambda rows: rows.now_ns())
    assert isinstance(refusal.value.__cause__, NewerStoreError)


def test_a_gateway_that_stops_in_a_transaction_holds_up_the_others_for_a_while(
    server: PostgresServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server ends its session, and what it had not confirmed is as if it had never been."""
    url = server.database()
    monkeypatch.setattr(postgres, "_TIMEOUT_S", 1)
    stopped, other = PostgresLimits(url), PostgresLimits(url)
    has_locked = Event()

    def work(rows: Rows) -> None:
        rows.accounts(["a"])
        rows.put(Budget("a", 1))
        has_locked.set()
        time.sleep(1.5)

    stopped.transact(lambda rows: rows.now_ns())
    monkeypatch.setattr(postgres, "_TIMEOUT_S", 10)
    with ThreadPoolExecutor(1) as thread:
        waiting = thread.submit(stopped.transact, work)
        assert has_locked.wait(10)
        before_s = time.monotonic()
        assert other.transact(lambda rows: dict(rows.accounts(["a"]))) == {}
        assert time.monotonic() - before_s < 1.4
        with pytest.raises(LimitsError, match="cannot use the store of limits"):
            waiting.result()
    assert other.transact(lambda rows: dict(rows.accounts(["a"]))) == {}
    stopped.transact(lambda rows: rows.now_ns())
    stopped.close()
    other.close()
