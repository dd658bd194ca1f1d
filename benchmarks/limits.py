"""Cost of letting the right ones in, and of keeping them to what they have: a section for each.

    python benchmarks/limits.py [--only SECTION,...] [--count N] [--json]

Every section makes what it measures, in a temporary folder, and gives figures with their units in their
names. CPU times are of the thread or process that is measured, not of the wall, so that a machine that is
shared changes them less. `--only` measures some of:

    admission
            limits on the key, project, customer and organisation of a call, from its key to its settlement;
            its figures stand beside the sections in the output
    keys    a gateway with `--count` keys: authentication of keys seen lately and for the first time, and of
            wrong ones; its start, its memory, and how soon a revoked key is refused
    workers
            the CPU time of a call in one process and in two workers
    budget  many callers on two gateways that share a PostgreSQL, against a limit of exactly so many calls
    nodes   the CPU time of a call on two such gateways, beside one
    shared  `--count` keys that gateways share through a PostgreSQL: how long a node takes to give or to
            load them, and how soon another knows of a change; takes minutes
    peers   what is spent of a budget of money, at LiteLLM and here
    fairness
            one customer's storm, and the p99 of another beside it; takes seven minutes, or `--seconds`

Without `--only`, all but `fairness` and `shared` are measured. A section that cannot run here says why, in
one line.
"""

from __future__ import annotations

import argparse
import json
import signal
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Final

from limit_sections.admission import measure_admission
from limit_sections.base import Options
from limit_sections.budget import measure_budget
from limit_sections.cluster import CannotRun
from limit_sections.fairness import measure_fairness
from limit_sections.keys import measure_keys
from limit_sections.nodes import measure_nodes
from limit_sections.peers import measure_peers
from limit_sections.shared import measure_shared
from limit_sections.workers import measure_workers

SECTIONS: Final[Mapping[str, Callable[[Options], Mapping[str, object]]]] = {
    "admission": measure_admission,
    "keys": measure_keys,
    "workers": measure_workers,
    "budget": measure_budget,
    "nodes": measure_nodes,
    "shared": measure_shared,
    "peers": measure_peers,
    "fairness": measure_fairness,
}
"""Name of each section in the output, and the function that measures it."""


_LONG: Final = ("fairness", "shared")
"""Sections that take too long to be measured with the others."""


def main() -> None:
    """Measure, and print."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that every `finally` is run
    arguments = _arguments()
    names = [one for one in SECTIONS if one not in _LONG]
    names = names if arguments.only is None else arguments.only.split(",")
    if unknown := set(names) - SECTIONS.keys():
        sys.exit(f"no section {', '.join(sorted(unknown))}; there are: {', '.join(SECTIONS)}")
    found: dict[str, object] = {}
    for name in names:
        with tempfile.TemporaryDirectory(prefix="inferworks-limits-", dir=arguments.home) as folder:
            options = Options(
                Path(folder),
                arguments.count,
                arguments.customers,
                arguments.seconds,
                arguments.peers,
            )
            try:
                figures = SECTIONS[name](options)
            except CannotRun as error:
                found[name] = f"left out: {error}"
                continue
        found |= figures if name == "admission" else {name: figures}
    print(json.dumps(found, indent=2) if arguments.json else "\n".join(_lines(found)))


def _lines(figures: Mapping[str, object], before: str = "") -> Iterator[str]:
    """Yield a line for each of `figures`, those of sections under their names."""
    for name, value in figures.items():
        if isinstance(value, dict):
            yield f"{before}{name}"
            yield from _lines(value, before + "  ")
        elif isinstance(value, str):
            yield f"{before}{name}: {value}"
        else:
            yield f"{before}{name:{36 - len(before)}}{value:>18,}"


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", help="sections to measure, with commas between")
    parser.add_argument("--count", type=int, default=1_000_000, help="keys")
    parser.add_argument("--customers", type=int, default=100_000)
    parser.add_argument(
        "--seconds", type=float, help="of each load, in place of each section's own"
    )
    peers = Path.home() / ".cache" / "inferworks-benchmarks"
    parser.add_argument("--peers", type=Path, default=peers, help="where others are installed")
    parser.add_argument("--home", type=Path, help="where the temporary folder is made")
    parser.add_argument("--json", action="store_true")
    return parser.parse_args()


if __name__ == "__main__":
    main()
