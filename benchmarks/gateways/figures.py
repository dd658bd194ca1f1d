"""Figures measured of a gateway, and their display."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path


@dataclass(frozen=True)
class Figures:
    """Figures of one gateway. None where not measured, or not applicable."""

    name: str
    version: str | None = None
    cpu_us_per_request: float | None = None
    """CPU time of all its processes over the small calls they served, warm and at saturation.

    It, and the next three, are of the one of three rounds that took the least CPU time.
    """
    requests_per_s: float | None = None
    p50_ms: float | None = None
    p99_ms: float | None = None
    instructions_per_request: float | None = None
    added_p50_ms: float | None = None
    """Milliseconds added at a low rate: the quantile through the gateway less the one straight to the mock.
    """
    added_p99_ms: float | None = None
    large_cpu_us_per_request: float | None = None
    """The same for prompts of 100 kB."""
    cpu_us_per_chunk: float | None = None
    """CPU time over the chunks of paced streams, the opening and closing of the streams included."""
    burst_cpu_us_per_chunk: float | None = None
    """The same for streams whose chunks are all written at once, as by a very fast upstream."""
    streams_held: int | None = None
    """The most streams of 50 chunks a second each that did not fall behind."""
    added_first_byte_p50_ms: float | None = None
    added_first_byte_p99_ms: float | None = None
    rss_mb: float | None = None
    """Resident memory after the calls of a part, the most of all parts."""
    calls: int | None = None
    """Calls that were answered whole, in all parts together."""
    calls_broken_off: int | None = None
    """Calls under way when wrk stopped; they may or may not have reached the gateway."""
    records: int | None = None
    """Usage rows in the journal: as many as calls, and at most as many as those and the broken off."""
    notes: tuple[str, ...] = ()
    """Failures, or reasons for missing figures."""


_COLUMNS: Sequence[tuple[str, str, int]] = (
    ("cpu us", "cpu_us_per_request", 1),
    ("req/s", "requests_per_s", 0),
    ("p50 ms", "p50_ms", 2),
    ("p99 ms", "p99_ms", 2),
    ("+p50", "added_p50_ms", 2),
    ("+p99", "added_p99_ms", 2),
    ("100kB us", "large_cpu_us_per_request", 0),
    ("rss MB", "rss_mb", 0),
)
_STREAM_COLUMNS: Sequence[tuple[str, str, int]] = (
    ("cpu us/chunk", "cpu_us_per_chunk", 1),
    ("burst", "burst_cpu_us_per_chunk", 1),
    ("held", "streams_held", 0),
    ("+first p50 ms", "added_first_byte_p50_ms", 2),
    ("+first p99 ms", "added_first_byte_p99_ms", 2),
    ("instr/req", "instructions_per_request", 0),
)


_WHOLE_FROM = 100
"""Least figure printed without decimals."""


def as_json(gateways: Iterable[Figures]) -> str:
    """`{"gateways": [...], "machine": ..., "date": ...}`."""
    rows = [asdict(row) for row in gateways]
    return json.dumps({"gateways": rows, "machine": machine(), "date": _today()}, indent=2)


def as_table(gateways: Sequence[Figures]) -> str:
    """Two tables of at most 80 columns, and the notes below them."""
    parts = [
        *(_table(gateways, columns) for columns in (_COLUMNS, _STREAM_COLUMNS)),
        *map(_records, gateways),
        *(f"{row.name}: {note}" for row in gateways for note in row.notes),
        f"{machine()}, {_today()}",
    ]
    return "\n".join(part for part in parts if part)


def _table(gateways: Sequence[Figures], columns: Sequence[tuple[str, str, int]]) -> str:
    """One table with the columns of which anything is known; empty when there are none."""
    shown = [c for c in columns if any(getattr(row, c[1]) is not None for row in gateways)]
    if not shown:
        return ""
    lines = [["", *(title for title, _, _ in shown)]]
    lines += [[r.name, *(_cell(getattr(r, name), d) for _, name, d in shown)] for r in gateways]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join(
        "  ".join([line[0].ljust(widths[0]), *map(str.rjust, line[1:], widths[1:])])
        for line in lines
    ) + "\n"  # fmt: skip


def _cell(value: float | None, decimals: int) -> str:
    if value is None:
        return "-"
    return f"{value:,.{decimals if abs(value) < _WHOLE_FROM else 0}f}"


def _records(row: Figures) -> str:
    if row.records is None:
        return ""
    return (
        f"{row.name}: {row.records} records of {row.calls} answered calls and at most "
        f"{row.calls_broken_off} broken off"
    )


def machine() -> str:
    """The machine, in words."""
    lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    model = models[0] if models else platform.machine()
    return f"{os.cpu_count()} x {model}, Python {platform.python_version()}"


def _today() -> str:
    return datetime.now(UTC).date().isoformat()
