"""The Dagster asset checks, thin: they run the invariants kept as SQL in sql/warehouse/checks."""
