"""Verdicts against the plainest possible replay: day by day, payment by payment, nothing clever."""

from dataclasses import dataclass, replace
from datetime import date, timedelta
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ptp_pipeline.warehouse.checks import run_checks
from tests.unit.outcomes.books import Book, Installment, Part, Version, rows_of

SLOW_IS_FINE: dict[str, Any] = {"deadline": None, "suppress_health_check": [HealthCheck.too_slow, HealthCheck.data_too_large]}
START = date(2026, 1, 1)
DAYS = 60
PAIRS = 6  # of commitments in a book: what a run of the statements costs is the same for one and for many


def days(most: int = DAYS) -> st.SearchStrategy[date]:
    return st.integers(0, most).map(lambda n: START + timedelta(days=n))


@st.composite
def books(draw: st.DrawFn) -> Book:
    book = Book(
        grace_days=draw(st.integers(0, 4)),
        tolerance_amount=draw(st.sampled_from(["0", "0.05", "0.30"])),
        tolerance_percent=draw(st.sampled_from(["0", "2.5"])),
        default_after_broken=draw(st.integers(1, 3)),
    )
    for pair in range(draw(st.integers(1, PAIRS))):
        two_commitments(draw, book, (f"A{pair}", f"B{pair}"))
    return book


def two_commitments(draw: st.DrawFn, book: Book, names: tuple[str, str]) -> None:
    for name in names:
        kind = draw(st.sampled_from(["plan", "repeating_promise"]))
        for number in range(draw(st.integers(1, 2))):
            agreed_on = START if number == 0 else draw(days(40))
            lines = draw(st.lists(st.tuples(days(), st.integers(1, 200)), min_size=1, max_size=4))
            cancelled_on = draw(st.none() | days()) if number == 0 else None
            cancelled_on = max(cancelled_on, agreed_on) if cancelled_on else None
            rule = draw(st.sampled_from(["next", "last", "spread", "hold"]))
            book.commits(name, *sorted(lines), kind=kind, agreed_on=agreed_on, cancelled_on=cancelled_on, rule=rule)
    for _ in range(draw(st.integers(0, 8))):
        received = draw(days())
        after = draw(st.none() | st.integers(0, 20))
        bounced = None if after is None else received + timedelta(days=after)
        charged_on = received + timedelta(days=draw(st.integers(0, 40)))
        back = draw(st.none() | st.none() | st.tuples(st.just(charged_on), st.integers(1, 300)))
        book.pays(draw(st.sampled_from(names)), received, draw(st.integers(1, 300)), bounced, charged_back=back)


@dataclass(frozen=True)
class Known:
    """One version as known on a day: its schedule with what chargebacks added, in order of due dates, and what paid it."""

    lines: dict[int, Installment]
    parts: list[Part]

    @property
    def order(self) -> list[int]:
        return sorted(self.lines, key=lambda n: (self.lines[n].due_date, n))


def known(book: Book, v: Version, known_on: date, as_of: date) -> Known:
    parts, debits = book.replay(v.commitment_id, known_on, as_of)
    lines = dict(enumerate(v.installments, 1))
    for d in debits:
        if d.version == v.version:
            line = lines.get(d.sequence, Installment(d.due_date, 0, d.grace_days))
            lines[d.sequence] = replace(line, amount=line.amount + d.amount)
    return Known(lines, [p for p in parts if p.version == v.version])


def tolerance(book: Book, amount: int) -> int:
    by_amount = int(float(book.tolerance_amount) * 100 + 0.5)
    return max(by_amount, amount * int(float(book.tolerance_percent) * 10) // 1000)


def satisfied_on(book: Book, v: Version, view: Known, upto: list[int]) -> date | None:
    """The first date on which what was missing on these installments was within their tolerances."""
    allowed = sum(tolerance(book, view.lines[n].amount) for n in upto)
    owed = sum(view.lines[n].amount for n in upto)
    if owed <= allowed:
        return v.agreed_on
    received = sorted({p.payment.received_date for p in view.parts})
    paid = {d: sum(p.amount for p in view.parts if p.sequence in upto and p.payment.received_date <= d) for d in received}
    return next((d for d in received if owed - paid[d] <= allowed), None)


def judge(book: Book, v: Version, view: Known, sequence: int, as_of: date) -> tuple[date | None, date | None, str | None]:
    """(satisfied on, deadline, verdict at the deadline) of an installment in the light of what is known."""
    (ended_on,) = [end for known, end, _ in book.known_versions(as_of) if known is v]
    place = view.order.index(sequence)
    satisfied = satisfied_on(book, v, view, view.order[: place + 1])
    line = view.lines[sequence]
    rolled = satisfied_on(book, v, view, view.order[:place]) if v.kind == "repeating_promise" and place else date.min
    if rolled is None or (satisfied is not None and satisfied < rolled):
        rolled = satisfied  # with tolerance two may be satisfied together when the first alone is not
    if rolled is None:
        return satisfied, None, None
    deadline = max(line.due_date + timedelta(days=line.grace_days), rolled)
    if ended_on and line.due_date >= ended_on:
        return satisfied, deadline, None
    if satisfied is not None and satisfied <= deadline:
        return satisfied, deadline, "kept"
    if ended_on and ended_on <= deadline:
        return satisfied, deadline, None
    mine = [p for p in view.parts if p.sequence == sequence and p.payment.received_date <= deadline]
    return satisfied, deadline, "partially_kept" if mine else "broken"


def first_verdicts(book: Book, v: Version, as_of: date) -> dict[int, str]:
    """What a judge who comes every evening says on the evening of each deadline."""
    said: dict[int, str] = {}
    for n in range((as_of - START).days):
        today = START + timedelta(days=n)
        view = known(book, v, today, as_of)
        for sequence in view.lines:
            _, deadline, verdict = judge(book, v, view, sequence, as_of)
            if verdict and deadline == today:
                said.setdefault(sequence, verdict)
    return said


def open_state(due_date: date, deadline: date | None, as_of: date) -> str:
    if deadline is None or due_date > as_of + timedelta(days=3):
        return "scheduled"
    if due_date > as_of:
        return "due_soon"
    return "due_today" if due_date == as_of else "in_grace"


FIGURES = (
    "status", "verdict", "first_verdict", "kept_on", "broken_on", "on_time",
    "amount_minor", "paid_minor", "paid_in_advance_minor", "paid_late_minor", "paid_by_deadline_minor",
)  # fmt: skip


def expected(book: Book, as_of: date) -> dict[tuple[str, int, int], tuple[Any, ...]]:
    """The columns FIGURES of every installment."""
    result: dict[tuple[str, int, int], tuple[Any, ...]] = {}
    for v, ended_on, end_kind in book.known_versions(as_of):
        view, firsts = known(book, v, as_of, as_of), first_verdicts(book, v, as_of)
        for sequence, line in view.lines.items():
            satisfied, deadline, verdict = judge(book, v, view, sequence, as_of)
            last_day = deadline or line.due_date + timedelta(days=line.grace_days)
            mine = [(p.payment.received_date, p.amount) for p in view.parts if p.sequence == sequence]
            figures = (
                line.amount,
                sum(a for _, a in mine),
                sum(a for d, a in mine if d < line.due_date),
                sum(a for d, a in mine if d > line.due_date),
                sum(a for d, a in mine if d <= last_day),
            )
            first = firsts.get(sequence)
            said: tuple[Any, ...]
            if ended_on and verdict is None:
                said = (end_kind, None, None, None, None, None)
            elif verdict == "kept":
                said = ("kept", "kept", first, satisfied, None, satisfied is not None and satisfied <= line.due_date)
            elif deadline is not None and as_of > deadline:
                said = ("recovered" if satisfied else "broken", verdict, first, satisfied, deadline + timedelta(days=1), False)
            else:
                said = (open_state(line.due_date, deadline, as_of), "open", first, satisfied, None, None)
            result[v.commitment_id, v.version, sequence] = (*said, *figures)
    return result


@settings(max_examples=24, **SLOW_IS_FINE)
@given(book=books(), as_of=st.integers(0, DAYS + 20).map(lambda n: START + timedelta(days=n)))
def test_every_state_and_verdict_is_what_the_plain_replay_says(book: Book, as_of: date) -> None:
    con = book.outcomes(as_of, ("outcomes", "published"))
    rows = rows_of(con, "from outcomes.installments")
    found = {(r["commitment_id"], r["version"], r["sequence"]): tuple(r[name] for name in FIGURES) for r in rows}
    assert found == expected(book, as_of)
    broken = [(v.name, v.detail) for stage in ("outcomes", "published") for v in run_checks(con, stage) if not v.passed]
    con.close()
    assert broken == []


@settings(max_examples=12, **SLOW_IS_FINE)
@given(book=books(), earlier=days(DAYS), later=days(DAYS + 20))
def test_a_run_for_an_earlier_day_gives_the_beginning_of_the_same_history(book: Book, earlier: date, later: date) -> None:
    earlier, later = min(earlier, later), max(earlier, later)
    histories = []
    for as_of in (earlier, later):
        con = book.outcomes(as_of)
        query = f"from outcomes.transitions where effective_on <= '{earlier}' order by all"
        histories.append([tuple(row.values()) for row in rows_of(con, query)])
        con.close()
    assert histories[0] == histories[1]
