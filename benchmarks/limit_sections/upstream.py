"""Upstream that takes a while for each call, and counts them: `python -m limit_sections.upstream 0.6 1.0`.

It takes between so many seconds, at random, seeded. It prints its port, and the number of calls when its
standard input ends.
"""

from __future__ import annotations

import asyncio
import os
import random
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import uvloop

from gateways.calls import ANSWER
from inferworks.http.server import Exchange, HttpServer

_SEED: Final = 1
HERE: Final = {"PYTHONPATH": str(Path(__file__).parent.parent)}
"""Environment in which the modules of the benchmarks are found."""


@dataclass
class Upstream:
    """An upstream in a process of its own."""

    port: int
    calls: int = 0
    """Number of calls that came, once the block is left."""


@contextmanager
def slow_upstream(least_s: float, most_s: float) -> Iterator[Upstream]:
    """Run an upstream while the block does."""
    command = [sys.executable, "-m", "limit_sections.upstream", str(least_s), str(most_s)]
    with subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, **HERE},
    ) as process:
        assert process.stdout is not None
        found = Upstream(int(process.stdout.readline()))
        try:
            yield found
        finally:
            said, _ = process.communicate(timeout=30)
            found.calls = int(said or 0)


async def _serve(least_s: float, most_s: float) -> None:
    rng, answer, calls = random.Random(_SEED), ANSWER.encode(), 0

    async def handle(exchange: Exchange) -> None:
        nonlocal calls
        calls += exchange.method == "POST"
        await asyncio.sleep(rng.uniform(least_s, most_s))
        await exchange.respond(200, answer)

    server = HttpServer(handle)
    print(await server.start("127.0.0.1", 0), flush=True)
    await asyncio.to_thread(sys.stdin.read)
    await server.stop(0.0)
    print(calls, flush=True)


if __name__ == "__main__":
    uvloop.run(_serve(float(sys.argv[1]), float(sys.argv[2])))
