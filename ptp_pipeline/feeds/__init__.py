"""CSV in: dialect, column mapping, validation, quarantine, archive. No matching and no business verdicts."""
