"""The keys in memory survive every disturbance of the file, and are not relied on for ever."""

from __future__ import annotations

import asyncio
import shutil
import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from inferworks.accounts.customer import Customer
from inferworks.accounts.key import Grant, Key, mint
from inferworks.accounts.keyring import KeyRing
from inferworks.accounts.stores.sqlite import FollowedAccounts, SqliteAccounts
from inferworks.accounts.stores.stub import StubAccounts
from inferworks.errors import DataFolderError
from inferworks.ids import CustomerId
from inferworks.purpose import Purpose
from inferworks.testing.facts import A_PEPPER

ACME = CustomerId("acme")
CHANGED = "changed = (SELECT count + 1 FROM change)"
"""The change by which a key was changed, as every program notes it."""


@contextmanager
def world(path: Path) -> Iterator[tuple[SqliteAccounts, KeyRing, Key, str]]:
    """Accounts in a file, a key ring that follows it, and a key with its secret."""
    with closing(SqliteAccounts(path)) as accounts:
        accounts.add_customer(Customer(ACME, 1))
        key, secret = mint(ACME, 2, Grant(allowed=(Purpose.SERVE_FREE,)), pepper=A_PEPPER)
        accounts.add_key(key)
        with (
            closing(FollowedAccounts(path)) as followed,
            closing(KeyRing(followed, A_PEPPER)) as ring,
        ):
            yield accounts, ring, key, secret


def change(path: Path, *statements: str) -> None:
    """Run `statements` on the file as another program would, and count the change."""
    with closing(sqlite3.connect(path, isolation_level=None)) as database:
        for statement in (*statements, "UPDATE change SET count = count + 1"):
            database.execute(statement)


def without_its_keys(path: Path) -> Callable[[], None]:
    """Rename the table; what undoes it."""
    change(path, "ALTER TABLE key RENAME TO other")
    return lambda: change(path, "ALTER TABLE other RENAME TO key")


def gone(path: Path) -> Callable[[], None]:
    """Move the file away with all that belongs to it; what undoes it."""
    away = path.parent / "away"
    away.mkdir()
    for part in path.parent.glob(f"{path.name}*"):
        part.rename(away / part.name)

    def back() -> None:
        for part in away.iterdir():
            part.rename(path.parent / part.name)

    return back


def no_database(path: Path) -> Callable[[], None]:
    """Put something else in its place; what undoes it."""
    back = gone(path)
    path.write_bytes(b"not a database" * 100)
    return back


@pytest.mark.parametrize("disturb", [without_its_keys, gone, no_database])
def test_keys_outlive_a_disturbance(
    tmp_path: Path, disturb: Callable[[Path], Callable[[], None]]
) -> None:
    """Looks fail and cold keys cannot be told meanwhile, warm ones can; then everything is heard of."""
    path = tmp_path / "accounts.db"
    with world(path) as (accounts, ring, key, secret):
        cold, cold_secret = mint(ACME, 3, pepper=A_PEPPER)
        accounts.add_key(cold)
        ring.refresh()
        assert ring.find(secret) == key
        undo = disturb(path)
        with pytest.raises(DataFolderError):
            ring.refresh()
        assert ring.find(secret) == key
        with pytest.raises(DataFolderError):
            ring.find(cold_secret)
        undo()
        assert ring.find(cold_secret) == cold
        accounts.revoke_key(key.id, 7)
        ring.refresh()
        found = ring.find(secret)
        assert found is not None
        assert found.revoked_ns == 7


def test_a_file_that_is_replaced_is_the_one_that_holds(tmp_path: Path) -> None:
    """A backup that is put back, with as many changes as the file had, is read all the same."""
    path, backup = tmp_path / "accounts.db", tmp_path / "backup.db"
    with world(path) as (accounts, ring, key, secret):
        change(path, "PRAGMA wal_checkpoint(TRUNCATE)")
        shutil.copy(path, backup)
        accounts.revoke_key(key.id, 7)
        ring.refresh()
        with closing(SqliteAccounts(backup)) as restored:
            restored.revoke_key(key.id, 5)
        for suffix in ("-wal", "-shm"):
            path.with_name(path.name + suffix).unlink(missing_ok=True)
        backup.rename(path)
        ring.refresh()
        found = ring.find(secret)
        assert found is not None
        assert found.revoked_ns == 5


def test_what_a_newer_program_writes_is_read_as_far_as_it_is_known(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """More columns, a higher version and one key of an unknown purpose cost no other key anything."""
    path = tmp_path / "accounts.db"
    with world(path) as (accounts, ring, key, secret):
        strange, strange_secret = mint(ACME, 3, pepper=A_PEPPER)
        accounts.add_key(strange)
        change(
            path,
            "ALTER TABLE key ADD COLUMN budget TEXT",
            "ALTER TABLE price_plan ADD COLUMN note TEXT",
            f"UPDATE key SET purpose = 'to-be-invented' WHERE id = '{strange.id}'",
            f"UPDATE key SET allowed = 'new serve-free serve-paid', {CHANGED} WHERE id = '{key.id}'",
            "PRAGMA user_version = 99",
        )
        ring.refresh()
        assert ring.find(secret) == key
        assert ring.find(strange_secret) is None
        assert (
            f"{strange.id} cannot be used by this version: 'to-be-invented' is not a valid Purpose"
            in caplog.text
        )
        change(path, f"UPDATE key SET revoked_ns = 9, {CHANGED} WHERE id = '{key.id}'")
        ring.refresh()
        found = ring.find(secret)
        assert found is not None
        assert found.revoked_ns == 9
    with pytest.raises(DataFolderError, match="version 99"):
        SqliteAccounts(path)


class Hanging(StubAccounts):
    """Accounts on a disk that does not answer until it is let."""

    def __init__(self) -> None:
        super().__init__()
        self.answers = threading.Event()
        self.answers.set()

    def version(self) -> int:
        """Answered in its own time."""
        assert self.answers.wait(10)
        return super().version()


def test_keys_that_nobody_could_look_at_are_not_fresh(caplog: pytest.LogCaptureFixture) -> None:
    """A look that never comes back holds nobody up and makes the keys stale; the next one ends that."""

    async def main() -> None:
        accounts = Hanging()
        with closing(KeyRing(accounts, A_PEPPER, stale_s=0.05)) as ring:
            await ring.look()
            accounts.answers.clear()
            look = asyncio.ensure_future(ring.look())
            async with asyncio.timeout(10):
                while ring.fresh:
                    await asyncio.sleep(0.01)
            assert not look.done()
            accounts.answers.set()
            await look
            assert ring.fresh

    asyncio.run(main())
    assert "no look at the keys has succeeded for 0.05 s; calls are refused" in caplog.text
    assert "the keys can be looked at again" in caplog.text


def test_zero_stands_for_never() -> None:
    """Without a bound no timer is set."""

    async def main() -> None:
        with closing(KeyRing(StubAccounts(), A_PEPPER, stale_s=0.0)) as ring:
            await ring.look()
            assert ring.fresh

    asyncio.run(main())
