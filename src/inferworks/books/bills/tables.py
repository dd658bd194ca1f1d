"""A file as a table of text: CSV, JSON Lines or Parquet, row by row.

Problem. The same bill comes as CSV from one cloud and as Parquet from another, and an amount must reach
the books as the decimal its sender wrote, whatever carried it.

Decision. Every form becomes rows of *text by column name*, and one reader per kind of file reads text.
Integers, decimals, dates and strings have one exact text. Binary floats do not: 0.1 is no sum of powers
of two. A double holds any decimal of up to 15 significant digits so that it comes back unchanged, so a
float whose shortest text has at most 15 digits is that decimal; one with more was computed, not written,
and is not accepted *as an amount* (`floats` says which columns those are; `Cells` refuses them). JSON
numbers are taken as they are written and are never floats here.

Rejected. Rounding floats to twelve decimals (invents an amount the bill does not have); one reader per
form and kind (the product of both, and each would differ a little).

Rows are read one by one from the bytes, so a large file is never in memory as text.
"""

from __future__ import annotations

import csv
import datetime as dt
import io
import json
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from inferworks.errors import BillError
from inferworks.units import NS_PER_SECOND

if TYPE_CHECKING:
    import pyarrow as pa

EXACT_DIGITS = 15
"""Significant digits that every double keeps (DBL_DIG of C's <float.h>)."""

_PARQUET_MAGIC = b"PAR1"
_BATCH_ROWS = 8192
_SHARED_CELLS = 100_000
"""Cells of one text are one string, among this many: most of a bill repeats itself."""
_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)


class RawRow(NamedTuple):
    """One row: where it stands, and its cells, or why it has none."""

    number: int
    """The line on which it ends, or the row's number in a Parquet file; counting from 1."""
    cells: Mapping[str, str] | None
    problem: str = ""


class Table(NamedTuple):
    """The rows of a file under its column names."""

    header: tuple[str, ...]
    rows: Iterator[RawRow]
    place: str
    """What a row's number counts: `line` or `row`."""
    floats: frozenset[str] = frozenset()
    """Columns that hold binary floats."""


def is_text(raw: bytes) -> bool:
    """Whether the file is text; otherwise it claims to be Parquet."""
    return not raw.startswith(_PARQUET_MAGIC)


def open_table(name: str, raw: bytes) -> Table:
    """The table in `raw`, in whichever of the three forms; BillError when it is none."""
    if not is_text(raw):
        return _parquet(name, raw)
    if raw.removeprefix(b"\xef\xbb\xbf").lstrip()[:1] == b"{":
        return _json_lines(name, raw)
    return _csv(name, raw)


def _csv(name: str, raw: bytes) -> Table:
    reader = csv.reader(_lines(raw, newline=""), strict=True)
    try:
        header = tuple(column.strip() for column in next(reader, []))
    except csv.Error as error:
        raise BillError(f"{name}, line 1: not CSV: {error}") from error
    return Table(header, _csv_rows(reader, header), "line")


def _csv_rows(reader: Any, header: tuple[str, ...]) -> Iterator[RawRow]:
    seen: dict[str, str] = {}
    try:
        for values in reader:
            if len(values) == len(header):
                cells = [seen.setdefault(value, value) for value in values]
                yield RawRow(reader.line_num, dict(zip(header, cells, strict=True)))
                if len(seen) > _SHARED_CELLS:
                    seen.clear()
            elif values:
                reason = f"has {len(values)} cells where the header has {len(header)}"
                yield RawRow(reader.line_num, None, reason)
    except csv.Error as error:
        yield RawRow(reader.line_num, None, f"not CSV: {error}")


def _json_lines(name: str, raw: bytes) -> Table:
    """Its header is the first object's names; later objects may lack some and add others."""
    first = next(_json_rows(raw))
    if first.cells is None:
        raise BillError(f"{name}, line {first.number}: {first.problem}")
    return Table(tuple(first.cells), _json_rows(raw), "line")


def _json_rows(raw: bytes) -> Iterator[RawRow]:
    for number, line in enumerate(_lines(raw), start=1):
        if not line.strip():
            continue
        try:
            found = json.loads(line, parse_float=str, parse_int=str, parse_constant=_no_constant)
            if not isinstance(found, dict):
                raise ValueError("not a JSON object")
            cells = {column: _json_text(value) for column, value in found.items()}
            "".join((*cells, *cells.values())).encode()
        except (ValueError, RecursionError) as error:
            reason = "half a surrogate pair" if isinstance(error, UnicodeError) else str(error)
            yield RawRow(number, None, f"not a JSON object of text and numbers: {reason}")
        else:
            yield RawRow(number, cells)


def _no_constant(text: str) -> str:
    raise ValueError(f"{text} is not a number")


def _json_text(value: Any) -> str:
    match value:
        case None:
            return ""
        case str():
            return value
        case bool():
            return "true" if value else "false"
        case _:
            return json.dumps(value, ensure_ascii=False, sort_keys=True, default=str)


def _lines(raw: bytes, newline: str | None = None) -> io.TextIOWrapper:
    return io.TextIOWrapper(io.BytesIO(raw), "utf-8-sig", newline=newline)


def _parquet(name: str, raw: bytes) -> Table:
    import pyarrow as pa
    from pyarrow import parquet

    try:
        file = parquet.ParquetFile(pa.BufferReader(raw), page_checksum_verification=True)
        schema = file.schema_arrow
    except (pa.ArrowException, OSError, ValueError) as error:
        raise _not_whole(name, error) from error
    floats = frozenset(field.name for field in schema if pa.types.is_floating(field.type))
    return Table(tuple(schema.names), _parquet_rows(name, file), "row", floats)


def _parquet_rows(name: str, file: Any) -> Iterator[RawRow]:
    import pyarrow as pa

    number = 0
    try:
        for batch in file.iter_batches(batch_size=_BATCH_ROWS):
            columns = [_texts(column) for column in batch.columns]
            for values in zip(*columns, strict=True):
                number += 1
                yield RawRow(number, dict(zip(batch.schema.names, values, strict=True)))
    except (pa.ArrowException, OSError, ValueError, OverflowError) as error:
        raise _not_whole(name, error) from error


def _not_whole(name: str, error: Exception) -> BillError:
    reason = next(iter(str(error).splitlines()), type(error).__name__)[:200]
    return BillError(
        f"{name}: not a whole Parquet file, it may have been cut off; fetch it again ({reason})"
    )


def _texts(column: pa.Array[Any]) -> list[str]:
    """The cells of a Parquet column as exact text; a null is the empty text."""
    import pyarrow as pa

    types, kind = pa.types, column.type
    if types.is_dictionary(kind):
        return _texts(column.dictionary_decode())
    if types.is_timestamp(kind):
        moments = column.cast(pa.timestamp("ns", kind.tz)).cast(pa.int64())
        return _each(moments, _moment_text)
    if types.is_decimal(kind):
        return _each(column, lambda value: format(value, "f"))
    if types.is_binary(kind) or types.is_large_binary(kind):
        return _each(column, lambda value: value.decode())
    if types.is_map(kind):
        return _each(column, lambda value: _json_text(dict(value)))
    return _each(column, _plain_text)


def _each(column: pa.Array[Any], text: Callable[[Any], str]) -> list[str]:
    return ["" if value is None else text(value) for value in column.to_pylist()]


def _plain_text(value: Any) -> str:
    match value:
        case float():
            return repr(value)
        case list() | dict() | bool():
            return _json_text(value)
        case _:
            return str(value)


def _moment_text(moment_ns: int) -> str:
    seconds, rest_ns = divmod(moment_ns, NS_PER_SECOND)
    moment = _EPOCH + dt.timedelta(seconds=seconds)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{rest_ns:09d}Z"
