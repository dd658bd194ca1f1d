"""The store of limits in PostgreSQL, on a server of the tests' own."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from tests.support.postgres import PostgresServer, postgres_server

from inferworks.errors import DataFolderError, LimitsError
from inferworks.limits.ledger import Budget, Gateway, Grant, Rows, Want, draw
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


def test_tables_of_a_newer_version_are_refused(server: PostgresServer) -> None:
    """A newer layout may mean anything."""
    url = server.database()
    store = PostgresLimits(url)
    store.transact(lambda rows: rows.now_ns())
    store.close()
    server.run("psql", "-h", str(server.folder), "-d", url.split("/")[3].split("?")[0], "-c",
               "UPDATE inferworks.schema_version SET version = 99")  # fmt: skip
    with pytest.raises(DataFolderError, match="limits of version 99"):
        store.transact(lambda rows: rows.now_ns())
