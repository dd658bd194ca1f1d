"""Fixtures that the tests of this folder share."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
import uvloop

Run = Callable[[Coroutine[Any, Any, None]], None]


@pytest.fixture
def run() -> Run:
    """Runs a test's coroutine on the loop that production runs on."""

    async def limited(main: Coroutine[Any, Any, None]) -> None:
        async with asyncio.timeout(180.0):
            await main

    return lambda main: uvloop.run(limited(main))
