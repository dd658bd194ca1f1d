"""Commands and stores of a folder whose accounts are shared, with the database in memory and going away."""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest
from tests.support.command_line import document, invoke, refusal, run

from inferworks.accounts.customer import Customer
from inferworks.accounts.keyring import KeyRing
from inferworks.accounts.member import mint_token
from inferworks.accounts.sharing.stub import StubDatabase, StubRows
from inferworks.api.admin.once import Repeatable, once
from inferworks.cli.notes import Notes
from inferworks.clock import SimClock
from inferworks.config import Config, Data, Store
from inferworks.errors import ConfigError, DataFolderError, SharedAccountsError
from inferworks.folder import DataFolder
from inferworks.ids import CustomerId, MemberId
from inferworks.testing.facts import A_PEPPER
from inferworks.wiring import accounts as wired
from inferworks.wiring.books import book_settings
from inferworks.wiring.platform import first_key
from inferworks.wiring.sharing import shared_rows, shared_url

ACME = CustomerId("acme")


class Network:
    """A way to the database, which may be cut."""

    def __init__(self) -> None:
        self.database = StubDatabase()
        self.is_cut = False

    def at(self, _: str) -> None:
        """Let a step through, or not."""
        if self.is_cut:
            raise SharedAccountsError("cannot use the shared accounts: no route")


@pytest.fixture
def network(monkeypatch: pytest.MonkeyPatch) -> Network:
    """The way that every folder with a `store.url` goes."""
    made = Network()

    def rows(store: Store) -> StubRows | None:
        return StubRows(made.database, made.at) if store.url else None

    monkeypatch.setattr(wired, "shared_rows", rows)
    monkeypatch.setenv("INFERWORKS_STORE_URL", "postgresql:///x")
    monkeypatch.setenv("INFERWORKS_GATEWAY_KEY_PEPPER", "env:PEPPER")
    monkeypatch.setenv("PEPPER", "p" * 40)
    return made


@pytest.fixture
def make(tmp_path: Path) -> Callable[[str], Config]:
    """Makes the configuration of a node that shares its accounts."""

    def configuration(name: str) -> Config:
        folder = DataFolder(tmp_path / name)
        folder.create()
        return Config(data=Data(folder=str(folder.path)), store=Store(url="postgresql:///x"))

    return configuration


def test_commands_of_one_node_are_known_to_the_other(
    network: Network, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Also while the database is away, when they are told with their age; changes are refused then."""
    one, other = ("--data", tmp_path / "one"), ("--data", tmp_path / "other")
    run("customers", "create", "acme", *one)
    key_id = document("keys", "create", "--customer", "acme", *one)["id"]
    (tmp_path / "other").mkdir(mode=0o700)
    assert [key["id"] for key in document("keys", "list", *other)] == [key_id]
    assert document("keys", "show", key_id, *other)["revoked"] is None
    run("keys", "revoke", key_id, *other)
    assert document("keys", "show", key_id, *one)["revoked"] is not None
    assert document("audit", "verify", *one) == document("audit", "verify", *other)
    network.is_cut = True
    with caplog.at_level(logging.WARNING):
        assert len(document("keys", "list", *other)) == 1
    assert "no route; these are the accounts as of 2" in caplog.text
    logger, notes = logging.getLogger("inferworks"), Notes()
    logger.addHandler(notes)
    try:
        for words in (
            ("keys", "list"), ("customers", "list"), ("customers", "show", "acme"),
            ("audit", "log"), ("organisations", "list"), ("projects", "list"), ("members", "list"),
        ):  # fmt: skip
            result = invoke(*words, "--json", *other)
            assert json.loads(result.stdout) is not None
            assert result.stderr.count("these are the accounts as of 2") == 1, words
            notes.told.clear()
    finally:
        logger.removeHandler(notes)
    assert "no route" in refusal("keys", "create", *one)
    assert "no route" in refusal("customers", "list", "--data", tmp_path)
    assert not (tmp_path / "accounts.db").exists()


def test_the_state_of_sharing_is_shown_and_ended(
    network: Network, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A folder that has left is its own, and changes nothing for the others."""
    one, other = ("--data", tmp_path / "one"), ("--data", tmp_path / "other")
    run("customers", "create", "acme", *one)
    run("customers", "create", "burns", *other)
    said = document("accounts", "status", *one)
    assert (said["version"], said["newest"], said["missed"]) == (2, 3, "")
    assert "The newest change is 3." in run("accounts", "status", *one).stdout
    assert "There are no later ones." in run("accounts", "status", *other).stdout
    network.is_cut = True
    away = invoke("accounts", "status", *other)
    assert (away.exit_code, "known to be the newest at 2" in away.stdout) == (1, True)
    assert "no route" in away.stderr
    monkeypatch.delenv("INFERWORKS_STORE_URL")
    assert "inferworks accounts leave" in refusal("customers", "create", "c", *other)
    with DataFolder(tmp_path / "other").hold():
        assert "in use" in refusal("accounts", "leave", *other)
    assert said["id"] in run("accounts", "leave", *other).stdout
    assert "own already" in refusal("accounts", "leave", *other)
    run("customers", "create", "c", *other)
    assert "folder's own" in run("accounts", "status", *other).stdout
    network.is_cut = False
    monkeypatch.setenv("INFERWORKS_STORE_URL", "postgresql:///x")
    assert "has accounts of its own" in refusal("customers", "list", *other)
    network.database = StubDatabase()
    assert "accounts leave" in refusal("customers", "list", *one)
    run("customers", "create", "d", *other)
    assert network.database.head is not None


def test_books_of_a_folder_without_a_gateway_load_the_accounts(
    network: Network, make: Callable[[str], Config]
) -> None:
    """Prices are those of all; changes are looked for once, and no accounts of its own begun."""
    config = make("one")
    settings = book_settings(make("books"))
    with pytest.raises(SharedAccountsError, match="has no accounts yet"):
        settings.accounts()
    with closing(wired.open_accounts(config)) as accounts:
        accounts.add_customer(Customer(ACME, 1))
    assert settings.has_accounts
    for _ in range(2):
        with settings.accounts() as accounts:
            assert accounts.customers() == [Customer(ACME, 1)]
        network.is_cut = True


def test_an_answer_is_kept_for_all_nodes(network: Network, make: Callable[[str], Config]) -> None:
    """A request with an idempotency key that is repeated at another node changes nothing twice."""
    token, secret = mint_token(MemberId("member_a"), 1)
    request = Repeatable("deploy-7", secret, token, b"POST /admin/v1/keys\n{}")
    acts = []

    def act() -> tuple[int, bytes]:
        acts.append(1)
        return 201, b"made"

    for name in ("one", "other", "one"):
        with closing(wired.open_accounts(make(name))) as accounts:
            assert once(accounts, request, 10, act) == (201, b"made")
    assert acts == [1]


def test_a_gateway_starts_with_what_it_knew(
    network: Network, make: Callable[[str], Config], caplog: pytest.LogCaptureFixture
) -> None:
    """Not with nothing: without the database a new node has no accounts, and makes none."""
    config, fresh = make("one"), make("fresh")
    with closing(wired.open_last_known(config)) as accounts:
        accounts.add_customer(Customer(ACME, 1))
    network.is_cut = True
    with closing(wired.open_last_known(config)) as accounts:
        assert accounts.customers() == [Customer(ACME, 1)]
    assert "the keys are those that were last known" in caplog.text
    with pytest.raises(SharedAccountsError):
        wired.open_last_known(fresh)
    sync = wired.sync_of(config)
    assert sync is not None
    with pytest.raises(SharedAccountsError):
        sync()
    with closing(wired.follow_accounts(config)) as followed:
        assert followed.has_customer(ACME)
        with closing(KeyRing(followed, A_PEPPER, 300, sync=sync, age_s=301)) as ring:
            assert not ring.fresh, "too old to begin with"


def test_a_mirror_that_was_moved_aside_is_loaded_anew(
    network: Network, make: Callable[[str], Config]
) -> None:
    """So a node goes on with a database that was put back; where that has none either, none are begun."""
    config = make("one")
    folder = DataFolder(Path(config.data.folder))
    with folder.hold(), closing(wired.open_last_known(config)) as accounts:
        accounts.add_customer(Customer(ACME, 1))
        folder.journal.write_bytes(b"a journal")
        folder.tell("http://127.0.0.1:8080/v1")
    whole, network.database = network.database, StubDatabase()
    with folder.hold(), pytest.raises(ConfigError, match="accounts leave"):
        wired.open_last_known(config)
    folder.accounts.rename(folder.path / "aside.db")
    gone = (
        r"accounts\.db is gone, though .*, and the database of store\.url has no accounts: restore"
    )
    for _ in range(2):
        with folder.hold(), pytest.raises(DataFolderError, match=gone):
            wired.open_last_known(config)
    network.is_cut = True
    with folder.hold(), pytest.raises(SharedAccountsError, match="no route"):
        wired.open_last_known(config)
    assert not folder.accounts.exists()
    network.is_cut, network.database = False, whole
    with folder.hold(), closing(wired.open_last_known(config)) as accounts:
        assert accounts.customers() == [Customer(ACME, 1)]


def test_of_first_starts_at_once_one_makes_the_key(
    network: Network, make: Callable[[str], Config]
) -> None:
    """The others find it there, however little they knew when they began."""
    configs = [make(name) for name in ("one", "two", "three")]
    start = threading.Barrier(3)

    def begin(config: Config) -> str | None:
        with closing(wired.open_last_known(config)) as accounts:
            start.wait(30)
            return first_key(accounts, SimClock(1), A_PEPPER)

    with ThreadPoolExecutor(3) as threads:
        found = list(threads.map(begin, configs))
    assert [secret is None for secret in found].count(True) == 2
    for config in configs:
        with closing(wired.open_accounts(config)) as accounts:
            assert len(accounts.keys()) == 1


def test_a_database_is_named_by_a_url_without_a_password() -> None:
    """Any other is refused, and none is none."""
    assert shared_rows(Store()) is None
    for url in ("postgresql://db/x", "postgres://me@db:5432/x", "postgresql:///x?host=/run"):
        assert shared_url(Store(url=url)) == url
    with pytest.raises(ConfigError, match=r"store\.url is a postgresql:// URL"):
        shared_url(Store(url="mysql://db/x"))
    with pytest.raises(ConfigError, match="must not hold a password"):
        shared_url(Store(url="postgresql://me:secret@db/x"))
