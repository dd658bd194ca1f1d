"""CPU time per call of one process and of two workers, in front of the same mock upstream.

    python benchmarks/workers.py [--json] [--seconds N] [--rounds N]

`one_cpu_us` is a gateway that is one process (`gateway.workers = 1`), `two_cpu_us` the CPU time of the
process that holds the data folder and of its two workers together, both per answered call of 0.5 kB under a
saturating load of 32 connections for each worker. The two run in turns, and of each the calmest round
counts: other load on the machine can only add to it. CPU time is taken from `/proc`, so neither the load
generator nor the mock is in it, on whatever cores they run. docs/gateway-speed.md has the figures.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path

from gateways.bench import Bench, bench
from gateways.calls import SMALL_PROMPT
from gateways.inferworks import peer
from gateways.saturate import CONNECTIONS, saturate

_WARM_S = 2.0


@dataclass(frozen=True)
class WorkersFigures:
    """Figures of one process and of two workers."""

    one_cpu_us: float
    two_cpu_us: float
    one_calls_per_s: float
    two_calls_per_s: float


@dataclass(frozen=True)
class _Round:
    cpu_us: float
    calls_per_s: float


def measure_workers(home: Path, seconds: float = 3.0, rounds: int = 3) -> WorkersFigures:
    """Measure both in turns, with their files below `home`; `seconds` is the time of a load."""
    found: dict[int, list[_Round]] = {1: [], 2: []}
    for _ in range(rounds):
        for workers, some in found.items():
            with bench(peer(workers), home, streams=False) as running:
                _round(running, _WARM_S, workers)
                some.append(_round(running, seconds, workers))
    one, two = (min(some, key=lambda each: each.cpu_us) for some in found.values())
    fastest = [max(each.calls_per_s for each in some) for some in found.values()]
    return WorkersFigures(round(one.cpu_us, 1), round(two.cpu_us, 1), *map(round, fastest))


def _round(running: Bench, seconds: float, workers: int) -> _Round:
    before_s, connections = running.process.cpu_s(), CONNECTIONS * workers
    load = saturate(running.target, SMALL_PROMPT, seconds, running.scratch, connections)
    cpu_s = running.process.cpu_s() - before_s
    running.count(load.calls, load.failed, connections)
    return _Round(cpu_s / max(1, load.calls) * 1e6, load.calls / load.duration_s)


def main() -> None:
    """Measure, and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--seconds", type=float, default=3.0, help="of each measurement")
    parser.add_argument("--rounds", type=int, default=3, help="of each of the two")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        figures = measure_workers(Path(folder), arguments.seconds, arguments.rounds)
    if arguments.json:
        print(json.dumps({"workers": asdict(figures)}))
        return
    rise = figures.two_cpu_us / figures.one_cpu_us - 1
    print(
        f"one process  {figures.one_cpu_us:8.1f} us of CPU per call, {figures.one_calls_per_s:,.0f} calls/s"
    )
    print(
        f"two workers  {figures.two_cpu_us:8.1f} us of CPU per call, {figures.two_calls_per_s:,.0f} calls/s"
    )
    print(f"CPU per call {rise:+.1%} from one to two")


if __name__ == "__main__":
    main()
