"""Check that the gateway's memory stays flat over very many calls, measured after each step of them.

    python benchmarks/memory.py [--calls 1000000] [--step-s 10] [--json]

The gateway runs as a user starts it, with authentication, limits and durable metering on, before the mock
upstream of the other benchmarks; `wrk` calls it over 32 connections for as many calls as asked for. Printed
after each step: calls answered, resident memory of the process, the part of it that is no file's
(`RssAnon`), and its open files. At the end the journal must have a record for every call.

The figure that must be flat is the anonymous memory of the second half. In the first half caches fill, and
the allocator takes what a saturated gateway needs at once.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from gateways.bench import Bench, bench
from gateways.calls import SMALL_PROMPT
from gateways.inferworks import PEER
from gateways.saturate import CONNECTIONS, saturate

_ANONYMOUS = re.compile(r"^RssAnon:\s+(\d+) kB", re.MULTILINE)


@dataclass(frozen=True)
class Step:
    """State of the gateway when so many calls had been answered."""

    calls: int
    rss_mb: float
    anonymous_mb: float
    files: int


def main() -> None:
    """Measure, and print."""
    arguments = _arguments()
    with bench(PEER, arguments.home, streams=False) as running:
        steps = []
        for step in measured(running, arguments.calls, arguments.step_s):
            steps.append(step)
            print(_as_line(step), file=sys.stderr, flush=True)
        running.process.check()
        records = running.records()
        notes = list(running.notes)
    growth = _growth_bytes(steps)
    if arguments.json:
        print(json.dumps({"steps": [asdict(s) for s in steps], "bytes_per_call": growth,
                          "records": records, "notes": notes}))  # fmt: skip
    else:
        print(f"{steps[-1].calls:,} calls, {records:,} records; in the second half the anonymous memory "
              f"grew by {growth:.1f} bytes a call", *notes, sep="\n")  # fmt: skip


def measured(running: Bench, calls: int, step_s: float) -> Iterator[Step]:
    """Call the gateway until it has answered so many, and look at it every now and then."""
    answered = 0
    while answered < calls:
        load = saturate(running.target, SMALL_PROMPT, step_s, running.scratch)
        running.count(load.calls, load.failed, CONNECTIONS)
        answered += load.calls
        yield _step(running, answered)


def _step(running: Bench, calls: int) -> Step:
    pids = running.process.pids()
    anonymous = files = 0
    for pid in pids:
        with suppress(FileNotFoundError):  # it has ended since
            status = Path(f"/proc/{pid}/status").read_text(encoding="utf-8")
            files += len(list(Path(f"/proc/{pid}/fd").iterdir()))
            if found := _ANONYMOUS.search(status):
                anonymous += int(found[1])
    return Step(calls, running.process.rss_mb(), anonymous * 1024 / 1e6, files)


def _growth_bytes(steps: list[Step]) -> float:
    """Return the growth of anonymous memory per call in the second half, in bytes."""
    first, last = steps[len(steps) // 2], steps[-1]
    calls = last.calls - first.calls
    return (last.anonymous_mb - first.anonymous_mb) * 1e6 / calls if calls else 0.0


def _as_line(step: Step) -> str:
    return (
        f"{step.calls:>10,} calls  {step.rss_mb:7.1f} MB resident  "
        f"{step.anonymous_mb:7.1f} MB anonymous  {step.files:>4} files"
    )


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--calls", type=int, default=1_000_000)
    parser.add_argument("--step-s", type=float, default=10.0, help="seconds between two looks")
    parser.add_argument("--json", action="store_true")
    home = Path.home() / ".cache" / "inferworks-benchmarks"
    parser.add_argument("--home", type=Path, default=home, help="a folder on a real disk")
    return parser.parse_args()


if __name__ == "__main__":
    main()
