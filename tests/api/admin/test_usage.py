"""Usage in the admin API: what a customer sees, for the members who see that customer."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest
from tests.support.admin_server import INSIDE, OUTSIDE, open_admin

from inferworks.accounts.plan import PricePlan, token_terms
from inferworks.accounts.roles import Role
from inferworks.meter.archive.schema import DAY_NS
from inferworks.testing.facts import make_usage

pytestmark = pytest.mark.slow

Run = Callable[[Coroutine[Any, Any, None]], None]
USAGE = "/admin/v1/usage?start_time=0&end_time=172800"


def test_members_see_the_usage_of_their_customers(tmp_path: Path, run: Run) -> None:
    """By customer, at its own prices; a member of one customer need not name it, and sees no other."""

    async def story() -> None:
        async with open_admin(tmp_path) as admin:
            admin.usage.usages = [
                make_usage(call_id=f"call_{n}", opened_ns=DAY_NS + n, customer=customer)
                for n, customer in enumerate([INSIDE, INSIDE, OUTSIDE])
            ]
            admin.usage.plans = [PricePlan(INSIDE, 1, token_terms("USD", 10, 100))]
            whole = await admin.done("GET", f"{USAGE}&customer=inside&group_by=model,project_id")
            [result] = whole["data"][1]["results"]
            assert (result["num_model_requests"], result["project_id"]) == (2, "default")
            assert result["cost"] == [{"value": "0.000000006", "currency": "USD"}]
            own = admin.token(Role.VIEWER, "customer")
            assert len((await admin.done("GET", USAGE, token=own))["data"]) == 2
            assert (await admin.call("GET", f"{USAGE}&customer=outside", token=own)).status == 404
            for more in ("", "&customer=inside&group_by=cost", "&customer=inside&limit=169",
                         "&customer=inside&page=page_7", "&customer=inside&customer=inside"):  # fmt: skip
                answer = await admin.call("GET", USAGE + more)
                assert (answer.status, answer.json["error"]["code"]) == (400, "invalid_request")

    run(story())
