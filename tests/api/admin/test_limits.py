"""Limits in the admin API: set, changed and withdrawn, with what is left of them."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from tests.support.admin_server import open_admin

from inferworks.accounts.limit import Limit, Measure, Scope, ScopeKind, Window
from inferworks.limits.ledger import Gateway, Want, draw
from inferworks.limits.limiter import account_id

pytestmark = pytest.mark.slow

Run = Callable[[Coroutine[Any, Any, None]], None]
LIMITS = "/admin/v1/limits"


def test_a_limit_is_set_changed_and_withdrawn(tmp_path: Path, run: Run) -> None:
    """The accounts have it as a command sets it; it tells what is used, and stays on record."""

    async def story() -> None:
        async with open_admin(tmp_path) as admin:
            body = {"customer": "inside", "measure": "money", "amount": "100.50", "window": "month",
                    "zone": "Europe/Berlin"}  # fmt: skip
            made = await admin.done("POST", LIMITS, body)
            told = {name: made[name] for name in ("customer", "key", "amount", "currency", "hard")}
            assert told == {
                "customer": "inside", "key": None, "amount": "100.50", "currency": "USD",
                "hard": True,
            }  # fmt: skip
            assert (made["used"], made["left"], made["revision"]) == ("0.00", "100.50", 1)
            assert made["begins"] < made["ends"]
            with closing(admin.accounts()) as accounts:
                [limit] = accounts.limits()
            start_ns = limit.window_ns(limit.created_ns)[0]
            want = Want(
                account_id(limit, start_ns), limit.amount, 1, 0, False, "s", 5 * 10**11, 5 * 10**11
            )
            admin.limits.store.transact(
                lambda rows: draw(rows, Gateway("run", "place", "boot", 0), [want])
            )
            one = f"{LIMITS}/{limit.id}"
            found = await admin.done("GET", one)
            assert (found["used"], found["left"]) == ("0.50", "100.00")
            changed = await admin.done("PATCH", one, {"warn": [80, 50, 80]})
            assert (made["warn"], changed["warn"], changed["revision"]) == ([], [50, 80], 2)
            changed = await admin.done("PATCH", one, {"amount": "0.25", "hard": False})
            assert (changed["amount"], changed["left"], changed["hard"], changed["revision"]) == (
                "0.25", "0.00", False, 3,
            )  # fmt: skip
            gone = await admin.done("POST", f"{one}/withdraw")
            assert gone["withdrawn"] is not None
            assert await admin.done("POST", f"{one}/withdraw") == gone
            assert (await admin.call("PATCH", one, {"amount": "1"})).status == 422
            admin.limits.store.unreachable = True
            [away] = (await admin.done("GET", LIMITS))["data"]
            assert (away["used"], away["left"], away["amount"]) == (None, None, "0.25")
            rows = (await admin.done("GET", "/admin/v1/audit?limit=200"))["data"]
            assert [row["action"] for row in rows[-4:]] == [
                "limits create", "limits change", "limits change", "limits change",
            ]  # fmt: skip
            assert {row["customer"] for row in rows[-3:]} == {"inside"}

    run(story())


def test_a_limit_is_on_one_thing(tmp_path: Path, run: Run) -> None:
    """On a key, a project, a customer or an organisation; each is found page by page, by who may see it."""

    async def story() -> None:
        async with open_admin(tmp_path) as admin:
            key = await admin.done("POST", "/admin/v1/keys", {"customer": "inside"})
            its = {"measure": "tokens", "amount": 9, "window": "minute"}
            scopes = (
                {"key": key["id"]}, {"customer": "inside", "project": "search"},
                {"customer": "inside"}, {"organisation": "group"}, {"customer": "outside"},
            )  # fmt: skip
            made = [await admin.done("POST", LIMITS, its | scope) for scope in scopes]
            for limit, scope in zip(made, scopes, strict=True):
                assert {name: limit[name] for name in scope} == scope
            for path, wanted in (
                (LIMITS, made), (f"{LIMITS}?customer=inside", made[:3]),
                (f"{LIMITS}?customer=outside", made[4:]),
            ):  # fmt: skip
                found, after = [], ""
                while after is not None:
                    sign = "&" if "?" in path else "?"
                    page = await admin.done("GET", f"{path}{sign}limit=2&after={after}")
                    found += page["data"]
                    after = page["next"]
                assert sorted(found, key=str) == sorted(wanted, key=str)
            soft = await admin.done("POST", LIMITS, its | {"customer": "inside", "hard": False})
            assert soft["warn"] == [100]
            for wrong in (
                {"customer": "inside", "warn": [0]}, {"customer": "inside", "warn": [101]},
                {"customer": "inside", "warn": list(range(1, 12))},
                {}, {"project": "search"}, {"key": key["id"], "customer": "inside"},
                {"organisation": "group", "project": "search"}, {"customer": "inside", "amount": "9"},
                {"customer": "inside", "measure": "money"}, {"customer": "inside", "currency": "EUR"},
                {"customer": "inside", "amount": -1}, {"customer": "inside", "amount": 10**19},
                {"customer": "inside", "measure": "money", "amount": "9" * 41},
            ):  # fmt: skip
                answer = await admin.call("POST", LIMITS, its | wrong)
                assert (answer.status, answer.json["error"]["code"]) == (400, "invalid_request")
            for refused in (
                {"zone": "Mars/Olympus"}, {"amount": 0}, {"measure": "calls"},
                {"measure": "money", "amount": "x"}, {"measure": "money", "amount": "-1"},
            ):  # fmt: skip
                answer = await admin.call("POST", LIMITS, its | {"customer": "inside"} | refused)
                assert (answer.status, answer.json["error"]["code"]) == (422, "refused"), refused
            headers = {"idempotency-key": "one"}
            body = its | {"customer": "inside"}
            first = await admin.done("POST", LIMITS, body, headers=headers)
            assert await admin.done("POST", LIMITS, body, headers=headers) == first
            assert len((await admin.done("GET", LIMITS))["data"]) == 7

    run(story())


def test_a_prepaid_limit_is_the_credit(tmp_path: Path, run: Run) -> None:
    """Its amount is what the customer has bought, and no request sets another."""

    async def story() -> None:
        async with open_admin(tmp_path) as admin:
            limit = Limit(
                id="limit_p", scope=Scope(ScopeKind.CUSTOMER, "inside"), measure=Measure.MONEY,
                window=Window.TOTAL, amount=0, currency="USD", spent_before=10**12,
            )  # fmt: skip
            with closing(admin.accounts()) as accounts:
                accounts.add_limit(limit)
            await admin.done("POST", "/admin/v1/customers/inside/credits", {"amount": "5.00"})
            one = f"{LIMITS}/limit_p"
            found = await admin.done("GET", one)
            assert (found["prepaid"], found["amount"], found["revision"]) == (True, "4.00", 1)
            assert found["left"] == "4.00"
            for body in ({"amount": "9.00"}, {"hard": False}):
                assert (await admin.call("PATCH", one, body)).status == 422
            changed = await admin.done("PATCH", one, {"warn": [90]})
            assert (changed["amount"], changed["warn"], changed["revision"]) == ("4.00", [90], 2)

    run(story())
