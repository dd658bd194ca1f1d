"""DuckDB: the engine by default. One process, columns, and spilling to disk within a set memory."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import duckdb
import ibis
import ibis.expr.types as ir
import pyarrow as pa

from inferworks.books.engines.base import ScratchEngine, no_rows
from inferworks.errors import BooksError


class DuckEngine(ScratchEngine):
    """DuckDB in this process, within `memory_bytes`, on `threads`, spilling under `folder`."""

    name = "duckdb"

    def __init__(
        self, *, memory_bytes: int = 3 * 2**30, threads: int = 2, folder: Path | None = None
    ) -> None:
        super().__init__(folder)
        self._backend = ibis.duckdb.connect(
            memory_limit=f"{memory_bytes}B",
            threads=threads,
            temp_directory=self._scratch.name,
            preserve_insertion_order=False,
        )
        self._backend.con.execute(
            "SET parquet_metadata_cache = true"
        )  # files of a lake never change

    def parquet(self, files: Iterable[str], schema: pa.Schema | None = None) -> ir.Table:
        """The rows of Parquet `files`; a column of `schema` that one lacks is null."""
        name, paths, by_name = self._fresh(), sorted(files), schema is not None
        if schema is not None:
            paths.append(no_rows(Path(self._scratch.name), name, schema))
        try:
            return self._backend.read_parquet(paths, table_name=name, union_by_name=by_name)
        except duckdb.Error as error:
            raise _refusal(error) from error

    def table(self, rows: pa.Table) -> ir.Table:
        """`rows` as a table."""
        given = self._fresh()
        self._backend.con.register(given, rows)
        kept = self._create(f"SELECT * FROM {given}")
        self._backend.con.unregister(given)
        return kept

    def keep(self, expression: ir.Table) -> ir.Table:
        """`expression` as a temporary table."""
        return self._create(self._sql(expression))

    def _sql(self, expression: ir.Table) -> str:
        """`expression` as SQL, a SELECT for each step: DuckDB merges them in no time, Ibis takes long."""
        options, fused = ibis.options.sql, ibis.options.sql.fuse_selects
        options.fuse_selects = False
        try:
            return str(self._backend.compile(expression))
        finally:
            options.fuse_selects = fused

    def _create(self, select: str) -> ir.Table:
        name = self._fresh()
        try:
            self._backend.con.execute(f"CREATE TEMP TABLE {name} AS {select}")
        except duckdb.Error as error:
            raise _refusal(error) from error
        return self._backend.table(name)

    def fetch(self, expression: ir.Table) -> pa.Table:
        """The rows of `expression`; straight from DuckDB, for Ibis would go through pandas."""
        try:
            rows = self._backend.con.execute(self._sql(expression))
            return rows.to_arrow_table()
        except duckdb.Error as error:
            raise _refusal(error) from error

    def close(self) -> None:
        """Forget everything; the spill folder goes too."""
        self._backend.disconnect()
        super().close()


def _refusal(error: duckdb.Error) -> BooksError:
    first = str(error).partition("\n")[0]
    return BooksError(f"the books' DuckDB query failed: {first}")
