"""Attacks on accounts and keys, each tried: the table is in SECURITY.md, and names the test of each row.

Attacks that the tests of a part try already are not tried again here. The last test holds table and tests
to each other.
"""

from __future__ import annotations

import ast
import asyncio
import re
import tracemalloc
from collections.abc import Callable, Coroutine, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, Final

import msgspec
import pytest
import uvloop
from tests.support.admin_server import AdminServer, open_admin

from inferworks.accounts.customer import Customer
from inferworks.accounts.key import Key, mint
from inferworks.accounts.keyring import KeyRing
from inferworks.accounts.roles import ROLES, WHOLE_ONLY, Action, Role
from inferworks.accounts.stores.sqlite import FollowedAccounts, SqliteAccounts
from inferworks.accounts.stores.stub import StubAccounts
from inferworks.api.admin.openapi import document
from inferworks.api.admin.routes import ROUTES
from inferworks.config import Config, Data, Engine, Gateway
from inferworks.folder import DataFolder
from inferworks.http.client import Origin
from inferworks.ids import CustomerId, KeyId
from inferworks.observe.access import RefusedRequest
from inferworks.purpose import Purpose
from inferworks.testing.facts import A_PEPPER
from inferworks.testing.in_process_gateway import Answered, open_gateway, parse_answer
from inferworks.testing.providers import A_MODEL
from inferworks.wiring import open_platform

pytestmark = pytest.mark.slow

Run = Callable[[Coroutine[Any, Any, None]], None]

ROOT: Final = Path(__file__).parents[2]
ACME: Final = CustomerId("acme")
CHAT: Final = {"model": A_MODEL, "messages": [{"role": "user", "content": "hello"}]}
SQL: Final = (
    "' OR '1'='1",
    "x'; DROP TABLE key; --",
    '" UNION SELECT secret_hash FROM key --',
    "%",
)


@pytest.fixture
def run() -> Run:
    """Runs a test's coroutine on the loop that production runs on."""

    async def limited(main: Coroutine[Any, Any, None]) -> None:
        async with asyncio.timeout(180.0):
            await main

    return lambda main: uvloop.run(limited(main))


# --- privilege escalation ----------------------------------------------------------------------------

DOCUMENT: Final = msgspec.json.decode(msgspec.json.encode(document(ROUTES)))
LESSER: Final = [
    (role, scope)
    for role in Role
    for scope in ("whole", "group", "customer")
    if (role, scope) != (Role.OWNER, "whole")
]
REACHING: Final = (
    "owner", "outside", "other-group", "*", "serve-internal", "2199-01-01T00:00:00Z", "9" * 12,
    True, False, 10**9, None, ["*"], ["serve-internal"], {"currency": "USD", "price": []},
)  # fmt: skip
"""Values that would give somebody more, if a field took them."""
ACTION_OF: Final = {
    "organisations": {Action.CHANGE_ORGANISATIONS, Action.CHANGE_CUSTOMERS},
    "customers": {Action.CREATE_CUSTOMERS, Action.CHANGE_CUSTOMERS},
    "plans": {Action.CHANGE_PLANS},
    "credits": {Action.CHANGE_CREDITS},
    "projects": {Action.CHANGE_PROJECTS},
    "keys": {Action.CHANGE_KEYS},
    "limits": {Action.CHANGE_LIMITS},
    "members": {Action.CHANGE_MEMBERS},
}  # fmt: skip
"""First word of a row of the audit log -> actions, one of which allows such a change."""


def bodies() -> Iterator[tuple[str, str, str, dict[str, Any]]]:
    """Yield method, path, the name of a field and the schema of the whole body, for each field there is."""
    for path, item in DOCUMENT["paths"].items():
        for method, operation in item.items():
            content = operation.get("requestBody", {}).get("content", {})
            if content:
                name = content["application/json"]["schema"]["$ref"].rpartition("/")[2]
                schema = DOCUMENT["components"]["schemas"][name]
                for field in schema["properties"]:
                    yield method.upper(), path, field, schema


def plain(schema: dict[str, Any]) -> dict[str, Any]:
    """Return a body with what a schema requires, about the customer that the member sees."""
    known = {
        "customer": "inside", "id": "new", "role": "viewer", "measure": "tokens", "amount": 5,
        "reason": "r", "terms": {"currency": "USD", "price": []},
    }  # fmt: skip
    return {name: known[name] for name in schema.get("required", ())}


@pytest.mark.parametrize(("role", "scope"), LESSER)
def test_no_field_of_the_admin_api_gives_a_lesser_member_more(
    role: Role, scope: str, tmp_path: Path, run: Run
) -> None:
    """Each field of each body, set by each lesser role to what would raise it.

    Whatever was answered: no row of the audit log is by this member for a change that the table of roles
    does not allow it, or on what it may not see; and it is itself what it was.
    """

    async def story() -> None:
        async with open_admin(tmp_path) as admin:
            names = await _things(admin)
            token = admin.token(role, scope)
            me = await admin.done("GET", "/admin/v1/me", token=token)
            before = len((await admin.done("GET", "/admin/v1/audit?limit=200"))["data"])
            for method, path, field, schema in bodies():
                target = path.format(**names)
                about_customer = "customer" in schema["properties"]
                for value in REACHING:
                    body = {**plain(schema), field: value}
                    answer = await admin.call(method, target, body, token=token)
                    assert answer.status in {200, 201, 400, 403, 404, 422}, (target, body)
                    if about_customer and body.get("customer") == "outside" and scope != "whole":
                        assert answer.status in {400, 403, 404}, (target, body, answer.body)
            with closing(admin.accounts()) as accounts:
                rows = [one for one in accounts.audit(before) if one.who == me["id"]]
                for row in rows:
                    noun = row.action.partition(" ")[0]
                    allowed = {one for one in ACTION_OF[noun] if _may(role, scope, one)}
                    assert allowed, (row.action, row.after)
                    assert scope == "whole" or row.customer != "outside", row
                for key in accounts.keys():
                    if not _may(role, scope, Action.GRANT_KEYS):
                        assert _is_plain(key), key
                [still] = [one for one in accounts.members() if one.id == me["id"]]
                told = (still.role, still.organisation, still.customer, still.withdrawn_ns)
            assert told == (role, me["organisation"], me["customer"], None)

    run(story())


def _may(role: Role, scope: str, action: Action) -> bool:
    return action in ROLES[role] and (scope == "whole" or action not in WHOLE_ONLY)


def _is_plain(key: Key) -> bool:
    """Return whether a key may make calls that are paid for, and nothing else."""
    rights = (key.reporter, key.monitor, key.log_content, key.ours, key.tells_cost, key.sources)
    return not any(rights) and {key.purpose, *key.allowed} == {Purpose.SERVE_PAID}


async def _things(admin: AdminServer) -> dict[str, str]:
    """Make one of each thing that a path names, inside; return the names by parameter."""
    v1 = "/admin/v1"
    project = await admin.done("POST", f"{v1}/customers/inside/projects", {"id": "search"})
    body = {"customer": "inside", "project": "search"}
    key = await admin.done("POST", f"{v1}/keys", body)
    member = {"role": "viewer", "name": "n", "customer": "inside"}
    member = await admin.done("POST", f"{v1}/members", member)
    limit = {"customer": "inside", "measure": "tokens", "amount": 5}
    limit = await admin.done("POST", f"{v1}/limits", limit)
    credit = await admin.done("POST", f"{v1}/customers/inside/credits", {"amount": "5"})
    return {
        "organisation": "group", "customer": "inside", "project": project["id"], "key": key["id"],
        "member": member["id"], "limit": limit["id"], "credit": credit["id"], "plan": "0" * 20,
        "token": "token_x",
    }  # fmt: skip


# --- the gateway's port -------------------------------------------------------------------------------


def test_a_key_in_the_query_string_is_none(run: Run) -> None:
    """The answer is that to no key at all, and the key is neither kept nor reported."""
    seen: list[RefusedRequest] = []

    async def main() -> None:
        async with open_gateway(on_refused=seen.append) as (gateway, upstream):
            for name in ("api_key", "api-key", "key", "token", "access_token", "authorization"):
                for path in ("/v1/models", "/v1/usage", "/v1/limits", "/metrics"):
                    answer = await gateway.ask("GET", f"{path}?{name}={gateway.secret}", secret="")
                    assert answer.status == 401
                    assert gateway.secret.encode() not in answer.body
                body = msgspec.json.encode(CHAT)
                path = f"/v1/chat/completions?{name}={gateway.secret}"
                assert (await gateway.ask("POST", path, body, secret="")).status == 401
            assert gateway.secret not in repr(seen)
            assert len(seen) == 6 * 5
            assert upstream.received == []

    run(main())


@pytest.mark.parametrize("text", SQL)
def test_sql_in_headers_and_queries_is_text(text: str, tmp_path: Path, run: Run) -> None:
    """In any header or parameter: no key is found, no row is told, none is changed."""
    folder = DataFolder(tmp_path / "data")
    folder.create()
    with closing(SqliteAccounts(folder.accounts)) as accounts:
        accounts.add_customer(Customer(ACME, 1))
    settings = Config(
        gateway=Gateway(port=0), data=Data(folder=str(folder.path)), engine=Engine(replicas=0)
    )

    async def main() -> None:
        async with open_platform(settings, {}) as platform:
            secret = platform.first_key or ""
            for headers in (
                {"authorization": f"Bearer {text}"}, {"x-api-key": text}, {"api-key": text},
                {"authorization": f"Bearer {secret[:20]}{text}"}, {"x-api-key": secret + text},
            ):  # fmt: skip
                answer = await asked(platform.url, "GET", "/v1/usage?start_time=0", headers)
                assert answer.status == 401
                assert answer.json["error"]["code"] in {"invalid_api_key", None}
            own = {"x-api-key": secret}
            for name in ("openai-organization", "openai-project", "anthropic-version", "x-client"):
                answer = await asked(platform.url, "GET", "/v1/limits", {**own, name: text})
                assert (answer.status, answer.json["data"]) == (200, [])
            quoted = "".join(f"%{byte:02x}" for byte in text.encode())
            for name in ("models", "project_ids", "api_key_ids"):
                path = f"/v1/usage?start_time=0&limit=1&{name}={quoted}"
                answer = await asked(platform.url, "GET", path, own)
                assert (answer.status, answer.json["data"][0]["results"]) == (200, [])
            for name in ("group_by", "page", "start_time", quoted):
                path = f"/v1/usage?start_time=0&{name}={quoted}"
                assert (await asked(platform.url, "GET", path, own)).status == 400
        with closing(SqliteAccounts(folder.accounts)) as accounts:
            assert [one.id for one in accounts.customers()] == ["acme", "default"]
            assert len(accounts.keys()) == 1

    run(main())


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1:1", "localhost.evil.example", "admin"])
def test_a_host_header_changes_nothing_at_the_gateway(host: str, run: Run) -> None:
    """The host chooses neither what is served nor who is asked; only the page for people shows it."""

    async def main() -> None:
        async with open_gateway() as (gateway, upstream):
            forwarded = {"host": host, "x-forwarded-host": host, "forwarded": f"host={host}"}
            answer = await gateway.chat(CHAT, headers=forwarded)
            assert answer.status == 200
            assert host.encode() not in {*upstream.received[-1].headers.values()}
            for path in ("/v1/usage?start_time=0&limit=1", "/v1/limits", "/v1/models"):
                plain_answer = await gateway.ask("GET", path)
                found = await gateway.ask("GET", path, headers=forwarded)
                assert found.status == plain_answer.status == 200
                assert host.encode() not in found.body
            assert (
                await gateway.ask("GET", "/v1/models", headers=forwarded, secret="")
            ).status == 401

    run(main())


@pytest.mark.parametrize(
    "path",
    [
        "/admin", "/admin/", "/admin/v1/me", "//admin/v1/me", "/admin/../v1/models", "/v1/../admin/v1/me",
        "/%61dmin/v1/me", "/v1/%2e%2e/admin/v1/me", "/v1/models/../../admin/v1/keys",
        "/admin/v1/openapi.json",
        "/admin%2fv1%2fme", "/v1/models;/admin/v1/me", "/V1/../ADMIN/v1/me", "/v1/usage/../limits",
        "/v1/usage/", "/v1//usage", "/v1/usage%2f..%2flimits",
    ],
)  # fmt: skip
def test_no_path_of_the_gateway_is_the_admin_api(path: str, tmp_path: Path, run: Run) -> None:
    """With a key, with a member's token, with both: nothing is there, and nothing is resolved."""

    async def main() -> None:
        async with open_admin(tmp_path) as admin, open_gateway() as (gateway, _):
            token = admin.token()
            for headers, secret in (({}, None), ({"authorization": f"Bearer {token}"}, "")):
                answer = await gateway.ask("GET", path, headers=headers, secret=secret)
                assert answer.status in {401, 404}, answer.body
                assert token.encode() not in answer.body

    run(main())


# --- keys ---------------------------------------------------------------------------------------------


class CountedReads(StubAccounts):
    """Accounts that count what a gateway asks of them."""

    asked = 0

    def secret_hash(self, key_id: KeyId) -> bytes:
        """Return the hash of a key's secret."""
        self.asked += 1
        return super().secret_hash(key_id)

    def key(self, key_id: KeyId) -> Key | None:
        """Return a key."""
        self.asked += 1
        return super().key(key_id)

    def key_by_hash(self, secret_hash: bytes) -> Key | None:
        """Return a key of the old form."""
        self.asked += 1
        return super().key_by_hash(secret_hash)


def test_a_million_wrong_keys_cost_what_they_are_and_no_more() -> None:
    """One look-up each and nothing kept, so a million cost a thousand times what a thousand do."""
    accounts = CountedReads()
    accounts.add_customer(Customer(ACME, 1))
    key, secret = mint(ACME, 1, pepper=A_PEPPER)
    accounts.add_key(key)

    def wrong(number: int) -> str:
        guess = f"{number:052x}"
        forms = (f"iw_{guess[-16:].translate(LETTERS)}_{guess[-43:]}", f"iw_{guess[-43:]}", guess)
        return forms[number % 3] if number % 7 else secret[:20] + guess[-43:]

    with closing(KeyRing(accounts, A_PEPPER)) as ring:
        assert ring.find(secret) == key
        assert not any(map(ring.find, map(wrong, range(1_000))))
        tracemalloc.start()
        counts, held = [], []
        for begin, end in ((1_000, 2_000), (2_000, 6_000), (6_000, 22_000)):
            accounts.asked = 0
            assert not any(ring.find(wrong(number)) for number in range(begin, end))
            counts.append(accounts.asked / (end - begin))
            held.append(tracemalloc.get_traced_memory()[0])
        tracemalloc.stop()
        assert max(counts) <= 1
        assert max(counts) - min(counts) < 0.01
        assert max(held) - min(held) < 20_000, "sixteen times as many leave no more behind"
        assert ring.find(secret) == key


LETTERS: Final = str.maketrans("0123456789abcdef", "abcdefghijklmnop")


def test_a_revoked_key_is_replayed_at_other_processes_in_vain(tmp_path: Path) -> None:
    """Each process that had it in memory refuses it from its next look on; one that had not, at once."""
    path = tmp_path / "accounts.db"
    with closing(SqliteAccounts(path)) as accounts:
        accounts.add_customer(Customer(ACME, 1))
        key, secret = mint(ACME, 1, pepper=A_PEPPER)
        other, other_secret = mint(ACME, 1, pepper=A_PEPPER)
        accounts.add_key(key, other)

    async def main() -> None:
        stores = [FollowedAccounts(path) for _ in range(3)]
        rings = [KeyRing(store, A_PEPPER) for store in stores]
        for ring in rings[:2]:  # as two workers; the third comes later
            for one in (secret, other_secret):
                found = ring.find(one)
                assert found is not None
                assert found.revoked_ns is None
        with closing(SqliteAccounts(path)) as accounts:
            accounts.revoke_key(key.id, 2)
        for ring in rings[:2]:
            await ring.look()
        for ring in rings:
            found, kept = ring.find(secret), ring.find(other_secret)
            assert found is not None
            assert found.revoked_ns == 2
            assert kept is not None
            assert kept.revoked_ns is None
        for one in (*rings, *stores):
            one.close()

    asyncio.run(main())


async def asked(url: str, method: str, path: str, headers: dict[str, str]) -> Answered:
    """Return what a platform answers."""
    origin = Origin.parse(url)
    reader, writer = await asyncio.open_connection(origin.host, origin.port)
    fields = {"host": "localhost", "connection": "close", **headers}
    lines = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
    writer.write(f"{method} {path} HTTP/1.1\r\n{lines}\r\n".encode("latin-1"))
    found = parse_answer(await reader.read())
    writer.close()
    return found


# --- the table ----------------------------------------------------------------------------------------

ROW = re.compile(
    r"^\| (?P<attack>[^|]+) \| (?P<happens>[^|]+) \| (?P<tests>`[^|]+`) \|$", re.MULTILINE
)


def test_the_table_names_the_test_of_each_attack() -> None:
    """Each test that SECURITY.md names is there; and each test of this file stands in a row."""
    _, _, table = (ROOT / "SECURITY.md").read_text().partition("## Attacks that were tried")
    rows = ROW.findall(table.partition("\n## ")[0])
    assert len(rows) >= 10
    named = [test for _, _, tests in rows for test in re.findall(r"`([^`]+)`", tests)]
    for test in named:
        path, _, function = test.partition("::")
        functions = {
            one.name
            for one in ast.walk(ast.parse((ROOT / "tests" / path).read_text()))
            if isinstance(one, ast.FunctionDef)
        }
        assert function in functions, test
    own = {name for name in globals() if name.startswith("test_")}
    own -= {"test_the_table_names_the_test_of_each_attack"}
    assert {f"security/test_attacks.py::{name}" for name in own} <= set(named)
