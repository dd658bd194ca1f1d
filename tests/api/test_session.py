"""Calls of one session go to one upstream, however the session is named."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from inferworks.cloud.providers.stub import StubProvider
from inferworks.cloud.routing.policy import RoutePolicy, Strategy
from inferworks.testing.in_process_gateway import open_gateway_over
from inferworks.testing.providers import A_MODEL

Run = Callable[[Coroutine[Any, Any, None]], None]

GOOD = {"model": A_MODEL, "messages": [{"role": "user", "content": "hi"}]}
POLICY = RoutePolicy(strategy=Strategy.SESSION)


@pytest.mark.parametrize("by_header", [True, False])
def test_a_session_stays_at_one_upstream(run: Run, by_header: bool) -> None:
    """The header of ours says it in any dialect, `prompt_cache_key` in OpenAI's; sessions spread."""

    async def main() -> None:
        providers = [StubProvider(name=f"stub-{number}") for number in range(3)]
        homes = set()
        async with open_gateway_over(*providers, policy=POLICY) as gateway:
            for number in range(8):
                before = [len(provider.calls) for provider in providers]
                name = f"conversation {number}"
                for _ in range(3):
                    header = {"x-inferworks-session": name} if by_header else {}
                    field = {} if by_header else {"prompt_cache_key": name}
                    assert (await gateway.chat({**GOOD, **field}, headers=header)).status == 200
                gained = [len(p.calls) - b for p, b in zip(providers, before, strict=True)]
                assert sorted(gained) == [0, 0, 3]
                homes.add(gained.index(3))
        assert len(homes) > 1

    run(main())
