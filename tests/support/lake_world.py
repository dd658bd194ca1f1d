"""Journals and lakes for tests of archiving, and the moment at which the process is killed."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise
from pathlib import Path

from inferworks.meter.archive.journal import Due, Key, SealingJournal
from inferworks.meter.archive.manifest import read_manifest
from inferworks.meter.archive.reader import LakeReader, segments_of
from inferworks.meter.archive.schema import DAY_NS, LAKE_TABLES, Fact, LakeTable, key_of
from inferworks.meter.capacity import State
from inferworks.meter.facts import Facts, joined
from inferworks.meter.lakes.base import LakeStore
from inferworks.meter.lakes.local import Files
from inferworks.meter.record import Record
from inferworks.meter.stores.sqlite import SqliteStore
from inferworks.testing.facts import make_activity, make_capacity, make_step, make_usage

FOREVER = (-(2**62), 2**62)
DAY_1_NS = 20_000 * DAY_NS


def write(path: Path, records: Sequence[Record]) -> None:
    """Journal `records`."""
    store = SqliteStore(path)
    store.open()
    try:
        store.write(records)
    finally:
        store.close()


def facts_of_days(seed: int, rows: int, days: int = 2) -> list[Fact]:
    """Make `rows` facts of each table, spread over `days`, each with a key of its own.

    Every other call is a report of another gateway.
    """
    chance = random.Random(seed)
    facts: list[Fact] = []
    for number in range(rows):
        name = f"{seed}-{number}"
        at_ns = DAY_1_NS + chance.randrange(days * DAY_NS)
        later_ns = at_ns + chance.randrange(3) * chance.randrange(1, DAY_NS)
        facts += [
            make_usage(call_id=f"call{'-/'[number % 2]}{name}", opened_ns=at_ns),
            make_step(
                (f"call-{name}", 1, 2, 3), replica=f"r{number % 3}", seq=number, start_ns=at_ns
            ),
            make_capacity(replica=name, state=State.ACTIVE, start_ns=at_ns, end_ns=later_ns),
            make_activity(id_=name, start_ns=at_ns, end_ns=later_ns, quantity=1),
        ]
    return facts


def table_of(fact: Fact) -> LakeTable:
    """The table `fact` belongs to."""
    return LAKE_TABLES[type(fact).__name__.lower()]


def keys(facts: Iterable[Fact]) -> Counter[tuple[str, Key]]:
    """Count the occurrences of each key in `facts`."""
    return Counter((table_of(fact).name, key_of(table_of(fact), fact)) for fact in facts)


def all_of(facts: Facts) -> Iterator[Fact]:
    """Every fact."""
    yield from facts.usages
    yield from facts.steps
    yield from facts.capacity
    yield from facts.activities


def check_each_row_once(lake: LakeStore, journal: Path, expected: Sequence[Fact]) -> None:
    """Every one of `expected` is read once, and is in one segment or only in the journal."""
    reader = LakeReader(lake, journal)
    moment = reader.moment(*FOREVER)
    segments = segments_of(moment)
    assert set(segments) == set(read_manifest(lake).segments)
    sealed = reader.sealed(segments, *FOREVER)
    facts = joined(moment.unsealed, sealed)
    assert Counter(all_of(facts)) == Counter(expected), "rows were lost, doubled or changed"
    found = keys(all_of(sealed)) + keys(all_of(moment.unsealed))
    assert found == keys(expected), "a row is in two places, or in none"


class Killed(BaseException):
    """The process is dead: no handler of errors may see this and go on."""


class Doom:
    """Lets `left` operations happen; at the next one, and for ever after, the process is dead."""

    def __init__(self, left: int = 2**62) -> None:
        self.left = left
        self.done: list[str] = []
        """Kinds of the operations that happened: what was done, and with which part of the lake."""

    @property
    def dead(self) -> bool:
        """True once the moment has come."""
        return self.left < 0

    def step(self, operation: str, path: Path | None = None) -> None:
        """One operation is about to happen."""
        self.left -= 1
        if self.dead:
            raise Killed
        self.done.append(f"{operation} {_part_of(path)}" if path else operation)


def _part_of(path: Path) -> str:
    """The part of the lake that holds `path`: the manifest, sums, or rows."""
    return next((part for part in ("manifest", "sums") if part in path.parts), "rows")


def moments_of(operations: Sequence[str]) -> list[int]:
    """Numbers of operations after which to kill: the first of each two kinds in a row, and the end."""
    pairs = list(pairwise(["", *operations, ""]))
    return sorted({pair: number for number, pair in reversed(list(enumerate(pairs)))}.values())


class DoomedFiles(Files):
    """Files of a process that is killed between two operations, or in the middle of writing."""

    def __init__(self, doom: Doom) -> None:
        self._doom = doom

    def write(self, path: Path, data: bytes) -> None:
        """Write, or half of it."""
        alive = not self._doom.dead
        try:
            self._doom.step("write", path)
        except Killed:
            if alive:
                path.write_bytes(data[: len(data) // 2])
            raise
        super().write(path, data)

    def rename(self, source: Path, target: Path) -> None:
        """Rename, unless dead."""
        self._doom.step("rename", target)
        super().rename(source, target)

    def link(self, source: Path, target: Path) -> None:
        """Link, unless dead."""
        self._doom.step("link", target)
        super().link(source, target)

    def remove(self, path: Path) -> None:
        """Remove, unless dead."""
        self._doom.step("remove", path)
        super().remove(path)

    def make_folder(self, path: Path) -> None:
        """Make a folder, unless dead."""
        self._doom.step("make_folder", path)
        super().make_folder(path)

    def sync_folder(self, path: Path) -> None:
        """Make names durable, unless dead."""
        self._doom.step("sync_folder", path)
        super().sync_folder(path)


class DoomedJournal(SealingJournal):
    """The journal's side of a process that is killed between two transactions."""

    def __init__(self, path: Path, doom: Doom) -> None:
        super().__init__(path)
        self._doom = doom

    def due(self, before_ns: int) -> list[Due]:
        """Look, unless dead."""
        self._doom.step("due")
        return super().due(before_ns)

    def forget(self, table: LakeTable, keys: Sequence[Key]) -> None:
        """Forget, unless dead."""
        self._doom.step(f"forget {table.name}")
        super().forget(table, keys)

    def done_with(self, segment: str) -> None:
        """Remember, unless dead."""
        self._doom.step("done with")
        super().done_with(segment)
