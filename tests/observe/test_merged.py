"""Metrics of several processes: sums that never fall, and the worst of what cannot be added."""

from __future__ import annotations

from inferworks.observe.exposition import exposition
from inferworks.observe.merged import Merged, Snapshot, snapshot
from inferworks.observe.metric import Family, Histogram, Sample
from inferworks.observe.table import (
    CALLS_RUNNING,
    JOURNAL_COMMIT,
    JOURNAL_FAILED,
    JOURNAL_RECORDS,
    REPLICAS,
    STARTED,
    WORK_FAILURES,
)
from inferworks.testing.exposition import Scraped, parse_exposition


def told(records: int, *durations_ns: int, failed: int = 0, started_ns: int = 5) -> Snapshot:
    """The figures of a process that has committed so many records."""
    commits = Histogram(JOURNAL_COMMIT.bounds)
    for duration_ns in durations_ns:
        commits.take(duration_ns)
    return snapshot(
        [
            Family(JOURNAL_RECORDS, [Sample((), records)]),
            Family(JOURNAL_COMMIT, [Sample((), commits)]),
            Family(JOURNAL_FAILED, [Sample((), failed)]),
            Family(CALLS_RUNNING, [Sample((), 2)]),
            Family(STARTED, [Sample((), started_ns)]),
            Family(REPLICAS, [Sample(("replica-0", "ready"), 1)]),
            Family(WORK_FAILURES, [Sample(("keys",), records)]),
        ]
    )


def shown(merged: Merged) -> Scraped:
    """The text, as a scraper reads it."""
    return parse_exposition(exposition(merged.families()).decode())


def test_counts_are_added_up_and_states_are_not() -> None:
    """A state holds if it holds anywhere, and the whole began with the first."""
    merged = Merged()
    merged.take("worker-1", told(3, 10**6, 10**9, started_ns=7 * 10**9))
    merged.take("worker-2", told(4, 10**6, failed=1, started_ns=8 * 10**9))
    found = shown(merged)
    assert found.sum("inferworks_journal_records_total") == 7
    assert found.sum("inferworks_journal_commit_seconds_count") == 3
    assert found.sum("inferworks_work_failures_total", work="keys") == 7
    assert found.sum("inferworks_calls_running") == 4
    assert found.sum("inferworks_journal_failed") == 1
    assert found.sum("inferworks_replica_state", replica="replica-0", state="ready") == 1
    assert found.sum("process_start_time_seconds") == 7


def test_what_a_dead_process_counted_stays() -> None:
    """Its gauges go; however often a process dies, its counts are there once each."""
    merged = Merged()
    merged.take("worker-2", told(4))
    for _ in range(3):
        merged.take("worker-1", told(3, 10**6))
        before = shown(merged)
        merged.retire("worker-1")
        after = shown(merged)
        for name in ("inferworks_journal_records_total", "inferworks_journal_commit_seconds_count"):
            assert after.sum(name) == before.sum(name)
        assert (before.sum("inferworks_calls_running"), after.sum("inferworks_calls_running")) == (
            4,
            2,
        )
    merged.retire("worker-1")
    assert shown(merged).sum("inferworks_journal_records_total") == 4 + 3 * 3
    assert shown(merged).sum("inferworks_journal_commit_seconds_count") == 3
