"""Postgres: everything a person or the outside world asserts.

One use case is one transaction and one audit event. Nothing derived is stored here.
"""
