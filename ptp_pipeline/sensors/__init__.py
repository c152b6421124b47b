"""Sensors and schedules: reading may fail, deciding is a pure function."""
