"""Upstreams that close a kept connection just as it is used again: the record tells, no client does."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from inferworks.cloud.routing.policy import BreakerPolicy, RoutePolicy
from inferworks.meter.usage import Confidence, Outcome, Tokens
from inferworks.testing.in_process_gateway import InProcessGateway, open_gateway
from inferworks.testing.providers import A_MODEL
from inferworks.testing.upstream import Answer, Fault

Run = Callable[[Coroutine[Any, Any, None]], None]

WHOLE = {"model": A_MODEL, "messages": [{"role": "user", "content": "Hello."}]}
GOOD = Answer()
CLOSES = Answer(fault=Fault.RESET)
"""Ends the connection before a byte of an answer has left."""
ONCE = RoutePolicy(attempts=1)
EAGER = RoutePolicy(attempts=1, deadline_s=5.0)
"""The same by way of a race."""
TOUCHY = BreakerPolicy(failures_in_row=1)


async def legs(gateway: InProcessGateway) -> list[tuple[Outcome, Tokens, Confidence]]:
    """The legs of the last call on record."""
    usage = (await gateway.usages())[-1]
    return [(leg.outcome, leg.tokens, leg.confidence) for leg in usage.legs]


@pytest.mark.parametrize("policy", [ONCE, EAGER], ids=["one by one", "race"])
@pytest.mark.parametrize("stream", [False, True])
def test_a_call_survives_it(run: Run, policy: RoutePolicy, stream: bool) -> None:
    """The call is sent again over a new connection, as a leg of its own and no mark of failure."""

    async def main() -> None:
        async with open_gateway(GOOD, CLOSES, GOOD, policy=policy) as (gateway, upstream):
            health = gateway.context.router.health
            health.use(TOUCHY)
            for _ in range(2):
                answer = await gateway.chat({**WHOLE, "stream": stream})
                assert (answer.status, answer.whole) == (200, True)
            assert len(upstream.received) == 3
            assert upstream.received[1] == upstream.received[2]
            assert await legs(gateway) == [
                (Outcome.FAILED, Tokens(), Confidence.ESTIMATED),
                (Outcome.ANSWERED, Tokens(5, 3), Confidence.REPORTED),
            ]
            [offer] = gateway.catalogue.ready[A_MODEL]
            assert health.passes(offer), "its breaker has not been told"

    run(main())


def test_it_is_asked_once_more_and_not_for_ever(run: Run) -> None:
    """An upstream that ends the new connection too has failed, and the call with it."""

    async def main() -> None:
        async with open_gateway(GOOD, CLOSES, CLOSES, policy=ONCE) as (gateway, upstream):
            assert (await gateway.chat(WHOLE)).status == 200
            assert (await gateway.chat(WHOLE)).status == 502
            assert len(upstream.received) == 3
            assert await legs(gateway) == [(Outcome.FAILED, Tokens(), Confidence.ESTIMATED)] * 2

    run(main())


def test_a_new_connection_that_ends_has_failed(run: Run) -> None:
    """An upstream that ends a new connection has ended it over this request; nothing crossed on the way."""

    async def main() -> None:
        async with open_gateway(CLOSES, GOOD, policy=ONCE) as (gateway, upstream):
            assert (await gateway.chat(WHOLE)).status == 502
            assert len(upstream.received) == 1
            assert len(await legs(gateway)) == 1

    run(main())
