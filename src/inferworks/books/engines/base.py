"""The seam to a relational engine: the operations common to DuckDB and Spark, and those that differ.

Problem. Ten million calls do not fit through a loop in Python, and a hundred times as many do not fit on
one machine. Yet the figures must equal those of the reference code, to the picounit, on any engine.

Decision. Everything is written once, in Ibis expressions, and an engine only runs them. Quantities are
64-bit integers or DECIMAL(38, 0), which every engine adds and multiplies exactly. Division is where
engines differ: one has an integer division that overflows at 64 bits, another rounds a decimal quotient,
a third takes a microsecond. So no engine divides. A double *estimates* the quotient, its product is
subtracted exactly, a second estimate divides the remainder, and a comparison corrects the last unit
(`floor_divide`). The estimate does not decide the result: any one near enough gives the same integer.

Rejected. SQL text per engine (two definitions); Ibis' own `//` (an estimate without correction); a user
defined function in Python (a thousand times slower); HUGEINT (only DuckDB has it, and its casts cost
more).
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Mapping
from itertools import count
from pathlib import Path
from types import TracebackType
from typing import Protocol, Self

import ibis
import ibis.expr.datatypes as dt
import ibis.expr.types as ir
import pyarrow as pa
import pyarrow.parquet as pq

WHOLE = dt.Decimal(38, 0)
"""A whole number of up to 38 digits: picounits, weights, and their products."""
LIMIT = 10**38
"""Exclusive upper bound of a WHOLE."""


class Engine(Protocol):
    """Runs Ibis expressions. Use it in a `with` statement, or close it."""

    @property
    def name(self) -> str:
        """`duckdb` or `spark`."""
        ...

    def parquet(self, files: Iterable[str], schema: pa.Schema | None = None) -> ir.Table:
        """The rows of Parquet `files`. BooksError when one cannot be read.

        All have one schema; or some lack columns of `schema`, also within structs, which are null there.
        """
        ...

    def table(self, rows: pa.Table) -> ir.Table:
        """`rows`, which are few, as a table to join with."""
        ...

    def keep(self, expression: ir.Table) -> ir.Table:
        """`expression` computed now and once; what does not fit in memory goes to disk."""
        ...

    def fetch(self, expression: ir.Table) -> pa.Table:
        """The rows of `expression`, brought here. BooksError when a number leaves its bounds."""
        ...

    def close(self) -> None:
        """Give back memory, threads and temporary files."""
        ...

    def __enter__(self) -> Self: ...

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None: ...


class ScratchEngine:
    """Base of engines that number their tables and keep files in a temporary folder."""

    def __init__(self, folder: Path | None) -> None:
        self._scratch = tempfile.TemporaryDirectory(prefix="inferworks-books-", dir=folder)
        self._numbers = count()

    def close(self) -> None:
        """Remove the files."""
        self._scratch.cleanup()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def _fresh(self) -> str:
        return f"kept_{next(self._numbers)}"


def small_table(
    engine: Engine,
    texts: Mapping[str, Iterable[str | None]],
    numbers: Mapping[str, Iterable[int | None]],
) -> ir.Table:
    """Return columns of texts and of 64-bit integers, by name, as a table to join with."""
    columns = {name: pa.array(list(values), pa.string()) for name, values in texts.items()}
    columns |= {name: pa.array(list(values), pa.int64()) for name, values in numbers.items()}
    return engine.table(pa.table(columns))


def no_rows(folder: Path, name: str, schema: pa.Schema) -> str:
    """The path of a Parquet file in `folder` that has `schema` and no rows.

    Read beside older files, whose columns are merged by name, it gives them the columns that they lack.
    """
    path = folder / f"{name}.parquet"
    pq.write_table(schema.empty_table(), path)
    return str(path)


def whole(value: ir.Value) -> ir.Value:
    """`value` as a WHOLE, said outright: engines choose other widths for sums and products."""
    return value.cast(WHOLE)


def total(value: ir.NumericColumn, where: ir.BooleanValue | None = None) -> ir.NumericScalar:
    """The sum of `value` of the rows `where` something is, zero for none, as a WHOLE."""
    return ibis.coalesce(whole(value.sum(where=where)), whole(ibis.literal(0)))


def integers(column: pa.ChunkedArray) -> list[int]:
    """The WHOLEs of `column` as integers; by way of text, for a Decimal each takes four times as long."""
    return list(map(int, column.cast(pa.string()).to_pylist()))


def floor_divide(dividend: ir.Value, divisor: ir.Value) -> ir.Value:
    """`dividend` / `divisor` rounded down, a WHOLE.

    Exact for WHOLEs, `dividend` from 0 to 10^38, `divisor` above 0, and a quotient below 10^30: the first
    guess is right to 51 bits, so what it leaves is below 2^50 divisors, and the second is off by one.
    """
    first = _guess(dividend, divisor)
    left = whole(dividend - whole(first * divisor))
    second = _guess(left, divisor)
    left = whole(left - whole(second * divisor))
    return whole(whole(first + second) + whole(_one_off(left, divisor)))


def whole_divide(dividend: ir.Value, divisor: int) -> ir.Value:
    """`dividend`, a 64-bit integer from 0 up, by a constant, rounded down."""
    by = ibis.literal(divisor, "int64")
    guess = (dividend.cast("float64") / float(divisor)).cast("int64")
    return guess + _one_off(dividend - guess * by, by)


def _guess(dividend: ir.Value, divisor: ir.Value) -> ir.Value:
    return whole(dividend.cast("float64") / divisor.cast("float64"))


def _one_off(left: ir.Value, divisor: ir.Value) -> ir.Value:
    """1, 0 or -1: what a quotient lacks that leaves `left`. Sums, not cases: they are computed once."""
    return (left >= divisor).cast("int64") - (left < 0).cast("int64")
