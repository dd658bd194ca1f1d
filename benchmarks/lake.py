"""Speed and memory of archiving old rows, and the delay that it adds to calls.

    python benchmarks/lake.py [--json] [--calls N] [--folder DIR]

The journal holds `--calls` calls of one day and as many engine steps, with eight calls in each. They are
archived into a local lake, while a hundred calls a second go on being journaled.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import resource
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path

from msgspec.structs import replace

from inferworks.ids import new_call_id
from inferworks.meter.archive.journal import SealingJournal
from inferworks.meter.archive.schema import DAY_NS
from inferworks.meter.archive.seal import Sealed, seal
from inferworks.meter.journal import Journal
from inferworks.meter.lakes.local import LocalLake
from inferworks.meter.record import Record
from inferworks.meter.stores.sqlite import SqliteStore
from inferworks.meter.usage import Tokens
from inferworks.testing.facts import make_opened, make_step, make_usage

_DAY_NS = 20_000 * DAY_NS
_GROUP = 2_000
_CALLS_PER_S = 100


@dataclass(frozen=True)
class Figures:
    """Measured figures."""

    rows: int
    seconds: float
    rows_per_s: float
    journal_bytes: int
    lake_bytes: int
    peak_memory_bytes: int
    commit_ms_median: float
    """Median commit of a call that is journaled while nothing is archived."""
    commit_ms_99: float
    sealing_commit_ms_median: float
    """The same while rows are sealed."""
    sealing_commit_ms_99: float


def main() -> None:
    """Measure, and print."""
    options = _options()
    sys.setswitchinterval(0.001)  # as `inferworks up` does
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        figures = _measure(Path(folder), options.calls)
    if options.json:
        print(json.dumps(asdict(figures)))
    else:
        for name, value in asdict(figures).items():
            print(
                f"{name:26} {value:>16,.1f}"
                if isinstance(value, float)
                else f"{name:26} {value:>16,}"
            )


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--calls", type=int, default=200_000)
    parser.add_argument("--folder", help="where to write")
    parser.add_argument("--json", action="store_true")
    return parser.parse_args()


def _measure(folder: Path, calls: int) -> Figures:
    path = folder / "journal.db"
    store = SqliteStore(path)
    store.open()
    for records in _day(calls):
        store.write(records)
    size = path.stat().st_size
    store.close()
    quiet_ms, sealing_ms, sealed, seconds = asyncio.run(_seal_beside_calls(path, folder / "lake"))
    return Figures(
        rows=sealed.rows,
        seconds=seconds,
        rows_per_s=sealed.rows / seconds,
        journal_bytes=size,
        lake_bytes=sealed.bytes,
        peak_memory_bytes=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
        commit_ms_median=_share(quiet_ms, 0.5),
        commit_ms_99=_share(quiet_ms, 0.99),
        sealing_commit_ms_median=_share(sealing_ms, 0.5),
        sealing_commit_ms_99=_share(sealing_ms, 0.99),
    )


def _day(calls: int) -> Iterator[list[Record]]:
    """A day's calls and steps, in groups."""
    chance = random.Random(1)
    ids = [new_call_id() for _ in range(8)]
    for begin in range(0, calls, _GROUP):
        records: list[Record] = []
        for number in range(begin, begin + _GROUP):
            at_ns = _DAY_NS + number * (DAY_NS // calls)
            ids = [*ids[1:], new_call_id()]
            tokens = Tokens(int(chance.lognormvariate(6, 1)), int(chance.lognormvariate(4, 1)))
            customer = f"customer-{int(chance.paretovariate(1)) % 100_000}"
            records += [
                make_opened(call_id=ids[-1], opened_ns=at_ns),
                make_usage(call_id=ids[-1], opened_ns=at_ns, customer=customer, tokens=tokens),
                make_step(*((id_, 0, 1, 700) for id_ in ids), seq=number, start_ns=at_ns),
            ]
        yield records


async def _seal_beside_calls(
    path: Path, lake: Path
) -> tuple[list[float], list[float], Sealed, float]:
    """Journal calls for two seconds, then go on while everything old is sealed."""
    turn = threading.Lock()
    journal = Journal(SqliteStore(path, turn))
    journal.start()
    with closing(journal):
        quiet = await _calls(journal, asyncio.create_task(asyncio.sleep(2)))
        begin = time.perf_counter()
        sealing = asyncio.create_task(asyncio.to_thread(_seal, path, lake, turn))
        busy = await _calls(journal, sealing)
        return quiet, busy, sealing.result(), time.perf_counter() - begin


def _seal(path: Path, lake: Path, turn: threading.Lock) -> Sealed:
    with SealingJournal(path, turn) as journal:
        return seal(journal, LocalLake(lake), _DAY_NS + DAY_NS)


async def _calls(journal: Journal, until: asyncio.Task[object]) -> list[float]:
    """Journal calls until `until` is done; the milliseconds that each commit took."""
    took_ms = []
    while not until.done():
        call_id, begin = new_call_id(), time.perf_counter()
        await journal.commit(replace(make_opened(), call_id=call_id, opened_ns=time.time_ns()))
        took_ms.append((time.perf_counter() - begin) * 1000)
        await asyncio.sleep(1 / _CALLS_PER_S)
    return took_ms


def _share(values: list[float], share: float) -> float:
    return sorted(values)[int(share * (len(values) - 1))]


if __name__ == "__main__":
    main()
