"""Sums of calls as an operator sees them: times, counts and percentiles, short."""

from __future__ import annotations

import click
import msgspec
import pytest

from inferworks.cli.calls import Span, Sum, short, time_text
from inferworks.testing.facts import make_usage
from inferworks.units import NS_PER_SECOND

SECOND_NS = NS_PER_SECOND


@pytest.mark.parametrize(
    ("text", "seconds"), [("30s", 30), ("15m", 900), ("1h", 3600), ("7d", 604_800)]
)
def test_times_are_read(text: str, seconds: int) -> None:
    """A number and a unit."""
    assert Span().convert(text, None, None) == seconds * SECOND_NS


@pytest.mark.parametrize("text", ["", "s", "1", "1w", "-1s", "1.5h", "٣s", "99999999d"])
def test_other_times_are_refused(text: str) -> None:
    """With a line that says how to write one."""
    with pytest.raises(click.BadParameter, match="write one like"):
        Span().convert(text, None, None)


def test_counts_and_times_are_short() -> None:
    """Six characters at most, so that a table of them fits."""
    for power in range(15):
        assert len(short(10**power)) <= 6
        assert len(short(10**power * 9 + 7)) <= 6
    for ms in (None, 0.04, 9.949, 9.95, 994.6, 995, 59_999, 3_600_000):
        assert len(time_text(ms)) <= 7


def test_percentiles_are_right_to_a_twentieth() -> None:
    """Of 1 to 1000 ms, whatever the order, without keeping one of them."""
    one = Sum()
    for n in range(1, 1001):
        usage = make_usage()
        ended_ns = usage.opened_ns + (n * 617 % 1000 + 1) * 1_000_000
        one.take(msgspec.structs.replace(usage, closed_ns=ended_ns), None)
    assert one.duration_ms(0.5) == pytest.approx(500, rel=0.05)
    assert one.duration_ms(0.95) == pytest.approx(950, rel=0.05)
    assert one.unpriced == 1000
