"""The admin API of a running platform: on its own port, when it is on, by the rules of the books."""

from __future__ import annotations

import asyncio
import http.client
import json
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import uvloop
from tests.support.command_line import document, run

from inferworks.accounts.author import process_author
from inferworks.accounts.pepper import load_pepper
from inferworks.accounts.stores.sqlite import SqliteAccounts
from inferworks.clock import SystemClock
from inferworks.config import Admin, Config, Data
from inferworks.folder import DataFolder
from inferworks.http.server import bind
from inferworks.supervise import Supervisor
from inferworks.wiring.admin import administering

pytestmark = pytest.mark.slow


def served(folder: Path, act: Callable[[int], object]) -> None:
    """Run the API over a data folder, and `act` on its port in a thread."""
    config = Config(data=Data(folder=str(folder)), admin=Admin(enabled=True, port=0))
    failures: list[BaseException] = []

    async def main() -> None:
        data = DataFolder(folder)
        with closing(SqliteAccounts(data.accounts, author=process_author())) as accounts:
            pepper = load_pepper(accounts, data.pepper)
        with closing(bind("127.0.0.1", 0)) as bound:
            port = bound.getsockname()[1]
            serving = administering(
                bound, config, pepper, SystemClock(), failures.append, Supervisor()
            )
            async with serving:
                await asyncio.to_thread(act, port)

    uvloop.run(main())
    assert not failures


def asked(port: int, method: str, path: str, token: str, body: Any = None) -> tuple[int, Any]:
    """Make one request; status and answer."""
    with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=30)) as connection:
        headers = {"authorization": f"Bearer {token}", "content-type": "application/json"}
        data = None if body is None else json.dumps(body)
        connection.request(method, f"/admin/v1/{path}", data, headers)
        answer = connection.getresponse()
        return answer.status, json.loads(answer.read())


def test_credit_goes_by_the_rules_of_the_books(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Credit is in their currency, expires by the customer's clock, and its changes are in the log."""
    monkeypatch.chdir(tmp_path)
    run("customers", "create", "acme", "--zone", "Europe/Berlin")
    run("customers", "create", "euro", "--currency", "EUR")
    owner = document("members", "create", "Ann", "--role", "owner")["id"]
    token = document("members", "token", owner)["token"]

    def act(port: int) -> None:
        body = {"amount": "100.00", "expires": "2199-01-01", "reason": "paid by card"}
        status, made = asked(port, "POST", "customers/acme/credits", token, body)
        assert (status, made["currency"], made["amount"]) == (201, "USD", "100.00")
        assert made["expires"] == "2198-12-31T23:00:00Z"
        status, refused = asked(port, "POST", "customers/euro/credits", token, body)
        assert (status, refused["error"]["code"]) == (422, "refused")
        for amount in ("-5", "0", "x", "0.0000000000001"):
            assert (
                asked(port, "POST", "customers/acme/credits", token, {"amount": amount})[0] == 422
            )
        void = f"customers/acme/credits/{made['id']}/void"
        assert asked(port, "POST", void, token, {"reason": "typed twice"})[0] == 200
        assert asked(port, "POST", void, token, {"reason": "typed twice"})[0] == 422

    served(Path("inferworks-data"), act)
    rows = document("audit", "log", "--who", owner)
    assert [row["action"] for row in rows] == ["credits add", "credits void"]
    assert rows[0]["origin"] == "admin API 127.0.0.1"
    assert "as they were written" in run("audit", "verify").stdout


def test_it_is_off_and_on_this_machine_alone_unless_said() -> None:
    """A configuration that says nothing of it has no port of it."""
    assert Config().admin == Admin(enabled=False, host="127.0.0.1", port=8081, names=())
