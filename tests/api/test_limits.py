"""`GET /v1/limits`: the limits of a key's calls, and what is left of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tests.api.test_call_limits import ASKED, USD, Limited
from tests.observe.conftest import Run

from inferworks.accounts.key import Key, mint
from inferworks.accounts.limit import Limit, Measure, Scope, ScopeKind, Window
from inferworks.clock import SystemClock
from inferworks.limits.ledger import Gateway
from inferworks.limits.limiter import Amounts, Limiter
from inferworks.limits.slice_log import SliceLog
from inferworks.limits.stores.stub import MemoryLedger, MemoryLimits
from inferworks.testing.facts import A_PEPPER
from inferworks.testing.in_process_gateway import A_CUSTOMER
from inferworks.testing.providers import A_MODEL
from inferworks.testing.upstream import Answer
from inferworks.units import NS_PER_SECOND

pytestmark = pytest.mark.slow


def limit(name: str, kind: ScopeKind, of: str, measure: Measure, **more: Any) -> Limit:
    """Return a limit of 10 in all, unless `more` says otherwise."""
    its = {"window": Window.TOTAL, "amount": 10, **more}
    return Limit(id=name, scope=Scope(kind, of), measure=measure, **its)


def test_a_key_is_told_its_own_limits(run: Run, tmp_path: Path) -> None:
    """With what its calls have used of each; not those of others, nor what an organisation has used."""
    key: Key = mint(A_CUSTOMER, 1, pepper=A_PEPPER)[0]
    of_customer = (ScopeKind.CUSTOMER, A_CUSTOMER)
    own = [
        limit("requests", *of_customer, Measure.REQUESTS),
        limit("money", *of_customer, Measure.MONEY, amount=5 * USD, currency="EUR",
              window=Window.MONTH, zone="Europe/Berlin", is_hard=False),
        limit("rate", ScopeKind.PROJECT, f"{A_CUSTOMER}/default", Measure.REQUESTS,
              window=Window.HOUR, amount=60),
    ]  # fmt: skip
    others = [
        limit("theirs", ScopeKind.CUSTOMER, "burns", Measure.REQUESTS),
        limit("a project of theirs", ScopeKind.PROJECT, "burns/default", Measure.REQUESTS),
        limit("another key", ScopeKind.KEY, key.id, Measure.REQUESTS),
    ]
    world = Limited(tmp_path, *own, *others)

    async def main() -> None:
        async with world.open(1, Answer()) as gateway:
            for _ in range(3):
                assert (await gateway.chat(ASKED)).status == 200
            [usage, *_] = await gateway.usages()
            found = await gateway.ask("GET", "/v1/limits")
            assert found.status == 200
            told = {one["id"]: one for one in found.json["data"]}
            assert list(told) == ["rate", "requests", "money"]
            requests, money, rate = (told[name] for name in ("requests", "money", "rate"))
            assert (requests["amount"], requests["used"], requests["left"]) == (10, 3, 7)
            assert (requests["scope"], requests["scope_id"]) == ("customer", A_CUSTOMER)
            assert (requests["hard"], requests["resets_at"], requests["zone"]) == (True, None, None)
            pico = 3 * (500_000 * usage.tokens.input + 1_500_000 * usage.tokens.output)
            assert money["used"] == f"{pico / USD:.12f}".rstrip("0")
            assert (money["amount"], money["currency"], money["hard"]) == ("5.00", "EUR", False)
            assert money["zone"] == "Europe/Berlin"
            assert money["resets_at"] > found.json["as_of"]
            assert (rate["scope_id"], rate["used"], rate["left"]) == ("default", 3, 57)
            assert 0 < rate["resets_at"] - found.json["as_of"] <= 181
            _, theirs = gateway.new_key(customer="burns")
            told = (await gateway.ask("GET", "/v1/limits", secret=theirs)).json["data"]
            assert [(one["id"], one["used"]) for one in told] == [
                ("a project of theirs", 0), ("theirs", 0),
            ]  # fmt: skip
            _, narrow = gateway.new_key(models=(str(A_MODEL),))
            told = (await gateway.ask("GET", "/v1/limits", secret=narrow)).json["data"]
            assert [(one["used"], one["left"]) for one in told] == [(None, None)] * 3
            assert (await gateway.ask("GET", "/v1/limits?customer=burns")).status == 400
            world.stores[0].unreachable = True
            assert (await gateway.ask("GET", "/v1/limits")).status == 503
            world.stores[0].unreachable = False

    run(main())


def test_what_another_gateway_has_drawn_counts_whole(run: Run, tmp_path: Path) -> None:
    """Of its own slices only what calls have used or hold counts."""
    ledger, budget = MemoryLedger(), limit("l", ScopeKind.CUSTOMER, "acme", Measure.REQUESTS,
                                           amount=1000)  # fmt: skip

    async def main() -> None:
        own, other = (
            Limiter(MemoryLimits(ledger), SliceLog(tmp_path / run, run, "boot"),
                    Gateway(run, run, "boot", 0), SystemClock())
            for run in ("a", "b")
        )  # fmt: skip
        now_ns = 1000 * NS_PER_SECOND
        accounts = own.accounts([budget], now_ns)
        one = await own.hold(accounts, "call_1", Amounts(0, 0))
        await own.hold(accounts, "call_2", Amounts(0, 0))
        one.end(Amounts(0, 0))
        assert await own.in_use([budget], now_ns) == {"l": 2}
        assert (await other.in_use([budget], now_ns))["l"] >= 2
        assert await other.in_use([], now_ns) == {}
        for limiter in (own, other):
            await limiter.close()

    run(main())


def test_a_gateway_without_limits_tells_none(run: Run, tmp_path: Path) -> None:
    """An empty list, and nothing is asked of a store."""

    async def main() -> None:
        async with Limited(tmp_path).open(1) as gateway:
            assert (await gateway.ask("GET", "/v1/limits")).json["data"] == []

    run(main())
