"""The engines of large books: the statement as relations, on DuckDB or Spark. ExtraError without Ibis."""

from inferworks.extras import check_installed

check_installed("ibis", "engines", "an engine of large books")
