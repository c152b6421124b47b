"""Compare SQL and oracle on as many random books as there is time for: `python -m tests.unit.matching.soak --seconds 600`.

The tests do the same with few books. Prints the smallest book it can make of the first one that differs, and exits 1.
"""

import argparse
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import date, timedelta
from itertools import count
from random import Random

import duckdb

from ptp_pipeline.warehouse import rounds

from .books import Book, Version, match
from .generators import START, Crowd, Household, random_book
from .oracle import replay
from .told import allocations_by_history_key, difference, known_allocations, known_debits, told_by_oracle, told_by_sql

HOUSEHOLDS = 12


def disagreements(book: Book, known_dates: list[date]) -> list[str]:
    """Every point on which the SQL differs from the oracle today, in its history, or breaks a check."""
    try:
        matched = match(book)
    except duckdb.Error as error:
        return [f"the SQL fails: {error}"]
    found = difference(told_by_sql(matched), told_by_oracle(replay(book)))
    for known_on in known_dates:
        then = told_by_oracle(replay(book, known_on))
        for what, sql, plain in (
            ("allocations", known_allocations(matched, known_on), allocations_by_history_key(then)),
            ("debits", known_debits(matched, known_on), then.debits),
        ):
            found += [
                f"as known on {known_on}: {what}: SQL {sql[k]}, oracle {plain[k]} for {k}"
                for k in sorted(sql.keys() | plain.keys(), key=str)
                if sql[k] != plain[k]
            ]
    return found + [f"check {name}: {rows}" for name, rows in matched.violations.items() if rows]


def only(book: Book, households: list[str]) -> Book:
    ends = tuple(households)
    return replace(
        book,
        versions=[v for v in book.versions if v.customer_id.endswith(ends)],
        payments=[p for p in book.payments if p.payment_id.endswith(ends)],
        decisions=[d for d in book.decisions if d.payment_id.endswith(ends)],
    )


def smaller(book: Book) -> Iterator[Book]:
    """Books with less in them, the largest things first."""
    households = sorted({v.customer_id[2:] for v in book.versions} | {p.customer_id[2:] for p in book.payments})
    if len(households) > 1:
        middle = len(households) // 2
        yield only(book, households[:middle])
        yield only(book, households[middle:])
    for commitment_id in sorted({v.commitment_id for v in book.versions}):
        yield replace(book, versions=[v for v in book.versions if v.commitment_id != commitment_id])
    for n in range(len(book.payments)):
        yield replace(book, payments=book.payments[:n] + book.payments[n + 1 :])
    for payment_id in sorted({d.payment_id for d in book.decisions}):
        yield replace(book, decisions=[d for d in book.decisions if d.payment_id != payment_id])
    for n, v in enumerate(book.versions):
        for plainer in plainer_versions(v, is_last=not any(w.commitment_id == v.commitment_id for w in book.versions[n + 1 :])):
            yield replace(book, versions=[*book.versions[:n], *plainer, *book.versions[n + 1 :]])


def plainer_versions(v: Version, *, is_last: bool) -> Iterator[list[Version]]:
    if is_last:
        yield []
    for i in range(len(v.installments) if len(v.installments) > 1 else 0):
        kept = [replace(line, sequence=n) for n, line in enumerate([*v.installments[:i], *v.installments[i + 1 :]], 1)]
        yield [replace(v, installments=kept)]
    for plainer in (replace(v, invoice_ids=[]), replace(v, cancelled_on=None), replace(v, overpayment_rule="next")):
        if plainer != v:
            yield [plainer]


def smallest(book: Book, known_dates: list[date]) -> Book:
    """Take things away one by one as long as the two still differ."""
    while True:
        for candidate in smaller(book):
            if disagreements(candidate, known_dates):
                book = candidate
                break
        else:
            return book


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=int, default=60)
    parser.add_argument("--seed", type=int, default=0, help="first seed; the next book has the next one")
    parser.add_argument("--households", type=int, default=HOUSEHOLDS)
    parser.add_argument("--crowds", action="store_true", help="only customers with much money for all of their commitments")
    parser.add_argument(
        "--look-ahead", type=int, default=rounds.LOOK_AHEAD, help="how far rounds look ahead: the result must not depend on it"
    )
    args = parser.parse_args()
    rounds.LOOK_AHEAD = args.look_ahead
    end = time.monotonic() + args.seconds
    for seed in count(args.seed):
        if time.monotonic() > end:
            print(f"{seed - args.seed} books of {args.households} households agree (seeds {args.seed} to {seed - 1}).")  # noqa: T201
            return 0
        rng = Random(seed)
        book = random_book(rng, args.households, Crowd if args.crowds else Household)
        known_dates = [START + timedelta(rng.randint(2, 44)) for _ in range(3)]
        known_dates = [d for d in known_dates if d <= book.as_of]
        if disagreements(book, known_dates):
            book = smallest(book, known_dates)
            report = [f"seed {seed}, as of {book.as_of}, exact amounts within {book.window_days} days"]
            report += [str(row) for row in [*book.versions, *book.payments, *book.decisions]]
            print("\n".join(report + disagreements(book, known_dates)))  # noqa: T201
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
