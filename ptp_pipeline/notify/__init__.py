"""Messages out: templates, the outbox's mailers. Decides how a message looks and travels, never who broke a promise."""
