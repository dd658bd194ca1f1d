"""Workload: arrival times and lengths of requests; read from a trace, thinned, squeezed, scaled.

A production trace is too much for a small machine in three ways: too many requests, over too long a
time, of too many tokens. Each is corrected by one pure step that states what it did, so that a run on a
laptop is a known fraction of the real thing and not merely something like it:

    read_trace -> thin (a uniform sample) -> squeeze (time) -> fit (lengths)

Rejected: the first N requests (the trace's ups and downs are lost), and clipping long requests (the
tail is what makes a workload hard).
"""

from __future__ import annotations

import csv
import io
import random
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import msgspec

from inferworks.books.calendar.moments import parse_moment_ns
from inferworks.errors import UserError
from inferworks.files import regular_file
from inferworks.units import NS_PER_SECOND

TIME, INPUT, OUTPUT = "TIMESTAMP", "ContextTokens", "GeneratedTokens"
"""The columns of Azure's LLM inference traces (github.com/Azure/AzurePublicDataset)."""

_MOST_DIGITS = 9


class Arrival(msgspec.Struct, frozen=True):
    """One request: when it arrives, from the start of its workload, and its two lengths in tokens."""

    at_ns: int
    input_tokens: int
    output_tokens: int


class Workload(msgspec.Struct, frozen=True):
    """Requests in the order of their arrival."""

    name: str
    arrivals: tuple[Arrival, ...]

    @property
    def length_ns(self) -> int:
        """Time from the first arrival to the last, in nanoseconds."""
        return self.arrivals[-1].at_ns - self.arrivals[0].at_ns


def read_trace(path: Path) -> Workload:
    """The requests of the CSV file at `path`; the first one arrives at time 0.

    UserError, naming file, line and column, when anything in it cannot be read.
    """
    try:
        with regular_file(path) as raw:
            file = io.TextIOWrapper(raw, encoding="utf-8-sig", newline="")
            reader = csv.reader(file, strict=True)
            header = [name.strip() for name in next(reader, [])]
            missing = [name for name in (TIME, INPUT, OUTPUT) if name not in header]
            if missing:
                raise UserError(
                    f"{path}, line 1, column {missing[0]}: is missing; a trace has the columns "
                    f"{TIME},{INPUT},{OUTPUT}"
                )
            rows = [_arrival(path, reader.line_num, header, cells) for cells in reader if cells]
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise UserError(
            f"{path}: not UTF-8 text at byte {error.start}; is it a CSV file?"
        ) from error
    except csv.Error as error:
        raise UserError(f"{path}: not CSV: {error}") from error
    if not rows:
        raise UserError(f"{path}: no requests in it; the lines after the header are the requests")
    rows.sort(key=lambda arrival: arrival.at_ns)
    first_ns = rows[0].at_ns
    return Workload(
        path.name,
        tuple(Arrival(row.at_ns - first_ns, row.input_tokens, row.output_tokens) for row in rows),
    )


def thin(workload: Workload, count: int, seed: int) -> Workload:
    """A uniform sample of `count` requests without replacement, or all when there are no more."""
    arrivals = workload.arrivals
    if count >= len(arrivals):
        return workload
    chosen = sorted(random.Random(seed).sample(range(len(arrivals)), count))  # noqa: S311
    return Workload(workload.name, tuple(arrivals[index] for index in chosen))


def squeeze(workload: Workload, length_ns: int) -> Workload:
    """The same requests with their times scaled so that the last arrives `length_ns` after the first."""
    first_ns, whole_ns = workload.arrivals[0].at_ns, max(1, workload.length_ns)
    arrivals = tuple(
        msgspec.structs.replace(a, at_ns=(a.at_ns - first_ns) * length_ns // whole_ns)
        for a in workload.arrivals
    )
    return Workload(workload.name, arrivals)


def fit(workload: Workload, context_tokens: int) -> tuple[Workload, Fraction]:
    """The requests with all lengths scaled by one factor so that the longest fits `context_tokens`.

    The factor comes back too; it is 1 when everything fits. No length becomes less than one token.
    """
    longest = max(1, *(a.input_tokens + a.output_tokens for a in workload.arrivals))
    scale = min(Fraction(1), Fraction(context_tokens - 2, longest))
    arrivals = tuple(
        Arrival(a.at_ns, _scaled(a.input_tokens, scale), _scaled(a.output_tokens, scale))
        for a in workload.arrivals
    )
    return Workload(workload.name, arrivals), scale


def _scaled(tokens: int, scale: Fraction) -> int:
    return max(1, int(tokens * scale))


def _arrival(path: Path, line: int, header: Sequence[str], cells: Sequence[str]) -> Arrival:
    if len(cells) != len(header):
        raise UserError(
            f"{path}, line {line}, column {header[min(len(cells), len(header) - 1)]}: the line has "
            f"{len(cells)} cells where the header has {len(header)}"
        )
    row = dict(zip(header, cells, strict=True))
    try:
        at_ns = parse_moment_ns(row[TIME])
    except ValueError as error:
        raise UserError(
            f"{path}, line {line}, column {TIME}: {row[TIME][:60]!r}: {error}"
        ) from error
    return Arrival(at_ns, _tokens(path, line, INPUT, row), _tokens(path, line, OUTPUT, row))


def _tokens(path: Path, line: int, column: str, row: dict[str, str]) -> int:
    text = row[column].strip()
    if not (text.isascii() and text.isdigit()) or len(text) > _MOST_DIGITS:
        raise UserError(
            f"{path}, line {line}, column {column}: {text[:60]!r}: must be a whole number of tokens"
        )
    return int(text)


def seconds_text(length_ns: int) -> str:
    """`length_ns` for people, in seconds, minutes or hours."""
    seconds = length_ns / NS_PER_SECOND
    if seconds < 120:
        return f"{seconds:.0f} seconds"
    return f"{seconds / 60:.0f} minutes" if seconds < 7200 else f"{seconds / 3600:.1f} hours"
