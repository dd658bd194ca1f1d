"""Every provider keeps the contract of the seam."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

import pytest

from inferworks.testing.providers import (
    CHECKS,
    Staging,
    check_provider,
    stage_anthropic,
    stage_openai,
    stage_stub,
)

Run = Callable[[Coroutine[Any, Any, None]], None]


@pytest.mark.parametrize("stage", [stage_stub, stage_openai, stage_anthropic])
@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_contract(run: Run, stage: Staging, check: Callable[[Staging], Awaitable[None]]) -> None:
    """Each promise is kept by the stub and over real HTTP."""

    async def main() -> None:
        await check(stage)

    run(main())


def test_check_provider_runs_every_check(run: Run) -> None:
    """The one function that a stranger calls covers the whole contract."""
    run(check_provider(stage_stub))
