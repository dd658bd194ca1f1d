"""A strict reader of Prometheus' text format, written from its description and not from our writer.

It refuses what Prometheus refuses, and what its documentation asks of histograms: buckets that never
fall, a last one of `+Inf` that equals the count. Source:
https://prometheus.io/docs/instrumenting/exposition_formats/#text-based-format
"""

from __future__ import annotations

import re
from decimal import Decimal, InvalidOperation
from typing import NamedTuple

_NAME = r"[a-zA-Z_:][a-zA-Z0-9_:]*"
_LABEL = r'([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\\n]|\\[\\"n])*)"'
_SAMPLE = re.compile(rf"({_NAME})(?:\{{((?:{_LABEL})(?:,{_LABEL})*)\}})? (\S+)")
_ENDINGS = {"histogram": ("_bucket", "_sum", "_count")}
_TYPES = frozenset({"counter", "gauge", "histogram", "summary", "untyped"})

Labels = frozenset[tuple[str, str]]


class Scraped(NamedTuple):
    """Content of a scrape."""

    types: dict[str, str]
    """The kind of each metric."""
    values: dict[tuple[str, Labels], Decimal]
    """Each sample, by its name and labels."""

    def sum(self, name: str, **labels: str) -> Decimal:
        """All samples called `name` that have these labels, added up."""
        wanted = set(labels.items())
        found = (v for (n, has), v in self.values.items() if n == name and wanted <= has)
        return sum(found, Decimal(0))


def parse_exposition(text: str) -> Scraped:
    """Parse a scrape; ValueError for anything that the format does not allow."""
    if not text.endswith("\n"):
        raise ValueError("the last line must end with a line feed")
    scraped = Scraped({}, {})
    for line in text.split("\n")[:-1]:
        if line.startswith("# TYPE "):
            _, _, name, kind = line.split(" ")
            if kind not in _TYPES or name in scraped.types or not re.fullmatch(_NAME, name):
                raise ValueError(f"not a type, or there twice: {line}")
            scraped.types[name] = kind
        elif line and not line.startswith("#"):
            _take_sample(line, scraped)
    for name, kind in scraped.types.items():
        if kind == "histogram":
            _check_histogram(name, scraped)
    return scraped


def _take_sample(line: str, scraped: Scraped) -> None:
    found = _SAMPLE.fullmatch(line)
    if found is None:
        raise ValueError(f"not a sample: {line}")
    name, pairs = found[1], re.findall(_LABEL, found[2] or "")
    labels = frozenset(
        (label, re.sub(r"\\(.)", lambda found: "\n" if found[1] == "n" else found[1], value))
        for label, value in pairs
    )
    if len(labels) != len(pairs) or (name, labels) in scraped.values:
        raise ValueError(f"a label or a sample is there twice: {line}")
    newest = next(reversed(scraped.types), "")
    if name not in {
        newest + ending for ending in _ENDINGS.get(scraped.types.get(newest, ""), ("",))
    }:
        raise ValueError(f"{name} stands under the type of {newest or 'nothing'}")
    try:
        scraped.values[name, labels] = Decimal(found[found.lastindex or 1])
    except InvalidOperation:
        raise ValueError(f"not a number: {line}") from None


def _check_histogram(name: str, scraped: Scraped) -> None:
    buckets: dict[Labels, list[tuple[Decimal, Decimal]]] = {}
    for (sample, labels), value in scraped.values.items():
        if sample == f"{name}_bucket":
            (bound,) = [v for label, v in labels if label == "le"]
            rest = frozenset(pair for pair in labels if pair[0] != "le")
            buckets.setdefault(rest, []).append((Decimal(bound.replace("+Inf", "Infinity")), value))
    for labels, found in buckets.items():
        counts = [count for _, count in sorted(found)]
        highest, last = max(found)
        if counts != sorted(counts) or highest.is_finite():
            raise ValueError(f"{name}: buckets fall, or do not end with +Inf: {sorted(found)}")
        if scraped.values.get((f"{name}_count", labels)) != last:
            raise ValueError(f"{name}: the count is not that of the last bucket")
        if (f"{name}_sum", labels) not in scraped.values:
            raise ValueError(f"{name}: no sum")
