"""Gauges read at the moment of a scrape: calls running, waiting or held off, and this process."""

from __future__ import annotations

import os
import resource
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from inferworks import __version__
from inferworks.ids import OfferId
from inferworks.observe.metric import COMMIT_NS, Family, Histogram, Metric, Sample
from inferworks.observe.table import (
    ACCESS_DROPPED,
    ATTEMPTS_RUNNING,
    BREAKERS,
    BUILD,
    CALLS_QUEUED,
    CALLS_RUNNING,
    CONNECTIONS,
    CPU,
    DRAINS,
    FILES,
    JOURNAL_COMMIT,
    JOURNAL_FAILED,
    JOURNAL_QUEUE,
    JOURNAL_RECORDS,
    LIMIT_DRAWS,
    LIMIT_REFUSALS,
    LIMIT_USED,
    LIMIT_WARNINGS,
    LIMITS_UNREACHABLE,
    LOOP_STOOD,
    MEMORY,
    MOST_FILES,
    QUEUE_WAIT,
    REPLICAS,
    STARTED,
    TRANSCRIPTS_DROPPED,
    WEBHOOKS,
    WORK_AGE,
    WORK_FAILURES,
    WORK_UNWELL,
)
from inferworks.supervise import Work

_SELF: Final = Path("/proc/self")


@dataclass(frozen=True, slots=True, kw_only=True)
class LimitFigures:
    """State of the limits, read at one moment."""

    used: Sequence[tuple[str, int]] = ()
    """Used millionths of limits, by their ids."""
    refusals: Mapping[tuple[str, str], int] = field(default_factory=dict)
    """Refusals, by measure and kind of scope."""
    warnings: Mapping[tuple[str, str], int] = field(default_factory=dict)
    draws: int = 0
    is_unreachable: bool = False
    webhooks: Mapping[str, int] = field(default_factory=dict)
    """Attempts at sending warnings, by outcome."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Gauges:
    """State of the parts of the gateway, read at one moment."""

    calls_running: int = 0
    calls_queued: int = 0
    queue_waits: Sequence[tuple[str, Histogram]] = ()
    """Times for which calls waited for their turn, by how the wait ended."""
    connections: int = 0
    drains: int = 0
    attempts_running: Mapping[OfferId, int] = field(default_factory=dict)
    breakers: Mapping[OfferId, str] = field(default_factory=dict)
    replicas: Mapping[str, str] = field(default_factory=dict)
    """The state of each of our own replicas."""
    journal_queue: int = 0
    journal_failed: bool = False
    transcripts_dropped: int = 0
    access_lines_dropped: int = 0
    loop_stood_ns: int = 0
    """Longest stall of the event loop in the last minute, in nanoseconds."""
    works: Sequence[Work] = ()
    """The background work that runs or should."""
    limits: LimitFigures = LimitFigures()


class Commits:
    """Durations of the journal's group commits, as its writer reports them."""

    def __init__(self) -> None:
        self.duration = Histogram(COMMIT_NS)
        self.records = 0

    def take(self, records: int, duration_ns: int) -> None:
        """Count a group of `records`, committed in `duration_ns`."""
        self.records += records
        self.duration.take(duration_ns)

    def families(self) -> Iterator[Family]:
        """Yield the metric families."""
        yield Family(JOURNAL_COMMIT, [Sample((), self.duration)])
        yield _one(JOURNAL_RECORDS, self.records)


def families(readings: Gauges) -> Iterator[Family]:
    """`readings` as metrics."""
    yield _one(CALLS_RUNNING, readings.calls_running)
    yield _one(CALLS_QUEUED, readings.calls_queued)
    waits = readings.queue_waits
    yield Family(QUEUE_WAIT, [Sample((outcome,), times) for outcome, times in waits])
    yield _one(CONNECTIONS, readings.connections)
    yield _one(DRAINS, readings.drains)
    running = readings.attempts_running
    yield Family(ATTEMPTS_RUNNING, [Sample((offer,), number) for offer, number in running.items()])
    yield Family(BREAKERS, [Sample(pair, 1) for pair in readings.breakers.items()])
    yield Family(REPLICAS, [Sample(pair, 1) for pair in readings.replicas.items()])
    yield _one(JOURNAL_QUEUE, readings.journal_queue)
    yield _one(JOURNAL_FAILED, int(readings.journal_failed))
    yield _one(TRANSCRIPTS_DROPPED, readings.transcripts_dropped)
    yield _one(ACCESS_DROPPED, readings.access_lines_dropped)
    yield _one(LOOP_STOOD, readings.loop_stood_ns)
    works = readings.works
    yield Family(WORK_FAILURES, [Sample((work.name,), work.failures) for work in works])
    yield Family(WORK_UNWELL, [Sample((work.name,), work.unwell_ns) for work in works])
    yield Family(WORK_AGE, [Sample((work.name,), work.age_ns) for work in works])
    limits = readings.limits
    yield Family(LIMIT_USED, [Sample((name,), used) for name, used in limits.used])
    yield Family(LIMIT_REFUSALS, [Sample(of, count) for of, count in limits.refusals.items()])
    yield Family(LIMIT_WARNINGS, [Sample(of, count) for of, count in limits.warnings.items()])
    yield _one(LIMIT_DRAWS, limits.draws)
    yield _one(LIMITS_UNREACHABLE, int(limits.is_unreachable))
    yield Family(WEBHOOKS, [Sample((how,), count) for how, count in limits.webhooks.items()])


def process_families(started_ns: int) -> Iterator[Family]:
    """Yield the metrics of this process as Prometheus' clients name them; files, memory only on Linux."""
    yield Family(BUILD, [Sample((__version__,), 1)])
    yield _one(CPU, time.process_time_ns())
    if _SELF.exists():
        pages = int((_SELF / "statm").read_text("ascii").split()[1])
        yield _one(MEMORY, pages * os.sysconf("SC_PAGE_SIZE"))
        yield _one(FILES, sum(1 for _ in (_SELF / "fd").iterdir()))
    yield _one(MOST_FILES, resource.getrlimit(resource.RLIMIT_NOFILE)[0])
    yield _one(STARTED, started_ns)


def _one(metric: Metric, value: int) -> Family:
    return Family(metric, [Sample((), value)])
