"""Verdicts against the plainest possible replay: day by day, payment by payment, nothing clever."""

from datetime import date, timedelta
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ptp_pipeline.warehouse.checks import run_checks
from tests.unit.outcomes.books import Book, Version, rows_of

START = date(2026, 1, 1)
DAYS = 60


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
    for name in ("A", "B"):
        kind = draw(st.sampled_from(["plan", "repeating_promise"]))
        for number in range(draw(st.integers(1, 2))):
            agreed_on = START if number == 0 else draw(days(40))
            lines = draw(st.lists(st.tuples(days(), st.integers(1, 200)), min_size=1, max_size=4))
            cancelled_on = draw(st.none() | days()) if number == 0 else None
            cancelled_on = max(cancelled_on, agreed_on) if cancelled_on else None
            book.commits(name, *sorted(lines), kind=kind, agreed_on=agreed_on, cancelled_on=cancelled_on)
    for _ in range(draw(st.integers(0, 8))):
        received = draw(days())
        after = draw(st.none() | st.integers(0, 20))
        bounced = None if after is None else received + timedelta(days=after)
        book.pays(draw(st.sampled_from(["A", "B"])), received, draw(st.integers(1, 300)), bounced)
    return book


def tolerance(book: Book, amount: int) -> int:
    by_amount = int(float(book.tolerance_amount) * 100 + 0.5)
    return max(by_amount, amount * int(float(book.tolerance_percent) * 10) // 1000)


def satisfied_dates(book: Book, v: Version, ended_on: date | None, known_on: date, as_of: date) -> list[date | None]:
    """For each installment the first date on which what is missing up to it was within the tolerances."""
    parts = book.allocate(v, ended_on, known_on, as_of)
    found: list[date | None] = []
    for k in range(len(v.installments)):
        allowed = sum(tolerance(book, i.amount) for i in v.installments[: k + 1])
        owed = sum(i.amount for i in v.installments[: k + 1])
        candidates = [v.agreed_on, *sorted(p.received_date for p, _, _ in parts)]
        paid = {d: sum(a for p, n, a in parts if n <= k + 1 and p.received_date <= d) for d in candidates}
        needs_none = owed <= allowed
        found.append(next((d for d in candidates if (needs_none or paid[d] > 0) and owed - paid[d] <= allowed), None))
    return found


def judge(book: Book, v: Version, k: int, known_on: date, as_of: date) -> tuple[date | None, date | None, str | None]:
    """(satisfied on, deadline, verdict at the deadline) of installment k, knowing of no reversal after `known_on`."""
    (ended_on,) = [end for known, end, _ in book.known_versions(as_of) if known is v]
    satisfied = satisfied_dates(book, v, ended_on, known_on, as_of)
    line = v.installments[k]
    rolled = satisfied[k - 1] if v.kind == "repeating_promise" and k > 0 else date.min
    if rolled is None:
        return satisfied[k], None, None
    deadline = line.due_date + timedelta(days=line.grace_days)
    if ended_on and line.due_date >= ended_on:
        return satisfied[k], max(deadline, rolled), None
    deadline = max(deadline, rolled)
    if satisfied[k] is not None and satisfied[k] <= deadline:
        return satisfied[k], deadline, "kept"
    if ended_on and ended_on <= deadline:
        return satisfied[k], deadline, None
    mine = [p for p, n, _ in book.allocate(v, ended_on, known_on, as_of) if n == k + 1 and p.received_date <= deadline]
    return satisfied[k], deadline, "partially_kept" if mine else "broken"


def first_verdict(book: Book, v: Version, k: int, as_of: date) -> str | None:
    """What a judge who comes every evening says on the evening of the deadline."""
    for n in range((as_of - START).days):
        day = START + timedelta(days=n)
        _, deadline, verdict = judge(book, v, k, day, as_of)
        if verdict and deadline == day:
            return verdict
    return None


def open_state(due_date: date, deadline: date | None, as_of: date) -> str:
    if deadline is None or due_date > as_of + timedelta(days=3):
        return "scheduled"
    if due_date > as_of:
        return "due_soon"
    return "due_today" if due_date == as_of else "in_grace"


def expected(book: Book, as_of: date) -> dict[tuple[str, int, int], tuple[Any, ...]]:
    """(status, verdict, first verdict, kept on, broken on) of every installment."""
    result: dict[tuple[str, int, int], tuple[Any, ...]] = {}
    for v, ended_on, end_kind in book.known_versions(as_of):
        for k, line in enumerate(v.installments):
            satisfied, deadline, verdict = judge(book, v, k, as_of, as_of)
            key = (v.commitment_id, v.version, k + 1)
            if ended_on and verdict is None:
                result[key] = (end_kind, None, None, None, None)
                continue
            first = first_verdict(book, v, k, as_of)
            if verdict == "kept":
                result[key] = ("kept", "kept", first, satisfied, None)
            elif deadline is not None and as_of > deadline:
                status = "recovered" if satisfied else "broken"
                result[key] = (status, verdict, first, satisfied, deadline + timedelta(days=1))
            else:
                result[key] = (open_state(line.due_date, deadline, as_of), "open", first, satisfied, None)
    return result


@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(book=books(), as_of=st.integers(0, DAYS + 20).map(lambda n: START + timedelta(days=n)))
def test_every_state_and_verdict_is_what_the_plain_replay_says(book: Book, as_of: date) -> None:
    con = book.outcomes(as_of, ("outcomes", "published"))
    rows = rows_of(con, "from outcomes.installments")
    found = {
        (r["commitment_id"], r["version"], r["sequence"]): (r["status"], r["verdict"], r["first_verdict"], r["kept_on"], r["broken_on"])
        for r in rows
    }
    assert found == expected(book, as_of)
    broken = [(v.name, v.detail) for stage in ("outcomes", "published") for v in run_checks(con, stage) if not v.passed]
    con.close()
    assert broken == []


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(book=books(), earlier=days(DAYS), later=days(DAYS + 20))
def test_a_run_for_an_earlier_day_gives_the_beginning_of_the_same_history(book: Book, earlier: date, later: date) -> None:
    earlier, later = min(earlier, later), max(earlier, later)
    histories = []
    for as_of in (earlier, later):
        con = book.outcomes(as_of)
        query = f"from outcomes.transitions where effective_on <= '{earlier}'"
        histories.append([tuple(row.values()) for row in rows_of(con, query)])
        con.close()
    assert histories[0] == histories[1]
