"""Workers: CPU time per call of one process and of two workers, in front of the same mock upstream.

`one_cpu_us` is a gateway that is one process (`gateway.workers = 1`), `two_cpu_us` the CPU time of the
process that holds the data folder and of its two workers together, both per answered call of 0.5 kB under a
saturating load of 32 connections for each worker. The two run in turns, and of each the calmest round
counts: other load on the machine can only add to it. CPU time is taken from `/proc`, so neither the load
generator nor the mock is in it, on whatever cores they run. docs/gateway-speed.md has the figures.
"""

from __future__ import annotations

from dataclasses import dataclass

from gateways.bench import Bench, bench
from gateways.calls import SMALL_PROMPT
from gateways.inferworks import peer
from gateways.saturate import CONNECTIONS, saturate
from limit_sections.base import Options

_WARM_S = 2.0
_SECONDS = 3.0
_ROUNDS = 3


@dataclass(frozen=True)
class _Round:
    cpu_us: float
    calls_per_s: float


def measure_workers(options: Options) -> dict[str, float]:
    """Return the figures of one process and of two workers."""
    found: dict[int, list[_Round]] = {1: [], 2: []}
    for _ in range(_ROUNDS):
        for workers, some in found.items():
            with bench(peer(workers), options.folder, streams=False) as running:
                _round(running, _WARM_S, workers)
                some.append(_round(running, options.seconds or _SECONDS, workers))
    one, two = (min(each.cpu_us for each in some) for some in found.values())
    fastest = [max(each.calls_per_s for each in some) for some in found.values()]
    return {
        "one_cpu_us": round(one, 1),
        "two_cpu_us": round(two, 1),
        "rise_percent": round((two / one - 1) * 100, 1),
        "one_calls_per_s": round(fastest[0]),
        "two_calls_per_s": round(fastest[1]),
    }


def _round(running: Bench, seconds: float, workers: int) -> _Round:
    before_s, connections = running.process.cpu_s(), CONNECTIONS * workers
    load = saturate(running.target, SMALL_PROMPT, seconds, running.scratch, connections)
    cpu_s = running.process.cpu_s() - before_s
    running.count(load.calls, load.failed, connections)
    return _Round(cpu_s / max(1, load.calls) * 1e6, load.calls / load.duration_s)
