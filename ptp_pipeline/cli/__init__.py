"""The ptp command line, one module per verb group. Slow imports stay inside the commands."""
