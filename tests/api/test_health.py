"""Health, liveness and readiness over raw HTTP: each part that fails shows where it should."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

from inferworks import __version__
from inferworks.cloud.providers.stub import StubProvider
from inferworks.ids import ModelId
from inferworks.testing.in_process_gateway import InProcessGateway, open_gateway_over
from inferworks.testing.providers import A_MODEL

Run = Callable[[Coroutine[Any, Any, None]], None]
PATHS = ("/livez", "/readyz", "/health")


async def told(gateway: InProcessGateway) -> list[tuple[int, str, list[str]]]:
    """Status, word and named parts of each of the three pages."""
    found = []
    for path in PATHS:
        answer = await gateway.ask("GET", path, secret="")
        body = answer.json
        assert body["version"] == __version__
        found.append((answer.status, body["status"], body.get("parts", [])))
        head = await gateway.ask("HEAD", path, secret="")
        assert (head.status, head.body) == (answer.status, b"")
    return found


A_CHAT = {"model": A_MODEL, "messages": [{"role": "user", "content": "hi"}]}
OK = (200, "ok", [])


def test_all_is_well(run: Run) -> None:
    """Open to all; no call is on record for it."""

    async def main() -> None:
        async with open_gateway_over(StubProvider()) as gateway:
            assert await told(gateway) == [OK, OK, OK]
            answer = await gateway.ask("GET", "/health", secret="")
            assert answer.json == {
                "status": "ok", "version": __version__, "replicas": {}, "running_calls": 0,
            }  # fmt: skip
            assert await gateway.usages() == []

    run(main())


def test_a_model_without_an_offer(run: Run) -> None:
    """No calls are to be sent here yet, but nothing is to be restarted."""

    async def main() -> None:
        async with open_gateway_over(StubProvider()) as gateway:
            gateway.catalogue.ready[ModelId("coming")] = ()
            assert await told(gateway) == [OK, (503, "starting", []), (503, "starting", [])]

    run(main())


def test_a_stop_that_is_coming(run: Run) -> None:
    """A load balancer is told; calls that come all the same are served, and nothing is wrong."""

    async def main() -> None:
        async with open_gateway_over(StubProvider()) as gateway:
            gateway.context.limiter.closing = True
            assert await told(gateway) == [OK, (503, "stopping", []), OK]
            assert (await gateway.chat(A_CHAT)).status == 200

    run(main())


def test_keys_that_are_not_fresh(run: Run) -> None:
    """Every key is refused with 503 and clear words, metrics apart; the journal has no such call."""

    async def main() -> None:
        async with open_gateway_over(StubProvider()) as gateway:
            gateway.context.keyring.fresh = False
            failing = (503, "failing", ["keys"])
            assert await told(gateway) == [OK, failing, failing]
            answer = await gateway.chat(A_CHAT)
            assert (answer.status, answer.json["error"]["code"]) == (503, "keys_not_fresh")
            assert answer.json["error"]["message"].startswith("API keys cannot be checked")
            metrics = await gateway.ask("GET", "/metrics")
            assert metrics.status == 403, "this key is no monitor; one that is may read on"
            assert await gateway.usages() == []
            gateway.context.keyring.fresh = True
            assert (await gateway.chat(A_CHAT)).status == 200

    run(main())


def test_work_that_is_ill(run: Run) -> None:
    """Needed work that is ill fails calls; other work is told; ill vital work calls for a restart."""

    async def main() -> None:
        async with open_gateway_over(StubProvider()) as gateway:
            supervisor = gateway.context.supervisor
            sealing = supervisor.work("sealing", patience_s=0)
            sealing.failed(OSError("no room"))
            assert await told(gateway) == [OK, OK, (200, "degraded", ["sealing"])]
            keys = supervisor.work("keys", patience_s=0, needed=True)
            keys.failed(OSError("no file"))
            failing = (503, "failing", ["keys"])
            assert await told(gateway) == [OK, failing, failing]
            keys.succeeded()
            supervisor.work("door", vital=True).failed(OSError())
            failing = (503, "failing", ["door"])
            assert await told(gateway) == [failing, failing, failing]

    run(main())


def test_a_journal_that_has_failed(run: Run) -> None:
    """Neither ready nor healthy; it tells which part and not why."""

    async def main() -> None:
        async with open_gateway_over(StubProvider()) as gateway:
            gateway.store.broken = True
            await gateway.chat(A_CHAT)
            failing = (503, "failing", ["journal"])
            assert (await told(gateway))[1:] == [failing, failing]

    run(main())
