"""Metrics: their definition, and counters and histograms.

A metric is a row of a table (its name, kind, labels and help) and samples. Counts are whole numbers: times
are integer nanoseconds and become seconds only as text, so nothing is lost by adding up.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Sequence
from enum import StrEnum
from typing import Final, NamedTuple

import msgspec

from inferworks.units import NS_PER_SECOND


class Kind(StrEnum):
    """Type of a metric, which says how its samples are read."""

    COUNTER = "counter"
    """Count that only grows, until a restart."""
    GAUGE = "gauge"
    """Value at present."""
    HISTOGRAM = "histogram"
    """Number of values up to each bucket's bound."""


class Metric(msgspec.Struct, frozen=True):
    """One row of the table of metrics."""

    name: str
    kind: Kind
    help: str
    labels: tuple[str, ...] = ()
    convention: str = ""
    """Name in OpenTelemetry's semantic conventions; empty when it is our own."""
    bounds: tuple[int, ...] = ()
    """The upper ends of a histogram's buckets, in the unit it counts in."""
    scale: int = 1
    """Counted units in one shown unit: 10^9 for nanoseconds shown as seconds."""


class Sample(NamedTuple):
    """A value under its labels, which are given in the order of the metric's."""

    labels: Sequence[str]
    value: int | Histogram


class Family(NamedTuple):
    """A metric and all that it shows at a moment."""

    metric: Metric
    samples: Iterable[Sample]


class Histogram:
    """Counts values by size. One thread takes values; another may read them meanwhile."""

    __slots__ = ("bounds", "counts", "sum")

    def __init__(self, bounds: Sequence[int]) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        """Values above the bound before and up to each bound; in the last place all above."""
        self.sum = 0

    def take(self, value: int) -> None:
        """Count `value`."""
        self.counts[bisect_left(self.bounds, value)] += 1
        self.sum += value


_S: Final = NS_PER_SECOND
SECONDS_NS: Final = tuple(
    _S * hundredths // 100
    for hundredths in (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096, 8192)
)
"""Buckets of durations, 10 ms to 82 s, as the conventions advise."""
FIRST_TOKEN_NS: Final = tuple(
    _S * thousandths // 1000
    for thousandths in (
        1, 5, 10, 20, 40, 60, 80, 100, 250, 500, 750, 1000, 2500, 5000, 7500, 10_000
    )
)  # fmt: skip
"""Buckets of the time to the first token, 1 ms to 10 s, as the conventions advise."""
PER_TOKEN_NS: Final = tuple(
    _S * thousandths // 1000
    for thousandths in (10, 25, 50, 75, 100, 150, 200, 300, 400, 500, 750, 1000, 2500)
)
"""Buckets of the time per output token, 10 ms to 2.5 s, as the conventions advise."""
TOKENS: Final = tuple(4**power for power in range(14))
"""Buckets of token counts, 1 to 67,108,864, as the conventions advise."""
COMMIT_NS: Final = tuple(_S * 2**power // 10_000 for power in range(15))
"""Buckets of a commit's time, 0.1 ms to 1.6 s."""
