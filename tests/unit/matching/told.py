"""What became of a book, in one form whoever tells it: the SQL or the oracle."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from typing import Any

from . import oracle
from .batch import LaterError, matched
from .books import Book, Matched
from .oracle import Allocation, Answer, Replay, replay

Row = dict[str, Any]


@dataclass(frozen=True)
class Debit:
    payment_id: str
    commitment_id: str
    version: int
    sequence: int
    debited_on: date
    due_date: date
    nominal_due_date: date
    grace_days: int
    is_added: bool


@dataclass(frozen=True)
class Return:
    payment_id: str
    returned_by: str
    returned_on: date


@dataclass
class Told:
    answers: dict[str, Answer]
    allocations: Counter[Allocation]
    debits: Counter[Debit]
    returns: Counter[Return]
    stale: dict[tuple[str, int], bool]
    silent: list[str]

    def story(self) -> list[str]:
        """A line for each thing that happened to money, in the order of its day."""
        back = [
            ((r.returned_on, 0, r.returned_by, r.payment_id), f"{r.returned_by} takes {n} back from {r.payment_id}")
            for r, n in self.returns.items()
        ]
        paid = [((a.applied_on, 1, a.payment_id, *line(a)), f"{a.payment_id} pays {n} of {place(a)}") for a, n in self.allocations.items()]
        owed = [
            (
                (d.debited_on, 2, d.payment_id, *line(d)),
                f"{d.payment_id} charges {n} to {'new ' if d.is_added else ''}{place(d)}, due {d.due_date:%m-%d}",
            )
            for d, n in self.debits.items()
        ]
        return [f"{key[0]:%m-%d} {what}" for key, what in sorted(back + paid + owed)]

    def unapplied(self) -> dict[str, int]:
        return {payment_id: a.unapplied_minor for payment_id, a in self.answers.items() if a.unapplied_minor}


def line(of: Allocation | Debit) -> tuple[str, int, int]:
    return of.commitment_id, of.version, of.sequence


def place(of: Allocation | Debit) -> str:
    version = f" v{of.version}" if of.version > 1 else ""
    return f"{of.commitment_id}{version}/{of.sequence}"


def total(pairs: Iterable[tuple[Any, int]]) -> Counter[Any]:
    counter: Counter[Any] = Counter()
    for key, amount in pairs:
        counter[key] += amount
    return counter


def told_by_oracle(r: Replay) -> Told:
    return Told(
        answers={row.payment_id: r.answer(row) for row in r.rows},
        allocations=total(r.allocations.items()),
        debits=total((debit_of(d), d.amount_minor) for d in r.debits),
        returns=total((Return(p, by, r.by_id[by].received_date), n) for (p, by), n in r.returns.items()),
        stale={(d.payment_id, d.part): r.is_stale(d) for d in r.book.decisions if d.payment_id in r.by_id},
        silent=[],
    )


def debit_of(d: oracle.Debit) -> Debit:
    return Debit(
        payment_id=d.row.payment_id,
        commitment_id=d.line.version.commitment_id,
        version=d.line.version.version,
        sequence=d.line.sequence,
        debited_on=d.row.received_date,
        due_date=d.line.due_date,
        nominal_due_date=d.line.nominal_due_date,
        grace_days=d.line.grace_days,
        is_added=d.line.is_added,
    )


def pick(kind: Any, row: Row) -> Any:
    return kind(**{name: row[name] for name in kind.__dataclass_fields__})


def told_by_sql(matched: Matched) -> Told:
    return Told(
        answers={row["payment_id"]: pick(Answer, row | {"elsewhere_minor": row["elsewhere_minor"] or 0}) for row in matched.payments},
        allocations=total((pick(Allocation, row), row["amount_minor"]) for row in matched.allocations),
        debits=total((pick(Debit, row), row["amount_minor"]) for row in matched.debits if row["valid_to"] is None),
        returns=total((pick(Return, row), row["amount_minor"]) for row in matched.returns),
        stale={(row["payment_id"], row["part"]): row["is_stale"] for row in matched.decisions},
        silent=[row["payment_id"] for row in matched.payments if is_silent(row)],
    )


def is_silent(row: Row) -> bool:
    """Whether a row does not say why something of it has no effect, or gives a reason although all of it has."""
    if row["kind"] == "payment":
        return row["matched_by"] is None and row["unapplied_minor"] > 0 and row["problem"] is None
    return (row["unapplied_minor"] > 0) != (row["problem"] is not None)


def is_known(row: Row, happened_on: date, known_on: date) -> bool:
    """Whether a row of a history was what the book said on a day."""
    has_begun = happened_on <= known_on and (row["valid_from"] is None or row["valid_from"] <= known_on)
    return has_begun and (row["valid_to"] is None or known_on < row["valid_to"])


HISTORY = ("payment_id", "commitment_id", "version", "sequence", "received_date", "applied_on")


def known_allocations(matched: Matched, known_on: date) -> Counter[tuple[Any, ...]]:
    """What the history says was allocated as known on a day; the keys are HISTORY."""
    known = (row for row in matched.allocation_history if is_known(row, row["applied_on"], known_on))
    return total((tuple(row[name] for name in HISTORY), row["amount_minor"]) for row in known)


def known_debits(matched: Matched, known_on: date) -> Counter[Debit]:
    known = (row for row in matched.debits if is_known(row, row["debited_on"], known_on))
    return total((pick(Debit, row), row["amount_minor"]) for row in known)


def allocations_by_history_key(told: Told) -> Counter[tuple[Any, ...]]:
    return total((tuple(getattr(a, name) for name in HISTORY), n) for a, n in told.allocations.items())


def difference(sql: Told, plain: Told) -> list[str]:
    """Every point on which the two disagree, in words."""
    found = []
    for payment_id in sorted(sql.answers.keys() | plain.answers.keys()):
        one, other = sql.answers.get(payment_id), plain.answers.get(payment_id)
        if one != other:
            found.append(f"{payment_id}: SQL says {one}, the oracle {other}")
    for what in ("allocations", "debits", "returns"):
        one, other = getattr(sql, what), getattr(plain, what)
        found += [f"{what}: SQL {one[key]}, oracle {other[key]} for {key}" for key in one.keys() | other.keys() if one[key] != other[key]]
    found += [
        f"decision {key}: stale says SQL {sql.stale.get(key)}, oracle {plain.stale.get(key)}"
        for key in sql.stale.keys() | plain.stale.keys()
        if sql.stale.get(key) != plain.stale.get(key)
    ]
    found += [f"{payment_id} does not say why something of it has no effect, or says it without need" for payment_id in sql.silent]
    return sorted(found)


def settle(book: Book) -> Told:
    """What became of the book, after making sure that SQL and oracle tell the same and that no check is violated."""
    plain = told_by_oracle(replay(book))
    try:
        answer = matched(book)
    except LaterError:
        return plain
    found = difference(told_by_sql(answer), plain) + [f"check {check}: {rows}" for check, rows in answer.violations.items() if rows]
    assert not found, "\n".join(found)
    return plain
