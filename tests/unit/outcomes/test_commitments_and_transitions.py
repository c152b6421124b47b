"""Life cycle, totals and the history of changes, by example."""

import json
from datetime import date
from decimal import Decimal
from typing import Any

from tests.unit.outcomes.books import Book, rows_of

ORDER = "commitment_id, version, effective_on, sequence, from_state, to_state"
MONTHS = [(f"2026-{month:02d}-15", 10000) for month in range(1, 5)]


def versions(book: Book, as_of: str) -> list[dict[str, Any]]:
    return rows_of(book.outcomes(as_of), "from outcomes.commitments order by commitment_id, version")


def changes(book: Book, as_of: str) -> list[tuple[Any, ...]]:
    rows = rows_of(book.outcomes(as_of), f"from outcomes.transitions order by {ORDER}")
    return [(r["sequence"], r["from_state"], r["to_state"], str(r["effective_on"])) for r in rows]


def test_a_commitment_waits_is_rejected_or_sent_back_before_it_counts() -> None:
    book = Book()
    for name, decision in (("A", None), ("B", "reject"), ("C", "send_back"), ("D", "approve")):
        book.commits(name, *MONTHS, decision=decision)
    rows = versions(book, "2026-01-02")
    assert [r["status"] for r in rows] == ["pending_approval", "rejected", "draft", "active"]
    assert [r["installment_count"] for r in rows] == [0, 0, 0, 4]


def test_the_version_in_force_is_current_while_new_terms_wait() -> None:
    book = Book().commits("A", *MONTHS).commits("A", *MONTHS, agreed_on="2026-02-01", decision=None)
    rows = versions(book, "2026-02-02")
    assert [(r["status"], r["is_current"]) for r in rows] == [("active", True), ("pending_approval", False)]


def test_new_terms_supersede_the_old_ones_from_the_day_they_were_agreed() -> None:
    book = Book().commits("A", *MONTHS).commits("A", *MONTHS, agreed_on="2026-02-01")
    assert [(r["status"], r["is_current"]) for r in versions(book, "2026-01-31")] == [("active", True)]
    assert [(r["status"], r["is_current"]) for r in versions(book, "2026-02-01")] == [("superseded", False), ("active", True)]


def test_a_cancelled_commitment_stays_to_be_looked_at() -> None:
    book = Book().commits("A", *MONTHS, cancelled_on=date(2026, 1, 10))
    (row,) = versions(book, "2026-02-01")
    assert (row["status"], row["is_current"], row["outstanding_minor"], row["escalation_stage"]) == ("cancelled", True, 0, "none")


def test_a_commitment_is_completed_by_its_last_installment() -> None:
    book = Book().commits("A", *MONTHS).pays("A", "2026-01-15", 20000).pays("A", "2026-02-03", 20000)
    (row,) = versions(book, "2026-02-03")
    assert (row["status"], row["completed_on"], row["next_due_date"]) == ("completed", date(2026, 2, 3), None)
    assert (row["paid_minor"], row["outstanding_minor"], row["kept_count"]) == (40000, 0, 4)


def test_adherence_is_kept_by_judged_rounded_half_up_and_exact() -> None:
    book = Book(default_after_broken=9).commits("A", *MONTHS[:3]).pays("A", "2026-01-15", 10000).pays("A", "2026-02-15", 10000)
    (row,) = versions(book, "2026-04-01")
    assert (row["judged_count"], row["kept_count"], row["adherence"]) == (3, 2, Decimal("0.6667"))


def test_one_broken_installment_escalates_and_the_second_defaults() -> None:
    book = Book(default_after_broken=2).commits("A", *MONTHS)
    (row,) = versions(book, "2026-01-16")
    assert (row["status"], row["escalation_stage"], row["broken_since"]) == ("active", "stage_1", date(2026, 1, 16))
    (row,) = versions(book, "2026-02-16")
    assert (row["status"], row["escalation_stage"], row["defaulted_on"], row["overdue_minor"]) == (
        "defaulted", "exec", date(2026, 2, 16), 20000,
    )  # fmt: skip


def test_recovering_ends_the_escalation_but_not_the_count() -> None:
    book = Book().commits("A", *MONTHS).pays("A", "2026-01-20", 10000)
    (row,) = versions(book, "2026-01-21")
    assert (row["escalation_stage"], row["broken_count"], row["broken_now_count"], row["overdue_minor"]) == ("none", 1, 0, 0)
    assert versions(book, "2026-02-16")[0]["status"] == "defaulted"


def test_the_next_due_date_of_a_plan_moves_on_and_of_a_repeating_promise_does_not() -> None:
    book = Book().commits("A", *MONTHS).commits("R", *MONTHS, kind="repeating_promise").pays("A", "2026-01-10", 4000)
    plan, repeating = versions(book, "2026-01-10")
    assert (plan["next_due_date"], plan["next_due_minor"]) == (date(2026, 1, 15), 6000)
    plan, repeating = versions(book, "2026-01-20")
    assert (plan["next_due_date"], repeating["next_due_date"]) == (date(2026, 2, 15), date(2026, 1, 15))


def test_the_history_of_a_plan_tells_every_change_in_order() -> None:
    book = Book(grace_days=1).commits("A", *MONTHS[:3]).pays("A", "2026-01-13", 10000).pays("A", "2026-02-20", 20000)
    assert changes(book, "2026-06-01") == [
        (1, "due_soon", "kept", "2026-01-13"),
        (0, "none", "stage_1", "2026-02-17"),
        (2, "in_grace", "broken", "2026-02-17"),
        (0, "active", "completed", "2026-02-20"),
        (0, "stage_1", "none", "2026-02-20"),
        (2, "broken", "recovered", "2026-02-20"),
        (3, "scheduled", "kept", "2026-02-20"),
    ]


def test_a_payment_that_bounces_later_turns_the_installment_and_the_commitment_on_the_day_it_bounced() -> None:
    book = Book(default_after_broken=1).commits("A", ("2026-01-15", 10000)).pays("A", "2026-01-15", 10000, bounced_on="2026-02-03")
    assert changes(book, "2026-02-10") == [
        (0, "active", "completed", "2026-01-15"),
        (1, "due_soon", "kept", "2026-01-15"),
        (0, "completed", "defaulted", "2026-02-03"),
        (0, "none", "exec", "2026-02-03"),
        (1, "kept", "broken", "2026-02-03"),
    ]
    con = book.outcomes("2026-02-10", ("outcomes", "published"))
    turned = rows_of(con, "from published.transitions where from_state = 'kept'")[0]
    assert turned["cause"] == "A payment was returned: 100.00 of 100.00 USD due 15 January 2026 is missing again."
    assert json.loads(turned["figures"])["missing_at_deadline"] == "100.00"


def test_new_terms_end_what_was_still_open() -> None:
    book = Book().commits("A", *MONTHS[:2]).commits("A", ("2026-05-15", 20000), agreed_on="2026-01-20")
    assert [c for c in changes(book, "2026-02-01") if c[3] == "2026-01-20"] == [
        (0, "active", "superseded", "2026-01-20"),
        (0, "stage_1", "none", "2026-01-20"),
        (2, "scheduled", "superseded", "2026-01-20"),
    ]


def test_a_later_run_repeats_all_earlier_transitions_and_adds_to_them() -> None:
    book = Book(grace_days=2, tolerance_amount="1").commits("A", *MONTHS).commits("R", *MONTHS, kind="repeating_promise")
    book.pays("A", "2026-01-14", 10000, bounced_on="2026-02-11").pays("A", "2026-02-16", 9950).pays("R", "2026-01-30", 15000)
    book.pays("R", "2026-03-02", 20000, bounced_on="2026-03-20").commits("A", ("2026-06-01", 20000), agreed_on="2026-03-16")

    def history(as_of: str) -> list[tuple[Any, ...]]:
        return [tuple(r.values()) for r in rows_of(book.outcomes(as_of), f"from outcomes.transitions order by {ORDER}")]

    whole = history("2026-07-01")
    effective_on = 6
    for as_of in ("2026-01-16", "2026-01-31", "2026-02-11", "2026-02-17", "2026-03-16", "2026-03-20", "2026-04-30"):
        assert history(as_of) == [row for row in whole if row[effective_on] <= date.fromisoformat(as_of)]


def test_an_installment_paid_from_held_credit_moves_on_its_due_date() -> None:
    book = Book().commits("A", *MONTHS[:2], rule="hold").pays("A", "2026-01-15", 20000)
    assert changes(book, "2026-03-01") == [
        (1, "due_soon", "kept", "2026-01-15"),
        (0, "active", "completed", "2026-02-15"),
        (2, "due_soon", "kept", "2026-02-15"),
    ]


def test_a_chargeback_makes_a_completed_commitment_active_again_and_says_which_payment() -> None:
    book = Book().commits("A", *MONTHS[:2]).pays("A", "2026-01-15", 20000, charged_back=("2026-02-10", 5000)).pays("A", "2026-02-14", 5000)
    con = book.outcomes("2026-03-01")
    rows = rows_of(con, f"from outcomes.transitions order by {ORDER}")
    assert [
        (r["sequence"], r["from_state"], r["to_state"], str(r["effective_on"]), r["turned_by"], r["turned_by_payment_id"]) for r in rows
    ] == [
        (0, "active", "completed", "2026-01-15", None, None),
        (1, "due_soon", "kept", "2026-01-15", None, None),
        (2, "scheduled", "kept", "2026-01-15", None, None),
        (0, "completed", "active", "2026-02-10", "charged_back", "P001"),
        (2, "kept", "scheduled", "2026-02-10", "charged_back", "P001"),
        (0, "active", "completed", "2026-02-14", None, None),
        (2, "due_soon", "kept", "2026-02-14", None, None),
    ]
    assert [r["amount_minor"] for r in rows if r["sequence"] == 2] == [10000, 15000, 15000]


def test_an_installment_a_chargeback_added_counts_and_goes_when_the_payment_itself_comes_back() -> None:
    book = Book(default_after_broken=3).commits("A", ("2026-01-15", 10000))
    book.pays("A", "2026-01-15", 10000, charged_back=("2026-02-03", 10000), bounced_on="2026-02-10")
    (row,) = versions(book, "2026-02-04")
    assert (row["status"], row["installment_count"], row["charged_back_minor"], row["outstanding_minor"]) == ("active", 2, 10000, 10000)
    assert changes(book, "2026-02-10") == [
        (0, "active", "completed", "2026-01-15"),
        (1, "due_soon", "kept", "2026-01-15"),
        (0, "completed", "active", "2026-02-03"),
        (0, "none", "stage_1", "2026-02-04"),
        (2, "due_today", "broken", "2026-02-04"),
        (1, "kept", "broken", "2026-02-10"),
        (2, "broken", "cancelled", "2026-02-10"),
    ]
    (row,) = versions(book, "2026-02-10")
    assert (row["installment_count"], row["charged_back_minor"], row["outstanding_minor"]) == (1, 0, 10000)


def test_a_bounce_is_told_from_a_chargeback_on_the_same_commitment() -> None:
    book = Book().commits("A", *MONTHS[:3]).pays("A", "2026-01-15", 10000, bounced_on="2026-01-25")
    book.pays("A", "2026-02-10", 20000, charged_back=("2026-02-20", 3000))
    rows = rows_of(book.outcomes("2026-03-01"), f"from outcomes.transitions where turned_by is not null order by {ORDER}")
    assert [(r["sequence"], r["to_state"], str(r["effective_on"]), r["turned_by"]) for r in rows] == [
        (1, "broken", "2026-01-25", "returned")
    ]
