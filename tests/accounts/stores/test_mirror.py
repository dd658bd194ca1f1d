"""A file of accounts as the mirror of those that gateways share: never ahead, and never parted for good."""

from __future__ import annotations

import random
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, nullcontext
from pathlib import Path

import msgspec
import pytest

from inferworks.accounts.audit import verify
from inferworks.accounts.customer import Customer, CustomerFact
from inferworks.accounts.key import mint
from inferworks.accounts.keyring import KeyRing
from inferworks.accounts.organisation import Organisation
from inferworks.accounts.plan import PricePlan
from inferworks.accounts.sharing import stub
from inferworks.accounts.sharing.stub import StubDatabase, StubRows
from inferworks.accounts.stores import mirror
from inferworks.accounts.stores.base import KeptAnswer
from inferworks.accounts.stores.mirror import Mirror
from inferworks.accounts.stores.sqlite import FollowedAccounts, SharedAccounts, SqliteAccounts
from inferworks.accounts.stores.sqlite_tables import VERSION
from inferworks.errors import ConfigError, NewerStoreError, SharedAccountsError, UserError
from inferworks.ids import CustomerId, KeyId, OrganisationId
from inferworks.sqlite import Database
from inferworks.testing.accounts import check_accounts
from inferworks.testing.facts import A_PEPPER

ACME = CustomerId("acme")
Rows = dict[str, list[tuple[object, ...]]]


class Killed(BaseException):
    """The end of the process."""


def content(path: Path) -> Rows:
    """All rows of the file at `path`, but what it says of itself."""
    with closing(sqlite3.connect(path)) as database:
        tables = [name for (name,) in database.execute(
            "SELECT name FROM sqlite_master WHERE type = 'table' AND name <> 'shared'"
        )]  # fmt: skip
        return {
            name: sorted(database.execute(f"SELECT * FROM {name}"), key=repr) for name in tables
        }


def shared(database: StubDatabase) -> Rows:
    """All rows that are shared."""
    found: Rows = {}
    for row in database.rows.values():
        if row.body is not None:
            found.setdefault(row.table, []).append(tuple(msgspec.msgpack.decode(row.body)))
    return {name: sorted(rows, key=repr) for name, rows in found.items()}


def filled(rows: Rows) -> Rows:
    """Tables of `rows` that have any."""
    return {name: found for name, found in rows.items() if found}


def opened(
    path: Path, database: StubDatabase, at: Callable[[str], object] = lambda _: None
) -> SharedAccounts:
    """The accounts of the node whose file is at `path`, brought up to date."""
    accounts = SharedAccounts(path, StubRows(database, at))
    try:
        accounts.sync()
    except BaseException:
        accounts.close()
        raise
    return accounts


@pytest.fixture
def database() -> StubDatabase:
    """Nothing is shared yet."""
    return StubDatabase()


@pytest.fixture
def two(tmp_path: Path, database: StubDatabase) -> Iterator[tuple[SharedAccounts, SharedAccounts]]:
    """The accounts of two nodes."""
    with (
        closing(opened(tmp_path / "a.db", database)) as one,
        closing(opened(tmp_path / "b.db", database)) as other,
    ):
        yield one, other


def test_conformance(
    two: tuple[SharedAccounts, SharedAccounts], tmp_path: Path, database: StubDatabase
) -> None:
    """Shared accounts are accounts like any; the other node has the same rows, to the last byte."""
    one, other = two
    check_accounts(one)
    other.sync()
    assert content(tmp_path / "b.db") == content(tmp_path / "a.db")
    assert filled(content(tmp_path / "a.db")) == shared(database)
    assert other.check()[1] == []
    with closing(opened(tmp_path / "c.db", database)):
        assert content(tmp_path / "c.db") == content(tmp_path / "a.db"), (
            "so has one that comes later"
        )


def test_a_change_sees_all_earlier_ones(two: tuple[SharedAccounts, SharedAccounts]) -> None:
    """Two nodes cannot both create a customer, however little they have looked; the audit log is one."""
    one, other = two
    one.add_customer(Customer(ACME, 1))
    with pytest.raises(UserError, match="acme exists already"):
        other.add_customer(Customer(ACME, 2))
    other.add_plan(PricePlan.per_token(ACME, 1, "USD", 1, 1))
    one.withdraw_plan(ACME, 1, 2)
    other.sync()
    assert verify(other.audit(), other.audit_head()) == 3
    assert [entry.action for entry in other.audit()] == [
        "customers create",
        "plans set",
        "plans withdraw",
    ]
    assert other.plans() == []


def test_a_key_ring_forgets_what_another_node_revoked(
    two: tuple[SharedAccounts, SharedAccounts], tmp_path: Path
) -> None:
    """One sync takes up the change, and a look names the keys that it is of; prices have not changed."""
    one, other = two
    one.add_customer(Customer(ACME, 1))
    key, secret = mint(ACME, 1, pepper=A_PEPPER)
    one.add_key(key, mint(ACME, 2, pepper=A_PEPPER)[0])
    other.sync()
    with closing(FollowedAccounts(tmp_path / "b.db")) as followed:
        ring = KeyRing(followed, A_PEPPER)
        assert ring.find(secret) == key
        before, prices = followed.version(), followed.prices_version()
        one.revoke_key(key.id, 5)
        assert followed.changed_keys(before) == []
        other.sync()
        assert followed.version() != before
        assert followed.changed_keys(before) == [key.id]
        assert followed.prices_version() == prices
        ring.refresh()
        found = ring.find(secret)
        assert found is not None
        assert found.revoked_ns == 5
        ring.close()


def test_a_folder_with_accounts_shares_them_once(tmp_path: Path, database: StubDatabase) -> None:
    """The first node gives what it has, also when it died in the middle; the next one takes it."""
    path = tmp_path / "a.db"
    with closing(SqliteAccounts(path)) as accounts:
        accounts.add_customer(Customer(ACME, 1))
    before = content(path)
    for step in ("lock", "put", "commit", "committed"):

        def die(at: str, step: str = step) -> None:
            if at == step:
                raise Killed

        with pytest.raises(Killed):
            opened(path, database, die)
    with closing(opened(path, database)), closing(opened(tmp_path / "b.db", database)):
        assert content(path) == content(tmp_path / "b.db") == before


def test_accounts_that_do_not_belong_together_are_refused(
    tmp_path: Path, database: StubDatabase
) -> None:
    """Of two sets of accounts neither is given up for the other: people say which."""
    opened(tmp_path / "a.db", database).close()
    own, foreign = tmp_path / "own.db", tmp_path / "foreign.db"
    with closing(SqliteAccounts(own)) as accounts:
        accounts.add_customer(Customer(ACME, 1))
    before = content(own)
    with pytest.raises(ConfigError, match="has accounts of its own"):
        opened(own, database)
    assert content(own) == before
    opened(foreign, StubDatabase()).close()
    with pytest.raises(ConfigError, match="is the mirror of other accounts"):
        opened(foreign, database)
    with pytest.raises(ConfigError, match=r"the database of store\.url has none"):
        opened(foreign, StubDatabase())
    with pytest.raises(ConfigError, match="is the mirror of accounts that gateways share"):
        SqliteAccounts(foreign)


def test_a_database_that_was_put_back_is_noticed(tmp_path: Path) -> None:
    """Nothing is taken from it or written to it, whether or not it has gone on since."""
    database, path = StubDatabase(), tmp_path / "a.db"
    with (
        closing(opened(path, database)) as one,
        closing(opened(tmp_path / "b.db", database)) as other,
    ):
        one.add_customer(Customer(ACME, 1))
        other.sync()
        head, rows = database.head, database.rows
        one.add_customer(Customer(CustomerId("burns"), 1))
        database.head, database.rows = head, rows
        for use in (one.sync, lambda: one.add_customer(Customer(CustomerId("c"), 1))):
            with pytest.raises(SharedAccountsError, match="put back to an earlier state"):
                use()
        for name in ("d", "e"):
            other.add_customer(Customer(CustomerId(name), 1))
        with pytest.raises(SharedAccountsError, match="put back to an earlier state"):
            one.sync()


def test_a_file_that_is_too_old_is_loaded_anew(
    two: tuple[SharedAccounts, SharedAccounts],
    tmp_path: Path,
    database: StubDatabase,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Rows that were deleted so long ago that nobody knows of it any more are not kept either."""
    one, other = two
    one.add_customer(Customer(ACME, 1), PricePlan.per_token(ACME, 1, "USD", 1, 1))
    other.sync()
    for module in (stub, mirror):
        monkeypatch.setattr(module, "KEPT_DELETIONS", 3)
    one.withdraw_plan(ACME, 1, 2)
    for number in range(5):
        one.add_fact(
            CustomerFact(
                customer=ACME, effective_ns=number, recorded_ns=number, by="ann", display_name="A"
            )
        )
    assert all(row.body is not None for row in database.rows.values())
    other.sync()
    assert content(tmp_path / "b.db") == content(tmp_path / "a.db")
    assert other.plans() == []


def test_shared_accounts_of_an_older_version_are_brought_up_to_date(
    two: tuple[SharedAccounts, SharedAccounts], tmp_path: Path, database: StubDatabase
) -> None:
    """By the first newer program that may change them; one that only looks leaves them as they are."""
    one, other = two
    one.add_customer(Customer(ACME, 1))
    head = database.head
    assert head is not None
    older = VERSION - 1
    statements = tuple(text for text in head.statements if "usage_limit" not in text)
    database.head = msgspec.structs.replace(head, layout=older, statements=statements)
    one.close()
    other.close()
    with closing(Database(tmp_path / "c.db")) as file:
        Mirror(file, StubRows(database)).sync()
        assert file.version() == older
    assert database.head.layout == older
    with closing(opened(tmp_path / "a.db", database)) as accounts:
        assert accounts.customers() == [Customer(ACME, 1)]
        assert accounts.limits() == []
    assert (database.head.layout, database.head.version) == (VERSION, head.version + 1)
    for name in ("b.db", "c.db"):
        with closing(opened(tmp_path / name, database)) as accounts:
            assert accounts.check()[1] == []
        assert content(tmp_path / name) == content(tmp_path / "a.db")


def test_a_newer_version_is_refused(
    two: tuple[SharedAccounts, SharedAccounts], database: StubDatabase
) -> None:
    """Neither looks nor changes go on: its rows may mean anything."""
    one, _ = two
    assert database.head is not None
    database.head = msgspec.structs.replace(database.head, layout=VERSION + 1)
    for use in (one.sync, lambda: one.add_customer(Customer(ACME, 1))):
        with pytest.raises(NewerStoreError, match=f"of version {VERSION + 1}"):
            use()


def test_a_layout_is_tables_and_nothing_else(tmp_path: Path, database: StubDatabase) -> None:
    """No other statement gets run on the nodes by somebody who can write to the database."""
    opened(tmp_path / "a.db", database).close()
    assert database.head is not None
    bad = f"ATTACH DATABASE '{tmp_path / 'x.db'}' AS x"
    database.head = msgspec.structs.replace(database.head, statements=(bad,))
    with pytest.raises(SharedAccountsError, match="a layout that is none"):
        opened(tmp_path / "b.db", database)
    assert not (tmp_path / "x.db").exists()


class World:
    """Nodes that change shared accounts while anything dies, and what must be true of their files."""

    def __init__(self, seed: int, folder: Path) -> None:
        self.random = random.Random(seed)
        self.database = StubDatabase()
        self.history: dict[int, Rows] = {}
        self.paths = [folder / f"{seed}-{number}.db" for number in range(3)]
        self.fault: tuple[str, type[BaseException]] | None = None
        self.nodes = [self.open(path) for path in self.paths]
        self.made = 0

    def open(self, path: Path) -> SharedAccounts:
        """The accounts of a node that has just begun; it lives to the end of that."""
        self.fault = None
        accounts = opened(path, self.database, self.at)
        self.note()
        return accounts

    def at(self, step: str) -> None:
        """Let happen what is due at a step on the way to the database."""
        self.note()
        if self.fault is not None and self.fault[0] == step:
            kind = self.fault[1]
            self.fault = None
            raise kind("away")

    def note(self) -> None:
        """Keep what is shared, by its number."""
        head = self.database.head
        if head is not None:
            self.history.setdefault(head.version, shared(self.database))

    def change(self, accounts: SharedAccounts) -> None:
        """Make some change, which may be refused."""
        self.made += 1
        name = CustomerId(f"c{self.random.randrange(3)}")
        keys = accounts.keys()
        plan = PricePlan.per_token(name, self.random.randrange(3), "USD", self.made, 1)
        acts: list[Callable[[], object]] = [
            lambda: accounts.add_customer(Customer(name, self.made)),
            lambda: accounts.add_key(mint(name, self.made, pepper=A_PEPPER)[0]),
            lambda: accounts.revoke_key(self.random.choice(keys).id if keys else KeyId("none"), self.made),
            lambda: accounts.add_plan(plan),
            lambda: accounts.replace_plan(plan, self.made),
            lambda: accounts.withdraw_plan(name, plan.effective_ns, self.made),
            lambda: accounts.add_organisation(Organisation(OrganisationId("group"), 1)),
            lambda: accounts.place_customer(name, self.random.choice([None, OrganisationId("group")])),
            lambda: accounts.keep_answer(
                KeptAnswer("t", str(self.made), b"h", 200, b"x", self.made),
                expired_ns=self.made - 3,
                most=2,
            ),
            accounts.sync,
        ]  # fmt: skip
        several = self.random.sample(acts, self.random.choice([1, 1, 1, 2]))
        with accounts.transaction() if len(several) > 1 else nullcontext():
            for act in several:
                act()

    def turn(self) -> None:
        """Let one node do something, with what may happen to it; then look at all of them."""
        number = self.random.randrange(len(self.nodes))
        if self.random.random() < 0.4:
            step = self.random.choice(["read", "lock", "put", "commit", "committed"])
            self.fault = step, self.random.choice([Killed, SharedAccountsError])
        try:
            self.change(self.nodes[number])
        except UserError:
            pass
        except Killed:
            self.nodes[number].close()
            self.nodes[number] = self.open(self.paths[number])
        self.note()
        for path in self.paths:
            self.check(path)

    def check(self, path: Path) -> None:
        """A file has what was shared at some moment, all of it, and says which moment that was."""
        with closing(sqlite3.connect(path)) as file:
            [(version,)] = file.execute("SELECT version FROM shared")
        assert filled(content(path)) == self.history[version]

    def end(self) -> None:
        """In the end all files have all that is shared, and their logs are whole."""
        self.fault = None
        for accounts, path in zip(self.nodes, self.paths, strict=True):
            accounts.sync()
            assert filled(content(path)) == shared(self.database)
            assert accounts.check()[1] == []
            verify(accounts.audit(), accounts.audit_head())
            accounts.close()


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(20))
def test_whatever_dies_a_mirror_has_what_was_shared(seed: int, tmp_path: Path) -> None:
    """Three nodes change at random; steps fail, and processes end at them, before and after the commit."""
    world = World(seed, tmp_path)
    for _ in range(40):
        world.turn()
    world.end()
