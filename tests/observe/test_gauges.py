"""Gauges read at the moment of a scrape."""

from __future__ import annotations

from decimal import Decimal

from inferworks import __version__
from inferworks.ids import OfferId
from inferworks.observe.exposition import exposition
from inferworks.observe.gauges import Commits, Gauges, families, process_families
from inferworks.observe.metric import Family
from inferworks.testing.exposition import Scraped, parse_exposition


def scraped(*found: Family) -> Scraped:
    """The metrics as a scraper reads them."""
    return parse_exposition(exposition(found).decode())


def value(scrape: Scraped, name: str, **labels: str) -> Decimal:
    """The value of a metric under these labels."""
    return scrape.values[name, frozenset(labels.items())]


def names(scrape: Scraped, part: str) -> list[str]:
    """The metrics whose name has `part` in it."""
    return sorted({name for name, _ in scrape.values if part in name})


def test_what_was_read_is_shown() -> None:
    """Each reading once, under the label of what it is about."""
    readings = Gauges(
        calls_running=3,
        attempts_running={OfferId("a/m"): 2, OfferId("b/m"): 0},
        breakers={OfferId("a/m"): "open"},
        replicas={"replica-1": "ready"},
        journal_failed=True,
        loop_stood_ns=1_500_000_000,
    )
    scrape = scraped(*families(readings))
    [running] = names(scrape, "calls_running")
    assert value(scrape, running) == 3
    values = {(labels, number) for (_, labels), number in scrape.values.items()}
    attempts = {(labels, number) for labels, number in values if len(labels) == 1}
    assert {(frozenset({("offer", "a/m")}), 2), (frozenset({("offer", "b/m")}), 0)} <= attempts
    assert (frozenset({("offer", "a/m"), ("state", "open")}), 1) in values
    [failed] = names(scrape, "journal_failed")
    assert value(scrape, failed) == 1
    [stood] = names(scrape, "loop")
    assert value(scrape, stood) == Decimal("1.5")


def test_nothing_read_is_nothing_running() -> None:
    """Numbers without a label are there and zero; those with one have no sample."""
    scrape = scraped(*families(Gauges()))
    assert scrape.values
    assert all(not labels and number == 0 for (_, labels), number in scrape.values.items())


def test_commits_are_counted_with_their_records() -> None:
    """By duration, and all records of all groups."""
    commits = Commits()
    for records, duration_ns in ((5, 10**6), (1, 3 * 10**9)):
        commits.take(records, duration_ns)
    scrape = scraped(*commits.families())
    [count] = names(scrape, "_count")
    assert value(scrape, count) == 2
    [records] = names(scrape, "records")
    assert value(scrape, records) == 6


def test_the_process_tells_of_itself() -> None:
    """Its version, its start in seconds, and how much it has open of what it may."""
    scrape = scraped(*process_families(1_500_000_000))
    assert value(scrape, "process_start_time_seconds") == Decimal("1.5")
    assert any(("version", __version__) in labels for _, labels in scrape.values)
    assert 0 < value(scrape, "process_open_fds") <= value(scrape, "process_max_fds")
    assert value(scrape, "process_resident_memory_bytes") > 10**6
