"""The embedded store: DuckDB."""
