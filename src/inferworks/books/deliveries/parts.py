"""Parts of a delivery: properties of a file that are known without its lines, and from its name."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import NamedTuple

_PART = re.compile(
    r"(?P<before>.*?)"
    r"(?P<number>(?<![a-z])part[-_ ]?(?:\d{1,5}|[a-z])|(?<=[-_.])0\d{4,5}|(?<![a-z0-9])0\d{11})"
    r"(?P<after>(?:[-_. ].*)?)",
    re.IGNORECASE | re.DOTALL,
)
_RANDOM = re.compile(r"[0-9a-f]{8}-[0-9a-f-]{27}(?:-c\d+)?|tid-\d+-\d+-\d+", re.IGNORECASE)
"""Text that Spark and similar programs put into the name of each part."""

Spans = tuple[tuple[int, int], ...]
"""Times in nanoseconds, disjoint and in order."""


class Part(NamedTuple):
    """One file's lines of one delivery."""

    number: int
    """Number of the part; negative while it arrives."""
    digest: int
    """Digest of the lines, equal for the same lines."""
    lines: int
    spans: Spans
    """The time that its lines cover, in nanoseconds: disjoint and in order."""
    series: str
    """Name that all parts of one export share; empty if the file name tells of none."""
    place: str
    """Place in the series; of a run of an export: its time, its id and the number, each on a line."""
    invoices: tuple[str, ...] = ("",)
    """The numbers of the invoices that its lines are on; empty is that of lines which are on none yet."""
    in_force: bool = True

    @property
    def start_ns(self) -> int:
        """Return the start of its time, in nanoseconds."""
        return self.spans[0][0]

    @property
    def end_ns(self) -> int:
        """Return the end of its time, in nanoseconds."""
        return self.spans[-1][1]

    @property
    def run(self) -> tuple[str, str] | None:
        """Return the time (empty if unknown) and the id of its run of an export; None without a run."""
        told = self.place.split("\n")
        return (told[0], told[1]) if len(told) == 3 else None

    @property
    def ran(self) -> str:
        """Return the time of the run that it is a part of, as a text that sorts; empty if unknown."""
        return self.run[0] if self.run else ""


def series_of(folder: str, name: str) -> tuple[str, str]:
    """Return the export that a file is a part of by its name, and the part; both empty if unknown."""
    stem = _RANDOM.sub("", name)
    match = _PART.fullmatch(stem)
    if match is None:
        return "", ""
    after = re.sub(
        r"(\.(csv|jsonl|json|ndjson|parquet|gz|snappy|zst|zip))+$", "", match["after"].lower()
    )
    return f"{folder}\n{match['before']}\n{after}", match["number"].lower()


def merged(spans: Iterable[tuple[int, int]]) -> Spans:
    """The time that `spans` cover together: disjoint, in order."""
    found: list[tuple[int, int]] = []
    for start_ns, end_ns in sorted(spans):
        if found and start_ns <= found[-1][1]:
            found[-1] = found[-1][0], max(end_ns, found[-1][1])
        else:
            found.append((start_ns, end_ns))
    return tuple(found)


def reach(parts: Iterable[Part]) -> Spans:
    """Return the times from the first to the last moment of each of `parts`, merged."""
    return merged((part.start_ns, part.end_ns) for part in parts)


def meet(one: Spans, other: Spans) -> bool:
    """Return True if both cover some moment."""
    ours, theirs = iter(one), iter(other)
    mine, yours = next(ours, None), next(theirs, None)
    while mine and yours:
        if mine[1] <= yours[0]:
            mine = next(ours, None)
        elif yours[1] <= mine[0]:
            yours = next(theirs, None)
        else:
            return True
    return False


def are_siblings(one: Part, other: Part) -> bool:
    """Return True if two are different parts of one export, and of one run of it, by their names."""
    same = bool(one.series) and one.series == other.series and one.run == other.run
    return same and one.place != other.place


def is_of_its_own(part: Part, others: Iterable[Part]) -> bool:
    """Return True if all lines are on numbered invoices, and none of `part` on an invoice of the others."""
    invoices = {invoice for old in others for invoice in old.invoices}
    return bool(invoices) and not {"", *part.invoices} & invoices and "" not in part.invoices
