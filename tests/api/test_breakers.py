"""One key's requests, an upstream that cannot stand them, and the calls of everybody else."""

from __future__ import annotations

import asyncio
import errno
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from inferworks.cloud.routing.health import BreakerState
from inferworks.testing.in_process_gateway import open_gateway
from inferworks.testing.providers import A_MODEL
from inferworks.testing.upstream import Answer

Run = Callable[[Coroutine[Any, Any, None]], None]
ATTACKS = 30


def chat(content: str) -> dict[str, Any]:
    """A request."""
    return {"model": A_MODEL, "messages": [{"role": "user", "content": content}]}


@pytest.mark.slow
@pytest.mark.parametrize("content", ["poison", "poison {n}"], ids=["one body", "many bodies"])
@pytest.mark.parametrize(
    "status", [400, 401, 402, 403, 404, 408, 424, 429, 499, 500, 502, 503, 529]
)
def test_one_key_does_not_shut_out_the_others(run: Run, status: int, content: str) -> None:
    """Other keys are served as before, whatever an upstream answers to one key."""

    async def main() -> None:
        good, bad = Answer(), Answer(status=status)
        async with open_gateway(good, *[bad] * ATTACKS, good) as (gateway, _):
            _, other = gateway.new_key()
            assert (await gateway.chat(chat("hi"), secret=other)).status == 200
            for n in range(ATTACKS):
                assert (await gateway.chat(chat(content.format(n=n)))).status >= 400
            (state,) = gateway.context.router.health.states().values()
            assert state is BreakerState.CLOSED
            assert (await gateway.chat(chat("hi"), secret=other)).status == 200

    run(main())


def test_a_dead_upstream_is_found_out_by_two_keys(run: Run) -> None:
    """An upstream that fails for all keys opens the breaker, and the last offer is tried all the same."""

    async def main() -> None:
        good, bad = Answer(), Answer(status=500)
        async with open_gateway(good, good, *[bad] * 6, good) as (gateway, upstream):
            _, other = gateway.new_key()
            for secret in (None, other):
                assert (await gateway.chat(chat("hi"), secret=secret)).status == 200
            for n in range(3):
                for secret in (None, other):
                    await gateway.chat(chat(f"{n} {secret}"), secret=secret)
            (state,) = gateway.context.router.health.states().values()
            assert state is BreakerState.OPEN
            asked = len(upstream.received)
            assert (await gateway.chat(chat("hi"), secret=other)).status == 200
            assert len(upstream.received) == asked + 1
            (state,) = gateway.context.router.health.states().values()
            assert state is BreakerState.CLOSED, "and its answer closes the breaker"

    run(main())


@pytest.mark.slow
def test_a_cancelled_call_says_nothing_of_an_offer(run: Run) -> None:
    """Clients that leave before the first byte, as often as they like, open no breaker."""

    async def main() -> None:
        async with open_gateway(*[Answer(event_s=30.0)] * 20) as (gateway, _):
            for n in range(20):
                with pytest.raises(TimeoutError):
                    async with asyncio.timeout(0.02):
                        await gateway.chat(chat(str(n)) | {"stream": True})
            (state,) = gateway.context.router.health.states().values()
            assert state is BreakerState.CLOSED

    run(main())


def test_what_this_machine_lacks_is_no_failure_of_the_offer(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Calls that find no descriptor for an upstream are refused so; no breaker opens, and all goes on."""

    async def nothing_left(*_: object) -> None:
        raise OSError(errno.EMFILE, "Too many open files")

    async def main() -> None:
        async with open_gateway(Answer()) as (gateway, _):
            _, other = gateway.new_key()
            with monkeypatch.context() as patch:
                patch.setattr("inferworks.http.client._addresses", nothing_left)
                for n in range(ATTACKS):
                    refused = await gateway.chat(chat(f"{n}"), secret=(None, other)[n % 2])
                    assert (refused.status, refused.json["error"]["code"]) == (503, "no_room")
                    assert refused.headers["retry-after"] == "1"
            assert BreakerState.OPEN not in gateway.context.router.health.states().values()
            assert (await gateway.chat(chat("hi"))).status == 200
            assert len(await gateway.usages()) == ATTACKS + 1

    run(main())
