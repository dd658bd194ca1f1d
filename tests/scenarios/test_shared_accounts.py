"""Nodes share accounts through PostgreSQL: what one changes the others know, whatever dies meanwhile.

The real thing: `inferworks up` in processes of their own, a server of the tests' own, sockets, SIGKILL.
"""

from __future__ import annotations

import http.client
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import msgspec
import psycopg
import pytest
from tests.support.command_line import document, refusal, run
from tests.support.postgres import PostgresServer, postgres_server

from inferworks.accounts.audit import verify
from inferworks.config import Config, load
from inferworks.http.client import Origin
from inferworks.testing.platform import RealPlatform
from inferworks.wiring.accounts import open_accounts
from inferworks.wiring.limits import limits_store

pytestmark = pytest.mark.slow

SETTINGS = """
[engine]
replicas = 0
[gateway]
key_pepper = "env:PEPPER"
keys_stale_s = {stale_s}
workers = {workers}
[store]
url = "{url}"
[[upstream]]
name = "up"
provider = "vllm"
url = "http://127.0.0.1:9/v1"
models = ["m"]
"""
IN_MID_CHANGE = """
import sys, time
from contextlib import closing
from pathlib import Path
from tests.scenarios.test_shared_accounts import Node
from inferworks.wiring.accounts import open_accounts
with closing(open_accounts(Node(Path(sys.argv[1])).config)) as accounts, accounts.transaction():
    accounts.revoke_key(sys.argv[2], 1)
    print("changed", flush=True)
    time.sleep(60)
"""


class Node:
    """A node as its operator has it: a working directory with a configuration, and a gateway."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.platform = RealPlatform(folder / "data", folder)
        self.where = ("--config", folder / "inferworks.toml", "--data", folder / "data")

    @property
    def config(self) -> Config:
        """Its configuration."""
        config = load(self.folder / "inferworks.toml", os.environ)
        data = msgspec.structs.replace(config.data, folder=str(self.folder / "data"))
        return msgspec.structs.replace(config, data=data)

    def new_key(self) -> tuple[str, str]:
        """Make a key; its id and its secret."""
        made = document("keys", "create", *self.where)
        return made["id"], made["key"]

    def revoke(self, key_id: str) -> None:
        """Revoke a key."""
        run("keys", "revoke", key_id, *self.where)


def status(origin: Origin, secret: str) -> int:
    """Status of a gateway's answer to a request with this key."""
    with closing(http.client.HTTPConnection(origin.host, origin.port, timeout=10)) as connection:
        connection.request("GET", "/v1/models", headers={"authorization": f"Bearer {secret}"})
        return connection.getresponse().status


def code(origin: Origin, secret: str) -> tuple[int, str]:
    """Status and code of the answer to a call with this key, which the upstream would not serve."""
    body = b'{"model": "m", "messages": [{"role": "user", "content": "x"}], "max_tokens": 9}'
    headers = {"authorization": f"Bearer {secret}", "content-type": "application/json"}
    with closing(http.client.HTTPConnection(origin.host, origin.port, timeout=30)) as connection:
        connection.request("POST", "/v1/chat/completions", body, headers)
        answer = connection.getresponse()
        return answer.status, msgspec.json.decode(answer.read())["error"]["code"] or ""


def health(origin: Origin) -> list[str]:
    """Parts of a gateway that are not well."""
    with closing(http.client.HTTPConnection(origin.host, origin.port, timeout=10)) as connection:
        connection.request("GET", "/health")
        parts: list[str] = msgspec.json.decode(connection.getresponse().read()).get("parts", [])
        return parts


def until(origin: Origin, secret: str, wanted: int) -> None:
    """Wait until a gateway answers so, whichever of its workers does."""
    deadline_s = time.monotonic() + 20
    in_a_row = 0
    while in_a_row < 12:
        found = status(origin, secret)
        in_a_row = in_a_row + 1 if found == wanted else 0
        assert time.monotonic() < deadline_s, f"{found} all the time"


def check_alike(*nodes: Node) -> None:
    """All nodes have the same accounts, whole, with one audit log."""
    found = []
    for node in nodes:
        run("audit", "verify", *node.where)
        with closing(open_accounts(node.config)) as accounts:
            assert accounts.check()[1] == []
            verify(accounts.audit(), accounts.audit_head())
            found.append((accounts.keys(), accounts.audit(), accounts.version()))
    assert all(one == found[0] for one in found)


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresServer]:
    """A running server."""
    with postgres_server() as running:
        yield running


@pytest.fixture
def make(
    server: PostgresServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[..., Node]]:
    """Makes nodes that share a new database; their gateways, which the test starts, are stopped."""
    monkeypatch.setenv("PEPPER", "p" * 40)
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[2]))
    url, made = server.database(), list[Node]()

    def node(*, stale_s: float = 300, workers: int = 1) -> Node:
        folder = tmp_path / f"node-{len(made)}"
        (folder / "data").mkdir(parents=True, mode=0o700)
        text = SETTINGS.format(url=url, stale_s=stale_s, workers=workers)
        (folder / "inferworks.toml").write_text(text, encoding="utf-8")
        made.append(Node(folder))
        return made[-1]

    yield node
    for one in made:
        one.platform.stop()


def test_a_key_of_one_node_is_one_of_all(make: Callable[..., Node]) -> None:
    """A key that one node makes works on the other, with its workers; one that it revokes does not.

    A revoked key that is shown to the other node again, also once that was restarted, stays refused.
    """
    first, second = make(), make(workers=2)
    one, two = first.platform.start(), second.platform.start()
    spare_id, spare = second.new_key()
    until(two, spare, 200)
    until(one, spare, 200)
    for _ in range(3):
        key_id, secret = first.new_key()
        until(two, secret, 200)
        first.revoke(key_id)
        until(two, secret, 401)
    assert status(two, spare) == 200, "only what was revoked is"
    second.revoke(spare_id)
    until(one, spare, 401)
    second.platform.stop()
    two = second.platform.start()
    assert (status(two, spare), status(two, secret)) == (401, 401)
    check_alike(first, second)


def test_without_the_database_calls_go_on_and_changes_are_refused(
    make: Callable[..., Node], server: PostgresServer
) -> None:
    """Keys that are known are served, a change is refused in one line, and nothing has to be restarted."""
    first, second = make(), make()
    key_id, secret = first.new_key()
    one, two = first.platform.start(), second.platform.start()
    until(two, secret, 200)
    server.stop("immediate")
    try:
        assert (status(one, secret), status(two, secret)) == (200, 200)
        words = refusal("keys", "revoke", key_id, *first.where)
        assert words.startswith("cannot use the shared accounts (store.url): ")
        assert "\n" not in words
        assert [key["id"] for key in document("keys", "list", *second.where)].count(key_id) == 1
        second.platform.kill()
        two = second.platform.start()
        assert status(two, secret) == 200, "it starts with what it knew a moment ago"
    finally:
        server.start()
    first.revoke(key_id)
    until(one, secret, 401)
    until(two, secret, 401)
    check_alike(first, second)


def test_a_database_that_hangs_is_told_within_seconds(
    make: Callable[..., Node], server: PostgresServer
) -> None:
    """Its connections stay open and nothing answers: what needs it is refused, all else goes on.

    Keys that the gateway has not seen yet are read from its mirror. Nothing has to be restarted.
    """
    node = make()
    key_id, limited = node.new_key()
    _, cold = node.new_key()
    _, served = node.new_key()
    command = ("limits", "create", "--key", key_id, "--requests", "10", "--per", "day")
    run(*command, *node.where)
    origin = node.platform.start()
    until(origin, served, 200)
    until(origin, limited, 200)
    with server.frozen():
        before_s = time.monotonic()
        assert code(origin, limited) == (503, "limits_unreachable")
        assert time.monotonic() - before_s < 9, "6 s, and what a busy machine adds"
        assert code(origin, limited) == (503, "limits_unreachable"), "and now at once"
        assert (status(origin, served), status(origin, cold)) == (200, 200)
        while "limits-store" not in (parts := health(origin)):
            assert time.monotonic() - before_s < 15
            time.sleep(0.1)
        assert "the server has not answered" in node.platform.log()
        words = refusal("keys", "revoke", key_id, *node.where)
        assert words.startswith("cannot use the shared accounts (store.url): ")
    deadline_s = time.monotonic() + 20
    while parts or code(origin, limited)[1] == "limits_unreachable":
        assert time.monotonic() < deadline_s
        time.sleep(0.1)
        parts = health(origin)
    node.revoke(key_id)
    until(origin, limited, 401)
    assert "Traceback" not in node.platform.log()


def test_a_mirror_that_was_moved_aside_is_loaded_anew(make: Callable[..., Node]) -> None:
    """The way on when the database was put back to an earlier state: it is what holds then."""
    node = make()
    _, secret = node.new_key()
    node.platform.start()
    node.platform.kill()
    accounts = node.platform.folder.accounts
    accounts.rename(accounts.with_name("aside.db"))
    until(node.platform.start(), secret, 200)
    assert document("accounts", "status", *node.where)["missed"] == ""


def test_keys_grow_stale_without_the_database(
    make: Callable[..., Node], server: PostgresServer
) -> None:
    """After `gateway.keys_stale_s` no key is accepted, for one may have been revoked; then all goes on."""
    node = make(stale_s=1)
    _, secret = node.new_key()
    origin = node.platform.start()
    until(origin, secret, 200)
    server.stop("immediate")
    try:
        until(origin, secret, 503)
    finally:
        server.start()
    until(origin, secret, 200)


def test_a_writer_that_is_killed_in_mid_change_has_changed_nothing(
    make: Callable[..., Node],
) -> None:
    """Its lock ends with it, no mirror has its change, and the next change of either node goes through."""
    first, second = make(), make()
    key_id, _ = first.new_key()
    for node in (first, second):
        command = [sys.executable, "-c", IN_MID_CHANGE, str(node.folder), key_id]
        writer = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert writer.stdout is not None
        assert writer.stdout.readline() == "changed\n"
        writer.kill()
        writer.wait()
        writer.stdout.close()
        [key] = (one for one in document("keys", "list", *second.where) if one["id"] == key_id)
        assert key["revoked"] is None
        second.new_key()
        first.new_key()
        check_alike(first, second)


@pytest.mark.parametrize("part", ["accounts", "limits"])
def test_a_database_of_a_newer_version_is_refused_at_the_start(
    make: Callable[..., Node], part: str
) -> None:
    """One line says which part is newer, and what to do."""
    node = make()
    node.new_key()
    with closing(limits_store(node.config.store, node.platform.folder)) as store:
        store.transact(lambda rows: rows.now_ns())
    with psycopg.connect(node.config.store.url) as connection:
        connection.execute(
            "UPDATE inferworks.schema_version SET version = 99 WHERE part = %s", (part,)
        )
    with pytest.raises(AssertionError) as failure:
        node.platform.start()
    last = str(failure.value).rstrip().splitlines()[-1]
    assert f"the database has {part} of version 99" in last
    assert last.endswith("use the version of inferworks that made it")
    assert "Traceback" not in str(failure.value)
