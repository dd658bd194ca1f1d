"""Spark: the same expressions where the data outgrows one machine; here in local mode, on Java 17."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import ibis
import ibis.expr.types as ir
import pyarrow as pa
import pyarrow.parquet as pq

from inferworks.books.engines.base import WHOLE, ScratchEngine, no_rows
from inferworks.errors import BooksError, ConfigError
from inferworks.extras import install

_SETTINGS = {
    "spark.sql.ansi.enabled": "true",  # a number out of bounds is an error, never a null
    "spark.sql.session.timeZone": "UTC",
    "spark.sql.autoBroadcastJoinThreshold": "64m",
    "spark.ui.enabled": "false",
    "spark.ui.showConsoleProgress": "false",
    "spark.log.level": "ERROR",
    "spark.sql.execution.arrow.pyspark.enabled": "true",
}
_ON_THIS_MACHINE = {
    "spark.driver.host": "127.0.0.1",  # whatever the name of this machine resolves to
    "spark.driver.bindAddress": "127.0.0.1",
}


class SparkEngine(ScratchEngine):
    """A Spark session at `master`: `local[2]` is this machine, `spark://...` a cluster.

    `settings` are Spark's own, by name, over ours.
    """

    name = "spark"

    def __init__(
        self,
        *,
        master: str = "local[2]",
        memory_bytes: int = 2 * 2**30,
        partitions: int = 4,
        folder: Path | None = None,
        settings: Mapping[str, str] | None = None,
    ) -> None:
        try:
            from pyspark.errors import PySparkException
            from pyspark.sql import SparkSession
        except ImportError as error:
            raise ConfigError(
                f"the engine spark needs PySpark and Java 17: {install('spark')}"
            ) from error
        super().__init__(folder)
        self._failures: type[Exception] = PySparkException
        builder = SparkSession.builder.master(master).appName("inferworks-books")
        every = {
            **_SETTINGS,
            **(_ON_THIS_MACHINE if master.startswith("local") else {}),
            "spark.driver.memory": f"{memory_bytes // 2**20}m",
            "spark.sql.shuffle.partitions": str(partitions),
            "spark.local.dir": self._scratch.name,
            "spark.sql.warehouse.dir": self._scratch.name,
            **(settings or {}),
        }
        for name, value in every.items():
            builder = builder.config(name, value)
        self._session = builder.getOrCreate()
        self._backend = ibis.pyspark.connect(self._session)
        self._backend.compiler = _compiler()

    def parquet(self, files: Iterable[str], schema: pa.Schema | None = None) -> ir.Table:
        """The rows of Parquet `files`; a column of `schema` that one lacks is null."""
        paths = sorted(files)
        if schema is None:
            return self._named(self._session.read.parquet(*paths))
        paths.append(no_rows(Path(self._scratch.name), self._fresh(), schema))
        return self._named(self._session.read.option("mergeSchema", "true").parquet(*paths))

    def table(self, rows: pa.Table) -> ir.Table:
        """`rows` as a table, handed over as a file: every worker can read one."""
        from pyspark.sql.pandas.types import from_arrow_schema

        path = Path(self._scratch.name) / f"{self._fresh()}.parquet"
        pq.write_table(rows, path)
        schema = from_arrow_schema(rows.schema)  # else Spark would run a job to find it in the file
        return self._named(self._session.read.schema(schema).parquet(str(path)))

    def keep(self, expression: ir.Table) -> ir.Table:
        """`expression` computed once, as files: what asks for it is planned without what it came from.

        Kept in memory, each plan would hold all the plans before it, and Spark would look through them
        again for every question; and what a lost worker held would be computed anew.
        """
        rows = self._session.sql(str(self._backend.compile(expression)))
        path = str(Path(self._scratch.name) / f"{self._fresh()}.parquet")
        try:
            rows.write.parquet(path)
        except self._failures as error:
            raise _refusal(error) from error
        return self._named(self._session.read.schema(rows.schema).parquet(path))

    def fetch(self, expression: ir.Table) -> pa.Table:
        """The rows of `expression`."""
        rows = self._session.sql(str(self._backend.compile(expression)))
        try:
            return rows.toArrow()
        except self._failures as error:
            raise _refusal(error) from error

    def close(self) -> None:
        """Stop the session; the scratch folder goes too."""
        self._session.stop()
        super().close()

    def _named(self, rows: Any) -> ir.Table:
        name = self._fresh()
        rows.createOrReplaceTempView(name)
        return self._backend.table(name)


def _compiler() -> Any:
    """Ibis' own compiler, but for sums, which it widens to 128 bits.

    Spark adds 64-bit integers in 64 bits, which the nanoseconds of 3,600 machines in a month fill; DuckDB
    does it in 128.
    """
    from ibis.backends.sql.compilers.pyspark import PySparkCompiler

    class Compiler(PySparkCompiler):  # type: ignore[misc] # Ibis has no types for it
        def visit_Sum(self, op: Any, *, arg: Any, where: Any) -> Any:  # noqa: N802 # by that name
            wide = self.cast(arg, WHOLE) if op.arg.dtype.is_integer() else arg
            return super().visit_Sum(op, arg=wide, where=where)

    return Compiler()


def _refusal(error: Exception) -> BooksError:
    first = str(error).strip().partition("\n")[0]
    return BooksError(f"the books' Spark query failed: {first}")
