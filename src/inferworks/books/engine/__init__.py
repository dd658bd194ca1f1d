"""The relational engine of the books: the same expressions on DuckDB and on Spark."""
