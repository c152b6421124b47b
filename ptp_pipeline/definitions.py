"""Dagster's entry point."""

from ptp_pipeline.build import build_defs

defs = build_defs()
