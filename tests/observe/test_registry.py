"""All metrics of a running gateway in one place."""

from __future__ import annotations

import asyncio
import threading

from inferworks.observe.gauges import Gauges
from inferworks.observe.registry import Registry
from inferworks.observe.table import METRICS
from inferworks.testing.exposition import parse_exposition
from inferworks.testing.facts import make_usage


def test_what_was_counted_and_what_was_read_are_one_text() -> None:
    """Each a row of the table; the state is read in the loop's own thread, once for a scrape."""
    threads: list[int] = []

    def read() -> Gauges:
        threads.append(threading.get_ident())
        return Gauges(calls_running=7)

    registry = Registry(started_ns=10**9, read=read)
    registry.calls.take(make_usage())
    registry.commits.take(1, 10**6)
    scraped = parse_exposition(asyncio.run(registry.text()).decode())
    assert threads == [threading.get_ident()]
    assert scraped.types.keys() <= {metric.name for metric in METRICS}
    assert {name for name in scraped.types if "calls_running" in name}
    assert {name for name in scraped.types if "commit" in name}
    assert 7 in scraped.values.values()
