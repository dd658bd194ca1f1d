"""Metrics as text, in the exposition format of Prometheus, version 0.0.4.

Source: https://prometheus.io/docs/instrumenting/exposition_formats/#text-based-format
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

from inferworks.observe.metric import Family, Histogram, Metric

CONTENT_TYPE: Final = b"text/plain; version=0.0.4; charset=utf-8"
_ESCAPES: Final = str.maketrans({"\\": r"\\", '"': r"\"", "\n": r"\n"})


def exposition(families: Iterable[Family]) -> bytes:
    """All of `families`, each with its help and type; a metric without samples is left out."""
    written: list[str] = []
    for metric, samples in families:
        lines: list[str] = []
        for labels, value in samples:
            given = zip(metric.labels, labels, strict=True)  # an empty label is as good as none
            named = [f'{name}="{text.translate(_ESCAPES)}"' for name, text in given if text]
            pairs = ",".join(named)
            if isinstance(value, Histogram):
                lines += _histogram(metric, pairs, value)
            else:
                lines.append(f"{metric.name}{_braced(pairs)} {_scaled(value, metric.scale)}\n")
        if lines:
            written.append(f"# HELP {metric.name} {metric.help}\n")
            written.append(f"# TYPE {metric.name} {metric.kind}\n")
            written += lines
    return "".join(written).encode()


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


def _braced(pairs: str) -> str:
    return f"{{{pairs}}}" if pairs else ""


def _scaled(value: int, scale: int) -> str:
    """`value / scale`, exactly, as a decimal; `scale` is a power of ten."""
    if scale == 1:
        return str(value)
    sign, (whole, rest) = "-" if value < 0 else "", divmod(abs(value), scale)
    decimals = str(rest).zfill(len(str(scale)) - 1).rstrip("0")
    return f"{sign}{whole}.{decimals}" if decimals else f"{sign}{whole}"
