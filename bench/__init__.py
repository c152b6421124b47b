"""Measurements of ptp on made-up books: who competes is `contestants`, what the books look like is `books`. Run `python -m bench --help`.

Nothing here is imported by ptp itself, and no rule about money belongs here.
"""
