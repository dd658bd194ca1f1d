"""The keys in memory survive every disturbance of the file, and are not relied on for ever."""

from __future__ import annotations

import asyncio
import shutil
import sqlite3
import threading
from collections.abc import Callable, Collection, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest

from inferworks.accounts.customer import Customer
from inferworks.accounts.key import Grant, Key, mint
from inferworks.accounts.keyring import KeyRing
from inferworks.accounts.pepper import Pepper
from inferworks.accounts.stores.sqlite import FollowedAccounts, SqliteAccounts
from inferworks.accounts.stores.stub import StubAccounts
from inferworks.errors import DataFolderError
from inferworks.ids import CustomerId, KeyId
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


def test_a_database_that_hangs_hides_no_key_of_the_mirror(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Keys that are not warm are read from the local disk, until all of them are stale.

    A disk that hangs is another matter: it is not asked meanwhile.
    """

    async def main() -> None:
        accounts, database = Hanging(), threading.Event()
        accounts.add_customer(Customer(ACME, 1))
        key, secret = mint(ACME, 2, pepper=A_PEPPER)
        accounts.add_key(key)

        def sync() -> None:
            assert database.wait(10)

        loop = asyncio.get_running_loop()
        with closing(KeyRing(accounts, A_PEPPER, stale_s=30, sync=sync)) as ring:
            syncing = asyncio.ensure_future(ring.sync())
            await ring.look()
            loop.time = lambda now=loop.time: now() + 20  # type: ignore[method-assign, misc]
            assert (ring.find(secret), ring.fresh) == (key, True)
            other, other_secret = mint(ACME, 3, pepper=A_PEPPER)
            accounts.add_key(other)
            accounts.answers.clear()
            look = asyncio.ensure_future(ring.look())
            await asyncio.sleep(0)
            loop.time = lambda now=loop.time: now() + 20  # type: ignore[method-assign, misc]
            with pytest.raises(DataFolderError, match="do not answer"):
                ring.find(other_secret)
            async with asyncio.timeout(40):
                while ring.fresh:
                    await asyncio.sleep(0)
            accounts.answers.set()
            await look
            assert not ring.fresh, "a look at the mirror alone does not make the keys fresh"
            database.set()
            await syncing
            assert (ring.fresh, ring.find(other_secret)) == (True, other)

    asyncio.run(main())
    assert "no look at the keys has succeeded for 30 s; calls are refused" in caplog.text


def test_zero_stands_for_never() -> None:
    """Without a bound no timer is set."""

    async def main() -> None:
        with closing(KeyRing(StubAccounts(), A_PEPPER, stale_s=0.0)) as ring:
            await ring.look()
            assert ring.fresh

    asyncio.run(main())


class Counting(StubAccounts):
    """Accounts that note which queries they are asked."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[str] = []

    def __getattribute__(self, name: str) -> Any:
        if name in {"secret_hash", "key", "key_by_hash", "keys", "customers", "changed_keys"}:
            self.asked.append(name)
        return super().__getattribute__(name)


def counted(keys: int, **how: int) -> tuple[Counting, KeyRing, list[str]]:
    """Accounts of so many keys, a ring that has seen none of them, and their secrets."""
    accounts = Counting()
    accounts.add_customer(Customer(ACME, 1))
    made = [mint(ACME, number, pepper=A_PEPPER) for number in range(keys)]
    accounts.add_key(*(key for key, _ in made))
    accounts.asked.clear()
    return accounts, KeyRing(accounts, A_PEPPER, **how), [secret for _, secret in made]


def test_a_key_is_read_when_it_comes_for_the_first_time() -> None:
    """Making the ring reads none, the first call two rows, the second nothing."""
    accounts, ring, [secret, _] = counted(2)
    with closing(ring):
        assert accounts.asked == []
        key = ring.find(secret)
        assert key is not None
        assert accounts.asked == ["secret_hash", "key"]
        assert ring.find(secret) is key
        ring.refresh()
        assert accounts.asked == ["secret_hash", "key"]


def test_a_wrong_key_is_asked_for_as_a_good_one_and_leaves_nothing() -> None:
    """An id that exists makes no difference: one look at a hash, which is compared either way."""
    accounts, ring, [secret] = counted(1)
    unknown = mint(ACME, 1, pepper=A_PEPPER)[1]
    elsewhere = mint(ACME, 1, pepper=Pepper("p" * 40))[1]
    right_id = secret[:20] + unknown[20:]
    with closing(ring):
        assert ring.find(secret) is not None  # a warm key is no help to one with its id
        held = sizes(ring)
        for wrong in (unknown, elsewhere, right_id, secret[:20] + secret[20:].swapcase()):
            accounts.asked.clear()
            assert ring.find(wrong) is None
            assert accounts.asked == ["secret_hash"]
        for malformed in ("", "iw_", secret + "x", "x" * 63, "\x00" * 63, "é" * 10**5):
            accounts.asked.clear()
            assert ring.find(malformed) is None
            assert accounts.asked == []
        accounts.asked.clear()
        assert ring.find("iw_" + "x" * 43) is None
        assert accounts.asked == ["key_by_hash"]
        assert sizes(ring) == held


def sizes(ring: KeyRing) -> list[int]:
    """Number of entries in each container of a ring."""
    return [len(value) for value in vars(ring).values() if isinstance(value, dict | set | list)]


def test_few_keys_stay_warm() -> None:
    """The first to come is the first to go, and is found again when it comes again."""
    accounts, ring, secrets = counted(5, most_warm=3)
    with closing(ring):
        keys = [ring.find(secret) for secret in secrets]
        assert set(sizes(ring)) == {3}
        accounts.asked.clear()
        assert [ring.find(secret) for secret in reversed(secrets[2:])] == keys[:1:-1]
        assert accounts.asked == []
        assert [ring.find(secret) for secret in secrets] == keys
        assert set(sizes(ring)) == {3}


def test_only_what_changed_is_forgotten() -> None:
    """A revoked key is read again, and the others stay warm; a store that cannot tell costs all of them."""
    accounts, ring, secrets = counted(3)
    with closing(ring):
        keys = [ring.find(secret) for secret in secrets]
        assert keys[0] is not None
        accounts.revoke_key(keys[0].id, 7)
        accounts.add_key(mint(ACME, 9, pepper=A_PEPPER)[0])
        ring.refresh()
        accounts.asked.clear()
        assert [ring.find(secret) for secret in secrets[1:]] == keys[1:]
        assert accounts.asked == []
        revoked = ring.find(secrets[0])
        assert revoked is not None
        assert revoked.revoked_ns == 7
        accounts.changed_keys = lambda since: None  # type: ignore[method-assign]
        accounts.add_customer(Customer(CustomerId("burns"), 1))
        ring.refresh()
        assert set(sizes(ring)) == {0}


def test_a_key_read_before_a_change_is_not_put_back_after_it() -> None:
    """Looks are taken up between calls: whatever a call read meanwhile is forgotten with the rest."""

    class Slow(Counting):
        def changed_keys(self, since: object) -> Collection[KeyId] | None:
            found = super().changed_keys(since)
            read.set()
            assert go_on.wait(10)
            return found

    async def main() -> None:
        accounts = Slow()
        accounts.add_customer(Customer(ACME, 1))
        key, secret = mint(ACME, 1, pepper=A_PEPPER)
        accounts.add_key(key)
        with closing(KeyRing(accounts, A_PEPPER)) as ring:
            before = accounts.key(key.id)
            accounts.revoke_key(key.id, 7)
            look = asyncio.ensure_future(ring.look())
            while not read.is_set():
                await asyncio.sleep(0)
            accounts._keys[key.id] = before  # what a reader of the state before the change sees
            stale = ring.find(secret)
            accounts.revoke_key(key.id, 7)
            go_on.set()
            await look
            found = ring.find(secret)
            assert stale is not None
            assert found is not None
            assert (stale.revoked_ns, found.revoked_ns) == (None, 7)

    read, go_on = threading.Event(), threading.Event()
    asyncio.run(main())


def test_a_disk_that_hangs_is_not_asked_for_cold_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    """While a look is late, warm keys are served and the loop waits for nobody."""
    monkeypatch.setattr("inferworks.accounts.keyring._LATE_S", 0.02)

    async def main() -> None:
        accounts = Hanging()
        accounts.add_customer(Customer(ACME, 1))
        (warm, warm_secret), (cold, cold_secret) = (mint(ACME, 1, pepper=A_PEPPER) for _ in "12")
        accounts.add_key(warm, cold)
        with closing(KeyRing(accounts, A_PEPPER)) as ring:
            assert ring.find(warm_secret) == warm
            accounts.answers.clear()
            look = asyncio.ensure_future(ring.look())
            await asyncio.sleep(0.05)
            assert ring.find(warm_secret) == warm
            with pytest.raises(DataFolderError, match="the accounts do not answer"):
                ring.find(cold_secret)
            accounts.answers.set()
            await look
            assert ring.find(cold_secret) == cold

    asyncio.run(main())
