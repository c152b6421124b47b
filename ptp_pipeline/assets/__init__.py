"""The Dagster assets, thin: read, call, write, return metadata. No rules here."""
