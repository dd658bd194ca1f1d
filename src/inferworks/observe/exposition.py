"""Metrics as text, in the exposition format of Prometheus, version 0.0.4.

Source: https://prometheus.io/docs/instrumenting/exposition_formats/#text-based-format
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from inferworks.observe.metric import Family, Histogram, Metric

CONTENT_TYPE: Final = b"text/plain; version=0.0.4; charset=utf-8"
_ESCAPES: Final = str.maketrans({"\\": r"\\", '"': r"\"", "\n": r"\n"})


def exposition(families: Iterable[Family]) -> bytes:
    """All of `families`, each with its help and type; a metric without samples is left out."""
    return "".join(line for family in families for line in _family(family)).encode()


def _family(family: Family) -> Iterator[str]:
    metric = family.metric
    lines = [line for labels, value in family.samples for line in _sample(metric, labels, value)]
    if lines:
        yield f"# HELP {metric.name} {metric.help}\n# TYPE {metric.name} {metric.kind}\n"
        yield from lines


def _sample(metric: Metric, labels: Sequence[str], value: int | Histogram) -> Iterator[str]:
    pairs = _pairs(metric.labels, labels)
    if isinstance(value, Histogram):
        return _histogram(metric, pairs, value)
    return iter([f"{metric.name}{_braced(pairs)} {_scaled(value, metric.scale)}\n"])


def _histogram(metric: Metric, pairs: str, histogram: Histogram) -> Iterator[str]:
    """The cumulative buckets, the sum and the count; nothing when nothing was counted."""
    counts, total = list(histogram.counts), histogram.sum
    if not any(counts):
        return
    before = f"{pairs}," if pairs else ""
    so_far = 0
    for bound, count in zip(histogram.bounds, counts, strict=False):
        so_far += count
        yield f'{metric.name}_bucket{{{before}le="{_scaled(bound, metric.scale)}"}} {so_far}\n'
    so_far += counts[-1]
    yield f'{metric.name}_bucket{{{before}le="+Inf"}} {so_far}\n'
    yield f"{metric.name}_sum{_braced(pairs)} {_scaled(total, metric.scale)}\n"
    yield f"{metric.name}_count{_braced(pairs)} {so_far}\n"


def _pairs(names: Sequence[str], values: Sequence[str]) -> str:
    """Labels as they are written; an empty one is as good as none, and left out."""
    given = zip(names, values, strict=True)
    return ",".join(f'{name}="{value.translate(_ESCAPES)}"' for name, value in given if value)


def _braced(pairs: str) -> str:
    return f"{{{pairs}}}" if pairs else ""


def _scaled(value: int, scale: int) -> str:
    """`value / scale`, exactly, as a decimal; `scale` is a power of ten."""
    if scale == 1:
        return str(value)
    sign, (whole, rest) = "-" if value < 0 else "", divmod(abs(value), scale)
    decimals = str(rest).zfill(len(str(scale)) - 1).rstrip("0")
    return f"{sign}{whole}.{decimals}" if decimals else f"{sign}{whole}"
