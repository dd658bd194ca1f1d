"""The seam to a relational engine: what DuckDB and Spark must both do, and the one thing they spell apart.

Problem. Ten million calls do not fit through a loop in Python, and a hundred times as many do not fit on
one machine. Yet the figures must be those of the plain definition, to the picounit, on any engine.

Decision. Everything is said once, in Ibis expressions, and an engine only runs them. Quantities are
64-bit integers or DECIMAL(38, 0), which every engine adds and multiplies exactly, and never floats.
Division is where engines differ (one has an integer division that overflows at 64 bits, the other rounds a
decimal quotient), so a driver brings two functions in its own dialect, `floor_divide` and
`whole_divide`, and the expressions call them by name.

Rejected. SQL text per engine (two truths); Ibis' own `//` (it goes through binary floats); a user
defined function in Python (a thousand times slower, and Spark would need Arrow on every worker).
"""

from __future__ import annotations

from collections.abc import Iterable
from types import TracebackType
from typing import Any, Protocol, Self

import ibis
import ibis.expr.datatypes as dt
import ibis.expr.types as ir
import pyarrow as pa

WHOLE = dt.Decimal(38, 0)
"""A whole number of up to 38 digits: picounits, weights, and their products."""
LIMIT = 10**38
"""What a WHOLE stays below."""


class Engine(Protocol):
    """Runs Ibis expressions. Use it in a `with` statement, or close it."""

    @property
    def name(self) -> str:
        """`duckdb` or `spark`."""
        ...

    def parquet(self, files: Iterable[str]) -> ir.Table:
        """The rows of Parquet `files`, all of one schema. BooksError when one cannot be read."""
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


def _floor_divide(whole: Any, by: Any) -> Any:
    """`whole` / `by`, rounded down: `whole` from 0 to 10^38, `by` above 0, the result below 10^30."""


def _whole_divide(whole: Any, by: Any) -> Any:
    """The same for 64-bit integers."""


floor_divide = ibis.udf.scalar.builtin(
    _floor_divide, name="floor_divide", signature=((WHOLE, WHOLE), WHOLE)
)
whole_divide = ibis.udf.scalar.builtin(
    _whole_divide, name="whole_divide", signature=((dt.int64, dt.int64), dt.int64)
)


def whole(value: ir.Value) -> ir.Value:
    """`value` as a WHOLE, said outright: engines choose other widths for sums and products."""
    return value.cast(WHOLE)


def total(value: ir.NumericColumn) -> ir.NumericScalar:
    """The sum of `value`, zero for no rows, as a WHOLE."""
    return ibis.coalesce(whole(value.sum()), whole(ibis.literal(0)))
