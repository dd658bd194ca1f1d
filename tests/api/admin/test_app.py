"""The admin API over HTTP: what each request does, who may, and what an attacker gets."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace
from tests.support.admin_server import AdminServer, open_admin

from inferworks.accounts.audit import verify
from inferworks.accounts.customer import CustomerFact
from inferworks.accounts.key import Grant, mint
from inferworks.accounts.member import mint_token
from inferworks.accounts.roles import ROLES, WHOLE_ONLY, Action, Role
from inferworks.api.admin.routes import ROUTES
from inferworks.ids import CustomerId
from inferworks.testing.facts import A_PEPPER

pytestmark = pytest.mark.slow

Run = Callable[[Coroutine[Any, Any, None]], None]
V1 = "/admin/v1"
TERMS = {
    "currency": "USD",
    "price": [
        {"unit": "input_tokens", "per_million": "0.50"},
        {"unit": "output_tokens", "per_million": "1.50"},
    ],
}


def test_accounts_are_kept_from_organisation_to_key(tmp_path: Path, run: Run) -> None:
    """Each thing is made, read and changed, and the log has a row of each change with its author."""

    async def story() -> None:
        async with open_admin(tmp_path) as admin:
            me = await admin.done("GET", f"{V1}/me")
            assert (me["role"], me["kind"], me["organisation"]) == ("owner", "service", None)
            made = await admin.done("POST", f"{V1}/organisations", {"id": "acme-group"})
            assert (made["id"], made["closed"]) == ("acme-group", None)
            customer = {"id": "acme", "name": "Acme", "organisation": "acme-group"}
            made = await admin.done("POST", f"{V1}/customers", customer)
            assert (made["name"], made["organisation"], made["counts_as"]) == (
                "Acme", "acme-group", "acme",
            )  # fmt: skip
            answer = await admin.call("PATCH", f"{V1}/organisations/acme-group", {"closed": True})
            assert (answer.status, answer.json["error"]["code"]) == (422, "refused")
            changed = {"organisation": None, "legal_name": "Acme SE", "reason": "as they sign"}
            made = await admin.done("PATCH", f"{V1}/customers/acme", changed)
            assert (made["name"], made["legal_name"], made["organisation"]) == (
                "Acme", "Acme SE", None,
            )  # fmt: skip
            made = await admin.done("PATCH", f"{V1}/organisations/acme-group", {"closed": True})
            assert made["closed"] is not None
            await admin.done("POST", f"{V1}/customers/acme/projects", {"id": "search"})
            wrong = {"customer": "acme", "project": "serach"}
            assert (await admin.call("POST", f"{V1}/keys", wrong)).status == 422
            key = await admin.done("POST", f"{V1}/keys", wrong | {"project": "search"})
            assert key["key"].startswith("iw_")
            shown = await admin.done("GET", f"{V1}/keys/{key['id']}")
            assert (shown["project"], shown["hint"]) == ("search", key["key"][-4:])
            assert key["key"] not in str(shown)
            rotated = await admin.done("POST", f"{V1}/keys/{key['id']}/rotate", {"overlap_s": 60})
            assert rotated["key"] != key["key"]
            revoked = await admin.done("POST", f"{V1}/keys/{key['id']}/revoke")
            assert revoked["revoked"] is not None
            plan = await admin.done("POST", f"{V1}/customers/acme/plans", {"terms": TERMS})
            assert plan["terms"]["prices"][0]["unit"] == "input_tokens"
            later = {"terms": TERMS, "effective": "2199-01-01T00:00:00Z"}
            later = await admin.done("POST", f"{V1}/customers/acme/plans", later)
            for moment in ("2999-01-01T00:00:00Z", "2199-01-01T00:00:00", "0001-01-01T00:00:00Z"):
                beyond = {"terms": TERMS, "effective": moment}
                assert (
                    await admin.call("POST", f"{V1}/customers/acme/plans", beyond)
                ).status == 400
                beyond = {"customer": "acme", "expires": moment}
                assert (await admin.call("POST", f"{V1}/keys", beyond)).status == 400
            past = {"terms": TERMS, "effective": "2020-01-01T00:00:00Z"}
            assert (await admin.call("POST", f"{V1}/customers/acme/plans", past)).status == 422
            withdraw = f"{V1}/customers/acme/plans/{later['id']}/withdraw"
            assert (await admin.done("POST", withdraw))["id"] == later["id"]
            begun = f"{V1}/customers/acme/plans/{plan['id']}/withdraw"
            assert (await admin.call("POST", begun)).status == 422
            credit = await admin.done("POST", f"{V1}/customers/acme/credits", {"amount": "100.00"})
            assert (credit["amount"], credit["currency"]) == ("100.00", "USD")
            void = f"{V1}/customers/acme/credits/{credit['id']}/void"
            assert (await admin.done("POST", void, {"reason": "a slip"}))["voided"] is not None
            rows = (await admin.done("GET", f"{V1}/audit?limit=200"))["data"]
            assert {row["who"] for row in rows[-3:]} == {me["id"]}
            assert rows[-1]["origin"] == "admin API 127.0.0.1"
            assert rows[-1]["after"]["reason"] == "a slip"
            assert rows[-1]["before"]["reason"] == ""
            assert key["key"] not in str(rows)
            with closing(admin.accounts()) as accounts:
                assert verify(accounts.audit(), accounts.audit_head()) == len(rows)

    run(story())


def test_a_member_and_its_token_come_and_go(tmp_path: Path, run: Run) -> None:
    """A token works until it is revoked, has expired, or its member is withdrawn; all answers are alike."""

    async def story() -> None:
        async with open_admin(tmp_path) as admin:
            body = {"role": "viewer", "name": "Ann", "email": "ann@example.com"}
            ann = await admin.done("POST", f"{V1}/members", body)
            tokens = f"{V1}/members/{ann['id']}/tokens"
            first, second, third = [await admin.done("POST", tokens, {}) for _ in range(3)]
            assert (await admin.done("GET", f"{V1}/me", token=first["token"]))["id"] == ann["id"]
            await admin.done("POST", f"{tokens}/{first['id']}/revoke")
            with closing(admin.accounts()) as accounts:
                old, secret = mint_token(ann["id"], 1, days=1)
                accounts.add_member_token(old)
            await admin.done("PATCH", f"{V1}/members/{ann['id']}", {"role": "developer"})
            changed = await admin.done("GET", f"{V1}/me", token=second["token"])
            assert changed["role"] == "developer"
            refused = [
                await admin.call("GET", f"{V1}/me", token=token)
                for token in (first["token"], secret, "iwm_" + "A" * 43, "iwm_short", "")
            ]
            await admin.done("POST", f"{V1}/members/{ann['id']}/withdraw")
            refused.append(await admin.call("GET", f"{V1}/me", token=third["token"]))
            assert {(one.status, one.body) for one in refused} == {(401, refused[0].body)}
            assert refused[0].headers["www-authenticate"].startswith("Bearer")
            assert (await admin.call("POST", tokens, {})).status == 422

    run(story())


def test_a_member_is_told_nothing_of_what_is_outside_its_scope(tmp_path: Path, run: Run) -> None:
    """An address that another has is refused without who that is; who a customer counts as is left out."""

    async def story() -> None:
        async with open_admin(tmp_path) as admin:
            token = admin.token(Role.OWNER, "group")
            there, here = "bob@example.com", "ann@example.com"
            bob = await admin.done("POST", f"{V1}/members", {"role": "viewer", "email": there})
            new = {"role": "viewer", "organisation": "group"}
            ann = await admin.done("POST", f"{V1}/members", new | {"email": here}, token=token)
            for email, told in ((there.upper(), False), (here, True)):
                answer = await admin.call(
                    "POST", f"{V1}/members", new | {"email": email}, token=token
                )
                assert answer.status == 422
                assert bob["id"] not in str(answer.json)
                assert (ann["id"] in str(answer.json)) is told
                assert ("is a member" in str(answer.json)) is told
            answer = await admin.call(
                "PATCH", f"{V1}/members/{ann['id']}", {"email": there}, token=token
            )
            assert "cannot be used" in answer.json["error"]["message"]
            with closing(admin.accounts()) as accounts:
                merged = CustomerId("outside")
                fact = CustomerFact(
                    customer=CustomerId("inside"),
                    effective_ns=1,
                    recorded_ns=1,
                    by="",
                    merged_into=merged,
                )
                accounts.add_fact(fact)
            whole = await admin.done("GET", f"{V1}/customers/inside")
            part = await admin.done("GET", f"{V1}/customers/inside", token=token)
            assert (whole["counts_as"], part["counts_as"]) == ("outside", None)

    run(story())


def test_an_amount_is_digits_and_a_point(tmp_path: Path, run: Run) -> None:
    """Of credit and of limits, as on the command line."""

    async def story() -> None:
        async with open_admin(tmp_path) as admin:
            for amount in ("1e3", " 1 ", "+5", "9" * 23, "1.", ".5", "1_000", "-1", "١"):
                limit = {"customer": "inside", "measure": "money", "amount": amount}
                for path, body in (
                    ("customers/inside/credits", {"amount": amount}), ("limits", limit),
                ):  # fmt: skip
                    answer = await admin.call("POST", f"{V1}/{path}", body)
                    assert (answer.status, answer.json["error"]["code"]) == (422, "refused"), amount

    run(story())


def test_a_list_is_read_page_by_page(tmp_path: Path, run: Run) -> None:
    """Each record comes once, in order, also when others are added meanwhile."""

    async def story() -> None:
        async with open_admin(tmp_path) as admin:
            for number in range(5):
                await admin.done("POST", f"{V1}/customers", {"id": f"c{number}"})
            found, after = [], ""
            while after is not None:
                page = await admin.done("GET", f"{V1}/customers?limit=2&after={after}")
                assert len(page["data"]) <= 2
                found += [one["id"] for one in page["data"]]
                after = page["next"]
            assert found == ["c0", "c1", "c2", "c3", "c4", "inside", "outside"]
            for query in ("limit=0", "limit=201", "limit=x", "nothing=1", "limit=1&limit=2",
                          "token=iwm_x", "&".join(f"a{n}=1" for n in range(99)), "limit"):  # fmt: skip
                answer = await admin.call("GET", f"{V1}/customers?{query}")
                assert (answer.status, answer.json["error"]["code"]) == (400, "invalid_request")

    run(story())


def on_disk(folder: Path) -> bytes:
    """Everything that lies in `folder`."""
    return b"".join(one.read_bytes() for one in folder.iterdir())


def put_away(folder: Path, away: Path) -> None:
    """Move the accounts from one folder to another."""
    away.mkdir(exist_ok=True)
    for one in list(folder.glob("accounts.db*")):
        one.rename(away / one.name)


def asked(
    customer: str, member: str, key: str, limit: str, group: str
) -> dict[Action, list[tuple[Any, ...]]]:
    """Return requests for each action, about a customer, and things that are its."""
    one = f"{V1}/customers/{customer}"
    return {
        Action.READ_ORGANISATIONS: [("GET", f"{V1}/organisations/{group}")],
        Action.CHANGE_ORGANISATIONS: [("PATCH", f"{V1}/organisations/{group}", {"name": "n"})],
        Action.READ_CUSTOMERS: [("GET", one)],
        Action.CHANGE_CUSTOMERS: [("PATCH", one, {"name": "n"})],
        Action.READ_PROJECTS: [("GET", f"{one}/projects")],
        Action.CHANGE_PROJECTS: [("POST", f"{one}/projects", {"id": "PROJECT"})],
        Action.READ_KEYS: [("GET", f"{V1}/keys/{key}"), ("GET", f"{V1}/keys?customer={customer}")],
        Action.CHANGE_KEYS: [
            ("POST", f"{V1}/keys", {"customer": customer}),
            ("POST", f"{V1}/keys/{key}/rotate", {"overlap_s": 9}),
        ],
        Action.GRANT_KEYS: [
            ("POST", f"{V1}/keys", {"customer": customer, **right})
            for right in (
                {"reporter": True}, {"sources": ["*"]}, {"ours": True}, {"tells_cost": True},
                {"monitor": True}, {"log_content": True}, {"purpose": "serve-free"},
                {"allowed": ["serve-internal"]},
            )
        ],
        Action.READ_PLANS: [("GET", f"{one}/plans")],
        Action.CHANGE_PLANS: [("POST", f"{one}/plans", {"terms": TERMS})],
        Action.READ_CREDITS: [("GET", f"{one}/credits")],
        Action.CHANGE_CREDITS: [("POST", f"{one}/credits", {"amount": "1"})],
        Action.READ_USAGE: [("GET", f"{V1}/usage?customer={customer}&start_time=0&end_time=9")],
        Action.READ_LIMITS: [
            ("GET", f"{V1}/limits/{limit}"), ("GET", f"{V1}/limits?customer={customer}"),
        ],
        Action.CHANGE_LIMITS: [
            ("POST", f"{V1}/limits", {"customer": customer, "measure": "tokens", "amount": 9}),
            ("POST", f"{V1}/limits", {"key": key, "measure": "tokens", "amount": 9}),
            ("PATCH", f"{V1}/limits/{limit}", {"amount": 8}),
            ("POST", f"{V1}/limits/{limit}/withdraw"),
        ],
        Action.READ_MEMBERS: [
            ("GET", f"{V1}/members/{member}"), ("GET", f"{V1}/members/{member}/tokens"),
        ],
        Action.CHANGE_MEMBERS: [
            ("POST", f"{V1}/members", {"role": "owner", "name": "n", "customer": customer}),
            ("PATCH", f"{V1}/members/{member}", {"name": "n"}),
            ("POST", f"{V1}/members/{member}/tokens", {}),
        ],
    }  # fmt: skip


async def things(admin: AdminServer, customer: str) -> tuple[str, str, str]:
    """Make a member, a key and a limit of a customer; their ids."""
    body = {"role": "owner", "name": "n", "customer": customer}
    member = await admin.done("POST", f"{V1}/members", body)
    key = await admin.done("POST", f"{V1}/keys", {"customer": customer})
    body = {"key": key["id"], "measure": "requests", "amount": 7, "window": "day"}
    limit = await admin.done("POST", f"{V1}/limits", body)
    return member["id"], key["id"], limit["id"]


@pytest.mark.parametrize("scope", ["whole", "group", "customer"])
@pytest.mark.parametrize("role", Role)
def test_each_cell_of_the_table_of_roles(role: Role, scope: str, tmp_path: Path, run: Run) -> None:
    """Requests that a cell allows are done, the rest is 403, and a neighbour's thing is 404 either way."""

    async def story() -> None:
        async with open_admin(tmp_path) as admin:
            token = admin.token(role, scope)
            inside = asked("inside", *await things(admin, "inside"), "group")
            outside = asked("outside", *await things(admin, "outside"), "other-group")
            for action, requests in inside.items():
                is_group = action in {Action.READ_ORGANISATIONS, Action.CHANGE_ORGANISATIONS}
                allowed = action in ROLES[role] and (scope == "whole" or action not in WHOLE_ONLY)
                for number, (method, path, *body) in enumerate(requests):
                    if body and body[0].get("id") == "PROJECT":
                        body = [{"id": f"p{number}"}]
                    answer = await admin.call(method, path, *body, token=token)
                    wanted = {200, 201} if allowed else {403}
                    if is_group and scope == "customer":
                        wanted = {404}
                    assert answer.status in wanted, (action, path, answer.body)
            if scope == "whole":
                return
            for action, requests in outside.items():
                for method, path, *body in requests:
                    answer = await admin.call(method, path, *body, token=token)
                    assert answer.status == 404, (action, path, answer.body)
                    unknown = path.replace("outside", "nobody").replace("other-group", "no-group")
                    sent = [
                        {**one, "customer": "nobody"} if "customer" in one else one for one in body
                    ]
                    same = await admin.call(method, unknown, *sent, token=token)
                    if not {"keys", "members", "limits"} & {*path.split("/")[:-1]}:
                        assert same.status == 404
                        assert same.body == answer.body.replace(b"outside", b"nobody").replace(
                            b"other-group", b"no-group"
                        )
            for path in ("customers", "keys", "members", "organisations", "limits"):
                answer = await admin.call("GET", f"{V1}/{path}?limit=200", token=token)
                assert b"outside" not in answer.body
                assert b"other-group" not in answer.body

    run(story())


def test_lists_and_new_things_go_by_the_table(tmp_path: Path, run: Run) -> None:
    """Requests about no customer: lists, the log, and what only the whole installation has."""

    async def story() -> None:
        async with open_admin(tmp_path) as admin:
            general = {
                Action.READ_ORGANISATIONS: ("GET", f"{V1}/organisations"),
                Action.CHANGE_ORGANISATIONS: ("POST", f"{V1}/organisations", {"id": "ROLE-SCOPE"}),
                Action.READ_CUSTOMERS: ("GET", f"{V1}/customers"),
                Action.CREATE_CUSTOMERS: ("POST", f"{V1}/customers", {"id": "ROLE-SCOPE"}),
                Action.READ_KEYS: ("GET", f"{V1}/keys"),
                Action.READ_LIMITS: ("GET", f"{V1}/limits"),
                Action.READ_MEMBERS: ("GET", f"{V1}/members"),
                Action.READ_AUDIT: ("GET", f"{V1}/audit"),
            }
            for role in Role:
                for scope in ("whole", "group", "customer"):
                    token = admin.token(role, scope)
                    for action, (method, path, *body) in general.items():
                        sent = [{"id": f"{role}-{scope}"}] if body else []
                        answer = await admin.call(method, path, *sent, token=token)
                        allowed = action in ROLES[role]
                        allowed &= scope == "whole" or action not in WHOLE_ONLY
                        assert (answer.status in {200, 201}) is allowed, (role, scope, action)
                        assert allowed or answer.status == 403

    run(story())


def test_no_field_raises_a_member_above_itself(tmp_path: Path, run: Run) -> None:
    """A member of a part cannot make one of more than that part, nor change who it is itself."""

    async def story() -> None:
        async with open_admin(tmp_path) as admin:
            owner = admin.token(Role.OWNER, "group")
            for beyond in (
                {}, {"organisation": "other-group"}, {"customer": "outside"}, {"organisation": None},
                {"customer": None, "organisation": None},
            ):  # fmt: skip
                body = {"role": "viewer", "name": "n", **beyond}
                answer = await admin.call("POST", f"{V1}/members", body, token=owner)
                assert answer.status in {403, 404}, beyond
            made = {"role": "owner", "name": "n", "customer": "inside"}
            member = await admin.done("POST", f"{V1}/members", made, token=owner)
            one = f"{V1}/members/{member['id']}"
            for field, value in (
                ("organisation", None), ("customer", None), ("customer", "outside"), ("id", "x"),
                ("scope", "whole"), ("withdrawn_ns", None), ("created_ns", 1), ("kind", "person"),
            ):  # fmt: skip
                answer = await admin.call("PATCH", one, {field: value}, token=owner)
                assert (answer.status, answer.json["error"]["code"]) == (400, "invalid_request")
            developer = admin.token(Role.DEVELOPER, "group")
            me = await admin.done("GET", f"{V1}/me", token=developer)
            for path in (f"{V1}/members/{me['id']}", one):
                answer = await admin.call("PATCH", path, {"role": "owner"}, token=developer)
                assert answer.status == 403
            assert (await admin.done("GET", f"{V1}/me", token=developer))["role"] == "developer"

    run(story())


def test_a_key_of_more_rights_is_not_had_by_rotating_it(tmp_path: Path, run: Run) -> None:
    """A developer may rotate plain keys; one that reports for everybody stays out of reach."""

    async def story() -> None:
        async with open_admin(tmp_path) as admin:
            with closing(admin.accounts()) as accounts:
                grant = Grant(sources=("*",), reporter=True)
                key, _ = mint(CustomerId("inside"), 1, grant, pepper=A_PEPPER)
                accounts.add_key(key)
            token = admin.token(Role.DEVELOPER, "customer")
            answer = await admin.call("POST", f"{V1}/keys/{key.id}/rotate", {}, token=token)
            assert (answer.status, answer.json["error"]["code"]) == (403, "forbidden")
            with closing(admin.accounts()) as accounts:
                assert accounts.keys() == [key]

    run(story())


@pytest.mark.parametrize(
    "route", [one for one in ROUTES if one.body is not None], ids=lambda one: one.path
)
def test_an_unknown_field_is_refused(route: Any, tmp_path: Path, run: Run) -> None:
    """No route takes a field that its type has not, whatever else is in the body."""

    async def story() -> None:
        async with open_admin(tmp_path) as admin:
            member, key, limit = await things(admin, "inside")
            path = route.path.format(limit=limit,
                organisation="group", customer="inside", project="p", key=key, plan="0" * 20,
                credit="credit_x", member=member, token="token_x",
            )  # fmt: skip
            for name in ("is_admin", "secret_sha256", "__proto__", "created_ns"):
                answer = await admin.call(route.method, path, {name: 1})
                assert (answer.status, answer.json["error"]["code"]) == (400, "invalid_request")
            for body in (b"", b"[]", b"null", b"{", b"\xff", b"[" * 30_000, b'{"a":' * 9_000):
                answer = await admin.call(route.method, path, body)
                assert answer.status == 400
            answer = await admin.call(route.method, path, b"x" * 70_000)
            assert answer.status == 413
            text = {"content-type": "text/plain"}
            assert (await admin.call(route.method, path, {}, headers=text)).status == 415

    run(story())


HOSTILE = (
    "' OR 1=1 --",
    "x'; DROP TABLE customer; --",
    '" UNION SELECT * FROM key --',
    "%",
    "_",
    "\\",
)


@pytest.mark.parametrize("text", HOSTILE)
def test_sql_is_text(text: str, tmp_path: Path, run: Run) -> None:
    """In a header, a field, a parameter or a path it finds nothing and changes nothing."""

    async def story() -> None:
        async with open_admin(tmp_path) as admin:
            body = {"customer": text, "name": text}
            assert (await admin.call("POST", f"{V1}/keys", body)).status == 404
            named = {"id": "quoted", "name": text, "reason": text}
            assert (await admin.done("POST", f"{V1}/customers", named))["name"] == " ".join(
                text.split()
            )
            headers = {"idempotency-key": text.replace(" ", "_")}
            made = {"role": "viewer", "name": text}
            first = await admin.done("POST", f"{V1}/members", made, headers=headers)
            assert await admin.done("POST", f"{V1}/members", made, headers=headers) == first
            quoted = "".join(f"%{byte:02x}" for byte in text.encode())
            page = await admin.done("GET", f"{V1}/customers?after={quoted}")
            assert [one["id"] for one in page["data"]] == [
                name for name in ("inside", "outside", "quoted") if name > text
            ]
            assert (await admin.call("GET", f"{V1}/customers/{quoted}")).status == 404
            assert (await admin.call("GET", f"{V1}/keys?customer={quoted}")).status == 404
            bad = {"authorization": f"Bearer {text}"}
            assert (await admin.call("GET", f"{V1}/me", token="", headers=bad)).status == 401
            with closing(admin.accounts()) as accounts:
                assert [one.id for one in accounts.customers()] == ["inside", "outside", "quoted"]
                assert accounts.keys() == []

    run(story())


@pytest.mark.parametrize(
    "path",
    [
        "/", "/admin", "/admin/", "/admin/v1", "/admin/v1/", "/admin/v2/customers",
        "/admin/v1/customers/", "/admin/v1//customers", "//admin/v1/customers",
        "/admin/v1/customers/../customers", "/admin/v1/./customers", "/admin/v1/customers/..",
        "/admin/v1/customers/%2e%2e/keys", "/admin/v1/customers/inside%2fprojects",
        "/admin/v1/customers/inside%00", "/admin/v1/customers;x=1", "/ADMIN/v1/customers",
        "/admin/v1/Customers", "/admin/v1/customers\\..\\keys", "/admin/v1/openapi.json/../me",
        "/admin/v1/customers/inside/projects/p/close/x", "/v1/chat/completions", "/metrics",
    ],
)  # fmt: skip
def test_a_path_means_itself_or_nothing(path: str, tmp_path: Path, run: Run) -> None:
    """Nothing is unescaped, folded or resolved: what is not in the table is not there."""

    async def story() -> None:
        async with open_admin(tmp_path) as admin:
            answer = await admin.call("GET", path)
            assert answer.status == 404, answer.body
            assert (await admin.call("GET", path, token="")).status == 401

    run(story())


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("localhost", 200), ("LOCALHOST:99", 200), ("127.0.0.1", 200), ("[::1]:8081", 200),
        ("10.1.2.3:80", 200), ("admin.example", 200), ("evil.example", 421),
        ("localhost.evil.example", 421),
        ("127.0.0.1.evil.example", 421), ("admin.example.evil.example", 421), ("localhost:80:80", 421),
        ("admin.example@evil.example", 421), ("", 421),
    ],
)  # fmt: skip
def test_a_host_of_another_name_is_refused(
    host: str, status: int, tmp_path: Path, run: Run
) -> None:
    """A name that a stranger can give to 127.0.0.1 gets nothing, token or not, nor the document."""

    async def story() -> None:
        async with open_admin(tmp_path, "admin.example") as admin:
            for path in ("me", "openapi.json"):
                answer = await admin.call("GET", f"{V1}/{path}", headers={"host": host})
                assert answer.status in {status, 400 if status == 421 else status}
            forwarded = {"x-forwarded-host": "localhost", "host": "evil.example"}
            assert (await admin.call("GET", f"{V1}/me", headers=forwarded)).status == 421
            head = f"GET http://evil.example{V1}/me HTTP/1.1\r\nhost: localhost\r\n\r\n"
            assert (await admin.raw(head.encode())).status == 400

    run(story())


def test_a_key_of_the_gateway_is_nothing_here(tmp_path: Path, run: Run) -> None:
    """A key is refused however it is shown; only a bearer token is looked at."""

    async def story() -> None:
        async with open_admin(tmp_path) as admin:
            made = await admin.done("POST", f"{V1}/keys", {"customer": "inside", "monitor": True})
            owner = admin.token()
            for headers in (
                {"authorization": f"Bearer {made['key']}"},
                {"x-api-key": made["key"]},
                {"x-api-key": owner},
                {"api-key": owner},
                {"authorization": f"Basic {owner}"},
                {"authorization": owner},
                {"cookie": f"token={owner}"},
            ):
                assert (
                    await admin.call("GET", f"{V1}/me", token="", headers=headers)
                ).status == 401
            answer = await admin.call("GET", f"{V1}/me?token={owner}", token="")
            assert answer.status == 401

    run(story())


def test_a_repeated_request_changes_nothing_twice(tmp_path: Path, run: Run) -> None:
    """The same answer comes, the secret included; another body, path or token is another request."""

    async def story() -> None:
        async with open_admin(tmp_path) as admin:
            headers, body = {"idempotency-key": "deploy-7"}, {"customer": "inside"}
            first = await admin.call("POST", f"{V1}/keys", body, headers=headers)
            again = await admin.call("POST", f"{V1}/keys", body, headers=headers)
            assert (first.status, first.body) == (again.status, again.body)
            secret = first.json["key"]
            for path, other in (
                (f"{V1}/keys", {"customer": "outside"}),
                (f"{V1}/keys", {"customer": "inside", "monitor": True}),
                (f"{V1}/customers", {"id": "new"}),
            ):
                answer = await admin.call("POST", path, other, headers=headers)
                assert (answer.status, answer.json["error"]["code"]) == (
                    409,
                    "idempotency_key_used",
                )
            developer = admin.token(Role.DEVELOPER, "group")
            mine = await admin.done("POST", f"{V1}/keys", body, headers=headers, token=developer)
            assert mine["key"] != secret
            with closing(admin.accounts()) as accounts:
                assert len(accounts.keys()) == 2
            assert secret.encode() not in on_disk(tmp_path), "no secret is at rest"
            for wrong in ("", "a b", "x" * 256, "\xe9"):
                answer = await admin.call(
                    "POST", f"{V1}/keys", body, headers={"idempotency-key": wrong}
                )
                assert answer.status == 400

    run(story())


def test_a_refusal_is_not_kept(tmp_path: Path, run: Run) -> None:
    """A request that changed nothing may be made again with its key when its cause is gone."""

    async def story() -> None:
        async with open_admin(tmp_path) as admin:
            headers, body = {"idempotency-key": "k"}, {"customer": "soon"}
            assert (await admin.call("POST", f"{V1}/keys", body, headers=headers)).status == 404
            await admin.done("POST", f"{V1}/customers", {"id": "soon"})
            await admin.done("POST", f"{V1}/keys", body, headers=headers)

    run(story())


def test_a_method_that_a_path_does_not_take(tmp_path: Path, run: Run) -> None:
    """The answer names those that it takes."""

    async def story() -> None:
        async with open_admin(tmp_path) as admin:
            answer = await admin.call("DELETE", f"{V1}/customers")
            assert (answer.status, answer.headers["allow"]) == (405, "GET, POST")
            overridden = {"x-http-method-override": "POST"}
            answer = await admin.call("GET", f"{V1}/customers", headers=overridden)
            assert "data" in answer.json

    run(story())


def test_accounts_that_cannot_be_used_are_said_so(tmp_path: Path, run: Run) -> None:
    """The answer is 503 and tells nothing of the file; afterwards all is as before."""

    async def story() -> None:
        async with open_admin(tmp_path) as admin:
            token, away = admin.token(), tmp_path / "away"
            put_away(tmp_path, away)
            (tmp_path / "accounts.db").mkdir()
            answer = await admin.call("GET", f"{V1}/me", token=token)
            assert (answer.status, answer.json["error"]["code"]) == (503, "unavailable")
            assert str(tmp_path) not in answer.body.decode()
            (tmp_path / "accounts.db").rmdir()
            put_away(away, tmp_path)
            await admin.done("GET", f"{V1}/me", token=token)

    run(story())


def test_a_withdrawn_member_is_no_author(tmp_path: Path, run: Run) -> None:
    """Its role is read anew for each request: a change of role holds from the next one on."""

    async def story() -> None:
        async with open_admin(tmp_path) as admin:
            token = admin.token(Role.DEVELOPER)
            await admin.done("POST", f"{V1}/keys", {"customer": "inside"}, token=token)
            with closing(admin.accounts()) as accounts:
                member = next(one for one in accounts.members() if one.role == Role.DEVELOPER)
                accounts.change_member(replace(member, role=Role.VIEWER))
            answer = await admin.call("POST", f"{V1}/keys", {"customer": "inside"}, token=token)
            assert answer.status == 403

    run(story())
