"""Pure rules: money, calendar, terms, policy. No I/O, no clock, no Dagster, no imports of other layers."""
