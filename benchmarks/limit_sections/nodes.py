"""Nodes: the CPU time of a call on two gateways that share limits through PostgreSQL, beside one.

A call counts towards four limits, of its key's project and customer, and of the organisation, none of which
is reached: money a month, tokens and requests a minute, calls at once. Both run under a saturating load of
32 connections for each node. `one_cpu_us` and `two_cpu_us` are of the gateways together, per call;
`one_store_cpu_us` and `two_store_cpu_us` what PostgreSQL takes for each, and
`two_transactions_per_1000_calls` counts its commits: draws, and the two beats a second of each node. On a
machine where gateways, store, upstream and callers share few cores, calls a second say little of two nodes;
the CPU time says it. Of some rounds the calmest counts.
"""

from __future__ import annotations

import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from gateways.calls import SMALL_PROMPT
from gateways.processes import free_port, running
from gateways.saturate import saturate
from limit_sections.base import Options
from limit_sections.cluster import CUSTOMER, ORGANISATION, PROJECT, Node, Postgres, nodes, postgres
from limit_sections.upstream import HERE

LIMITS = (
    ("--organisation", ORGANISATION, "--money", "1000000", "--per", "month"),
    ("--customer", CUSTOMER, "--tokens", "100000M", "--per", "minute"),
    ("--project", f"{CUSTOMER}/{PROJECT}", "--requests", "100M", "--per", "minute"),
    ("--customer", CUSTOMER, "--calls", "10000"),
)
_ROUNDS = 3
_WARM_S = 2.0
_SECONDS = 4.0


@dataclass(frozen=True)
class _Round:
    cpu_us: float
    store_cpu_us: float
    calls_per_s: float
    transactions_per_1000_calls: float


def measure_nodes(options: Options) -> dict[str, float]:
    """Return the figures of one node and of two."""
    found: dict[str, float] = {}
    for count, name in ((1, "one"), (2, "two")):
        folder = options.folder / name
        folder.mkdir()
        best = min(_measured(folder, count), key=lambda each: each.cpu_us)
        found[f"{name}_cpu_us"] = round(best.cpu_us, 1)
        found[f"{name}_store_cpu_us"] = round(best.store_cpu_us, 1)
        found[f"{name}_calls_per_s"] = round(best.calls_per_s)
        found[f"{name}_transactions_per_1000_calls"] = round(best.transactions_per_1000_calls, 1)
    return found


def _measured(folder: Path, count: int) -> list[_Round]:
    port = free_port()
    mock = [sys.executable, "-m", "gateways.mock", str(port)]
    with (
        running(mock, folder / "mock.log", HERE),
        postgres() as store,
        nodes(folder, count, port, store.url, LIMITS) as gateways,
    ):
        _round(folder, gateways, store, _WARM_S)
        return [_round(folder, gateways, store, _SECONDS) for _ in range(_ROUNDS)]


def _round(folder: Path, gateways: list[Node], store: Postgres, seconds: float) -> _Round:
    before_s = sum(node.process.cpu_s() for node in gateways)
    store_before_s, commits = store.process.cpu_s(), store.commits()
    with ThreadPoolExecutor(len(gateways)) as threads:
        loads = list(
            threads.map(lambda node: saturate(node.target, SMALL_PROMPT, seconds, folder), gateways)
        )
    cpu_s = sum(node.process.cpu_s() for node in gateways) - before_s
    store_cpu_s, commits = store.process.cpu_s() - store_before_s, store.commits() - commits
    calls = max(1, sum(load.calls for load in loads))
    failed = sum(load.failed for load in loads)
    if failed > calls // 100:
        raise RuntimeError(f"{failed} calls failed of {calls + failed}")
    return _Round(
        cpu_s / calls * 1e6,
        store_cpu_s / calls * 1e6,
        sum(load.calls / load.duration_s for load in loads),
        commits / calls * 1000,
    )
