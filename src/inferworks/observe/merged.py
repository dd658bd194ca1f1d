"""Metrics of several processes as those of one.

Problem. A scraper that asks a shared port gets an answer from one worker, and wants the figures of all;
and a counter that goes backwards when a worker dies is read as a restart, with a rate that never was.

Decision. A process tells its metrics as a `Snapshot`, plain values under the names of the table. Counters
and histograms are added up; of a process that has died the last snapshot is kept, added to the `retired`
ones under the same labels, so that no sum falls and their number stays bounded. Gauges are added up too,
for most of them count things that are there; those of `_LARGEST` say that something is the case, or how bad
it is, and the worst counts.

The last snapshot of a process that died is a second old at most: what it counted after that is in the
journal, not here. The same holds for any counter of a process that dies.

Rejected. A port for each worker (every monitoring system would have to know how many there are, and follow
their deaths); files that all map into memory (a format of its own for what one message says).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, TypeAlias

import msgspec

from inferworks.observe.metric import Family, Histogram, Kind, Metric, Sample
from inferworks.observe.table import (
    BREAKERS,
    BUILD,
    JOURNAL_FAILED,
    LIMIT_USED,
    LIMITS_UNREACHABLE,
    LOOP_STOOD,
    METRICS,
    REPLICAS,
    STARTED,
    WORK_AGE,
    WORK_UNWELL,
)

_LARGEST: Final = frozenset(
    {
        BREAKERS,
        BUILD,
        JOURNAL_FAILED,
        LIMITS_UNREACHABLE,
        LIMIT_USED,
        LOOP_STOOD,
        REPLICAS,
        WORK_AGE,
        WORK_UNWELL,
    }
)
"""Gauges of which the largest counts."""

Labels: TypeAlias = tuple[str | None, ...]


class Counts(msgspec.Struct, frozen=True):
    """The counts of a histogram."""

    counts: tuple[int, ...]
    sum: int


Value: TypeAlias = int | Counts
Snapshot: TypeAlias = dict[str, list[tuple[Labels, Value]]]
"""All metrics of a process at one moment, by name."""


def snapshot(families: Iterable[Family]) -> Snapshot:
    """Return `families` as plain values."""
    return {
        metric.name: [(tuple(sample.labels), _plain(sample.value)) for sample in samples]
        for metric, samples in families
    }


class Merged:
    """Metrics of the processes of a gateway."""

    def __init__(self) -> None:
        self._newest: dict[str, Snapshot] = {}
        self._retired: Snapshot = {}

    def take(self, process: str, told: Snapshot) -> None:
        """Replace the figures of `process`."""
        self._newest[process] = told

    def retire(self, process: str) -> None:
        """Keep what `process` counted, for it has ended; its gauges are gone."""
        told = self._newest.pop(process, {})
        counted = {
            metric.name: told[metric.name]
            for metric in METRICS
            if metric.kind is not Kind.GAUGE and metric.name in told
        }
        sums = {metric.name: metric for metric in METRICS if metric.name in counted}
        self._retired |= {
            name: list(_together(metric, (self._retired.get(name, []), counted[name])).items())
            for name, metric in sums.items()
        }

    def families(self) -> list[Family]:
        """Return the figures of all, those that have ended among them."""
        found: list[Family] = []
        for metric in METRICS:
            told = [one.get(metric.name, []) for one in (self._retired, *self._newest.values())]
            values = _together(metric, told)
            samples = [Sample(labels, _shown(metric, value)) for labels, value in values.items()]  # type: ignore[arg-type]
            found.append(Family(metric, samples))
        return found


def _together(
    metric: Metric, told: Iterable[Iterable[tuple[Labels, Value]]]
) -> dict[Labels, Value]:
    """Put the samples of several processes together, those of the same labels into one."""
    found: dict[Labels, Value] = {}
    for samples in told:
        for labels, value in samples:
            before = found.get(labels)
            if before is None:
                found[labels] = value
            elif isinstance(before, Counts) and isinstance(value, Counts):
                pairs = zip(before.counts, value.counts, strict=True)
                counts = tuple(one + other for one, other in pairs)
                found[labels] = Counts(counts, before.sum + value.sum)
            elif isinstance(before, int) and isinstance(value, int):
                found[labels] = _of_both(metric, before, value)
    return found


def _of_both(metric: Metric, one: int, other: int) -> int:
    if metric is STARTED:  # the whole began with the first
        return min(one, other)
    return max(one, other) if metric in _LARGEST else one + other


def _plain(value: int | Histogram) -> Value:
    return Counts(tuple(value.counts), value.sum) if isinstance(value, Histogram) else value


def _shown(metric: Metric, value: Value) -> int | Histogram:
    if isinstance(value, int):
        return value
    histogram = Histogram(metric.bounds)
    histogram.counts, histogram.sum = list(value.counts), value.sum
    return histogram
