"""What can draw up a statement: the definition in Python, DuckDB, or Spark."""

from __future__ import annotations

from enum import StrEnum


class EngineName(StrEnum):
    """What can draw up a statement. All give the same figures."""

    REFERENCE = "reference"
    """The definition: every call in memory; what explains figures."""
    DUCKDB = "duckdb"
    """Relations on this machine, within the memory that is set."""
    SPARK = "spark"
    """The same relations on a Spark session or cluster."""
