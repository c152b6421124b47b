"""Many small books in one run of the SQL: its forty statements cost the same for one book as for a hundred.

The books are made strangers to each other by a prefix before every id, which is taken off again from the answers. A book with
a reference in it runs alone: a prefix would change its words.
"""

from collections import defaultdict
from collections.abc import Iterable
from contextlib import suppress
from copy import deepcopy
from dataclasses import fields, replace
from datetime import date
from typing import Any

import duckdb

from .books import KEPT, Book, Matched, match


class LaterError(Exception):
    """The answer is not there yet: this is the round in which the books are collected."""


class Batch:
    """The books the examples of this test run ask about, and what the SQL says about them."""

    def __init__(self) -> None:
        self.is_collecting = False
        self.waiting: dict[str, Book] = {}
        self.done: dict[str, Matched] = {}

    def matched(self, book: Book) -> Matched:
        """What the SQL says about a book, from the common run if it was part of one."""
        key = repr(book)
        if self.is_collecting:
            if not any(p.reference for p in book.payments):
                self.waiting[key] = deepcopy(book)
            raise LaterError
        if key in self.waiting:
            self.done |= run(self.waiting)
            self.waiting = {}
        return self.done[key] if key in self.done else match(book)


BATCH = Batch()


def matched(book: Book) -> Matched:
    return BATCH.matched(book)


def run(waiting: dict[str, Book]) -> dict[str, Matched]:
    """All books of one as_of and window together. When the statements fail, each book may fail by itself."""
    done: dict[str, Matched] = {}
    together: dict[tuple[date, int], list[tuple[str, Book]]] = defaultdict(list)
    for key, book in waiting.items():
        together[book.as_of, book.window_days].append((key, book))
    for (as_of, window_days), pairs in together.items():
        everything = Book(as_of, window_days)
        for n, (_, book) in enumerate(pairs):
            strange = with_prefix(book, f"{n:03}~")
            everything.versions += strange.versions
            everything.payments += strange.payments
            everything.decisions += strange.decisions
            everything.invoiced_customers += strange.invoiced_customers
        with suppress(duckdb.Error):
            answer = match(everything)
            done |= {key: without_prefix(answer, f"{n:03}~") for n, (key, _) in enumerate(pairs)}
    return done


def with_prefix(book: Book, prefix: str) -> Book:
    def renamed(row: Any) -> Any:
        ids = {f.name: getattr(row, f.name) for f in fields(row) if f.name.endswith("_id")}
        return replace(row, **{name: value and prefix + value for name, value in ids.items()})

    return replace(
        book,
        versions=[replace(renamed(v), invoice_ids=[prefix + invoice for invoice in v.invoice_ids]) for v in book.versions],
        payments=[renamed(p) for p in book.payments],
        decisions=[renamed(d) for d in book.decisions],
        invoiced_customers=[prefix + customer for customer in book.invoiced_customers],
    )


def without_prefix(answer: Matched, prefix: str) -> Matched:
    def plain(value: Any) -> Any:
        return value.replace(prefix, "") if isinstance(value, str) else value

    def mine(values: Iterable[Any]) -> bool:
        return any(isinstance(value, str) and prefix in value for value in values)

    return Matched(
        **{
            table: [{name: plain(value) for name, value in row.items()} for row in getattr(answer, table) if mine(row.values())]
            for table in KEPT
        },
        violations={check: [tuple(map(plain, row)) for row in rows if mine(row)] for check, rows in answer.violations.items()},
    )
