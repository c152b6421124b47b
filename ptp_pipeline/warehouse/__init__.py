"""DuckDB: everything derived. Runs the models of sql/warehouse and publishes the result. Never writes to the ledger."""
