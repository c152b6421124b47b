"""How the same allocation is written without ptp: a loop in plain Python, and cumulated sums in pandas. For rule `next` only.

Both read the CSV files, apply every payment to its plan's installments in order, and write what they found.
"""

import csv
from collections import defaultdict
from decimal import Decimal
from pathlib import Path

from bench.books import Book


def loop(book: Book, target: Path) -> None:
    """csv and Decimal, one payment at a time."""
    due: dict[str, list[tuple[int, Decimal]]] = defaultdict(list)
    with book.installments.open(newline="") as file:
        for row in csv.DictReader(file):
            due[row["commitment_id"]].append((int(row["sequence"]), Decimal(row["amount"])))
    for installments in due.values():
        installments.sort(reverse=True)
    with book.payments.open(newline="") as file:
        payments = sorted(csv.DictReader(file), key=lambda row: (row["received_date"], row["payment_id"]))
    with target.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["payment_id", "commitment_id", "sequence", "amount"])
        for row in payments:
            left, installments = Decimal(row["amount"]), due[row["commitment_id"]]
            while left and installments:
                sequence, outstanding = installments.pop()
                paid = min(left, outstanding)
                writer.writerow([row["payment_id"], row["commitment_id"], sequence, paid])
                left -= paid
                if paid < outstanding:
                    installments.append((sequence, outstanding - paid))


def pandas(book: Book, target: Path) -> None:
    """Cumulated sums of money in and money due, their breakpoints merged: who stands at each breakpoint is found by two as-of merges."""
    import pandas as pd

    payments = pd.read_csv(
        book.payments, usecols=["payment_id", "received_date", "amount", "commitment_id"], parse_dates=["received_date"], engine="c"
    )
    installments = pd.read_csv(book.installments, usecols=["commitment_id", "sequence", "amount"], engine="c")
    for frame in (payments, installments):
        frame["amount"] = (frame["amount"] * 100).round().astype("int64")
    payments = payments.sort_values(["commitment_id", "received_date", "payment_id"])
    installments = installments.sort_values(["commitment_id", "sequence"])
    for frame in (payments, installments):
        frame["total"] = frame.groupby("commitment_id")["amount"].cumsum()
    points = pd.concat([payments[["commitment_id", "total"]], installments[["commitment_id", "total"]]]).drop_duplicates()
    points = points.sort_values(["commitment_id", "total"])
    points["amount"] = points["total"] - points.groupby("commitment_id")["total"].shift(fill_value=0)
    points = points.sort_values("total")
    for frame, name in ((payments, "payment_id"), (installments, "sequence")):
        points = pd.merge_asof(
            points, frame[["commitment_id", "total", name]].sort_values("total"), on="total", by="commitment_id", direction="forward"
        )
    found = points.dropna(subset=["payment_id", "sequence"])
    found = found.assign(sequence=found["sequence"].astype("int64"), amount=found["amount"])
    found[["payment_id", "commitment_id", "sequence", "amount"]].to_parquet(target)
