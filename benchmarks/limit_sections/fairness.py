"""Fairness: one customer's storm, and the p99 of another beside it, through real gateways.

The quiet customer sends calls at a steady rate with one key, first alone, then beside a storm: another who
sends fifty times as many with eight keys, which is two and a half times what can be served. Calls of both
come at random (Poisson, seeded) and wait for nobody's answer. The quiet one tries again as OpenAI's client
does: twice, after `retry-after`; its times are from the first try to the answer. The upstream takes 0.6 to
1 s for each call. The gateways:

    gateway   32 calls at once, shared by turns, a quarter kept for whoever comes next
    slots     an upstream of `max_calls = 32`, shared by turns, all in use
    at_once   32 calls at once, and whatever is beyond refused

The process of the gateway is its own, and so is the upstream's. On a busy machine compare the rows.
`pool_cpu_us` is the CPU time of letting a call in and out of pools that have room.
"""

from __future__ import annotations

import asyncio
import random
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Final

import uvloop

from gateways.calls import MODEL, Target
from inferworks.accounts.key import mint
from inferworks.api.concurrency import ConcurrencyLimiter
from inferworks.errors import UpstreamError
from inferworks.http.client import HttpClient, Origin
from inferworks.ids import CustomerId
from inferworks.testing.facts import A_PEPPER
from inferworks.testing.platform import real_platform
from limit_sections.base import Options
from limit_sections.upstream import slow_upstream

AT_ONCE: Final = 32
QUIET_PER_S: Final = 2.0
STORM: Final = 50
STORM_KEYS: Final = 8
TRIES: Final = 3
SEED: Final = 1
_SECONDS: Final = 60.0
SETUPS: Final[Mapping[str, tuple[str, str]]] = {
    "gateway": (f"[gateway]\nmax_calls = {AT_ONCE}\n", ""),
    "slots": ("", f"max_calls = {AT_ONCE}\n"),
    "at_once": (
        f"[gateway]\nmax_calls = {AT_ONCE}\n[fairness]\nqueue_per_customer = 0\ncustomer_share = 1\n",
        "",
    ),
}
"""Sections of the configuration, and lines of its upstream."""


@dataclass
class Calls:
    """Fate of one customer's calls."""

    sent: int = 0
    answered: int = 0
    refused: int = 0
    """Tries that were answered with 429 or 503."""
    failed: int = 0
    """Calls without an answer after all tries."""
    times_ms: list[float] = field(default_factory=list)
    queued_ms: list[float] = field(default_factory=list)
    """Waits for a turn, as the gateway says; 0 for a call that did not wait."""

    def figures(self) -> dict[str, float]:
        """Return the counts, and the times as percentiles."""
        counts = {k: v for k, v in asdict(self).items() if not isinstance(v, list)}
        return {
            **counts,
            "p50_ms": _of(self.times_ms, 0.5),
            "p99_ms": _of(self.times_ms, 0.99),
            "queued_p50_ms": _of(self.queued_ms, 0.5),
            "queued_p99_ms": _of(self.queued_ms, 0.99),
        }


def _of(times_ms: Sequence[float], share: float) -> float:
    ranked = sorted(times_ms)
    return round(ranked[min(len(ranked) - 1, int(share * len(ranked)))], 1) if ranked else 0.0


# --- the customers


async def customer(
    origin: Origin, secrets: Sequence[str], per_s: float, seconds: float, tries: int
) -> Calls:
    """Send calls at that rate for so long, and wait for all of them."""
    calls, rng = Calls(), random.Random(SEED + len(secrets))
    body = Target(0).body("hi " * 40).encode()
    headers = [
        ((b"content-type", b"application/json"), (b"authorization", b"Bearer " + secret.encode()))
        for secret in secrets
    ]

    async def one(client: HttpClient, number: int) -> None:
        began = time.monotonic()
        for _ in range(tries):
            path = "/chat/completions"
            try:
                async with client.stream(
                    "POST", origin, path, headers[number % len(headers)], body
                ) as response:
                    await response.read(60.0, 1_000_000)
                    status = response.status
                    again = response.headers.get(b"retry-after", b"1")
                    queued_us = int(response.headers.get(b"x-inferworks-queued-us", b"0"))
            except UpstreamError:
                break
            if status == 200:
                calls.answered += 1
                calls.queued_ms.append(queued_us / 1000)
                calls.times_ms.append((time.monotonic() - began) * 1000)
                return
            calls.refused += 1
            if tries > 1:
                await asyncio.sleep(float(again))
        calls.failed += 1

    with closing(HttpClient()) as client:
        running: set[asyncio.Task[None]] = set()
        begin = at = time.monotonic()
        while (at := at + rng.expovariate(per_s)) < begin + seconds:
            await asyncio.sleep(max(0.0, at - time.monotonic()))
            calls.sent += 1
            task = asyncio.create_task(one(client, calls.sent))
            running.add(task)
            task.add_done_callback(running.discard)
        await asyncio.gather(*running)
    return calls


async def both(
    origin: Origin, quiet: str, storm: Sequence[str], seconds: float
) -> tuple[Calls, Calls]:
    """Send the calls of both at the same time; the storm begins a little earlier."""
    blowing = asyncio.create_task(
        customer(origin, storm, STORM * QUIET_PER_S, seconds + 3.0, tries=1)
    )
    await asyncio.sleep(2.0)
    found = await customer(origin, [quiet], QUIET_PER_S, seconds, TRIES)
    return found, await blowing


# --- what is measured


def measure_fairness(options: Options) -> dict[str, object]:
    """Return the figures of each gateway."""
    seconds = options.seconds or _SECONDS
    found: dict[str, object] = {name: _measured(name, seconds) for name in SETUPS}
    return {**found, "pool_cpu_us": _pool_us()}


def _measured(name: str, seconds: float) -> dict[str, object]:
    """Figures of one gateway."""
    sections, lines = SETUPS[name]
    with tempfile.TemporaryDirectory() as scratch, slow_upstream(0.6, 1.0) as upstream:
        config = (
            f"{sections}[engine]\nreplicas = 0\n[[upstream]]\nname = 'slow'\nmodels = ['{MODEL}']\n"
            f"url = 'http://127.0.0.1:{upstream.port}/v1'\n{lines}"
        )
        (Path(scratch) / "inferworks.toml").write_text(config, encoding="utf-8")
        with real_platform(Path(scratch) / "data", Path(scratch)) as platform:
            quiet, storm = platform.key("quiet"), [platform.key("storm") for _ in range(STORM_KEYS)]
            origin = platform.start()
            alone = uvloop.run(customer(origin, [quiet], QUIET_PER_S, seconds, TRIES))
            beside, blown = uvloop.run(both(origin, quiet, storm, seconds))
    p99s = alone.figures()["p99_ms"], beside.figures()["p99_ms"]
    return {
        "quiet_alone": alone.figures(),
        "quiet_beside_storm": beside.figures(),
        "storm": blown.figures(),
        "p99_moved": round(p99s[1] / p99s[0] - 1, 3),
    }


def _pool_us(calls: int = 100_000) -> float:
    """CPU microseconds of letting a call in and out of pools that have room."""
    key, _ = mint(CustomerId("acme"), 1, pepper=A_PEPPER)

    async def main() -> float:
        limiter = ConcurrencyLimiter(512)
        began = time.process_time()
        for _ in range(calls):
            (await limiter.admit(key)).leave()
        return (time.process_time() - began) / calls * 1e6

    return round(min(uvloop.run(main()) for _ in range(3)), 2)
