"""State, verdict, dates and reason of single installments: one example for every rule of DESIGN §6."""

from datetime import date
from typing import Any

import pytest

from tests.unit.outcomes.books import Book, rows_of

DUE = "2026-05-15"


def outcome(book: Book, as_of: str, commitment_id: str = "A", sequence: int = 1, version: int = 1) -> dict[str, Any]:
    """The installment, with the sentence it is published with."""
    con = book.outcomes(as_of, ("outcomes", "published"))
    (row,) = rows_of(
        con,
        "select i.*, p.reason from outcomes.installments i join published.installments p using (commitment_id, version, sequence)"
        f" where commitment_id = '{commitment_id}' and version = {version} and sequence = {sequence}",
    )
    return row


def picked(row: dict[str, Any], *names: str) -> tuple[Any, ...]:
    return tuple(row[name] for name in names)


@pytest.mark.parametrize(
    ("as_of", "status"),
    [
        ("2026-05-11", "scheduled"),
        ("2026-05-12", "due_soon"),
        ("2026-05-14", "due_soon"),
        ("2026-05-15", "due_today"),
        ("2026-05-16", "in_grace"),
        ("2026-05-17", "in_grace"),
        ("2026-05-18", "broken"),
    ],
)
def test_an_unpaid_installment_goes_from_scheduled_to_broken(as_of: str, status: str) -> None:
    row = outcome(Book(grace_days=2).commits("A", (DUE, 50000)), as_of)
    assert row["status"] == status
    assert row["verdict"] == ("broken" if status == "broken" else "open")
    assert row["broken_on"] == (date(2026, 5, 18) if status == "broken" else None)


def test_a_partly_paid_installment_says_what_arrived_and_what_is_missing() -> None:
    row = outcome(Book().commits("A", (DUE, 50000)).pays("A", "2026-05-14", 45000), "2026-05-20")
    assert picked(row, "status", "verdict", "first_verdict", "outstanding_minor", "days_late") == (
        "broken", "partially_kept", "partially_kept", 5000, 5,
    )  # fmt: skip
    assert row["reason"] == "450.00 of 500.00 USD due 15 May 2026 arrived by 15 May 2026; 50.00 is missing."


def test_an_unpaid_installment_says_that_nothing_arrived() -> None:
    row = outcome(Book().commits("A", (DUE, 123456789)), "2026-05-20")
    assert row["reason"] == "Nothing of 1,234,567.89 USD due 15 May 2026 arrived by 15 May 2026; 1,234,567.89 is missing."


@pytest.mark.parametrize(("currency", "said"), [("JPY", "50,000 JPY"), ("KWD", "50.000 KWD"), ("EUR", "500.00 EUR")])
def test_figures_in_the_reason_have_the_decimals_of_their_currency(currency: str, said: str) -> None:
    row = outcome(Book().commits("A", (DUE, 50000), currency=currency), "2026-05-20")
    assert row["reason"].startswith(f"Nothing of {said} due 15 May 2026")


def test_money_on_the_due_date_keeps_the_promise_on_time() -> None:
    row = outcome(Book().commits("A", (DUE, 50000)).pays("A", DUE, 50000), DUE)
    assert picked(row, "status", "verdict", "on_time", "kept_on", "days_late") == ("kept", "kept", True, date(2026, 5, 15), 0)
    assert row["reason"] == "500.00 USD due 15 May 2026 was paid by 15 May 2026."


def test_money_in_the_days_of_grace_keeps_the_promise_but_not_on_time() -> None:
    row = outcome(Book(grace_days=3).commits("A", (DUE, 50000)).pays("A", "2026-05-18", 50000), "2026-05-30")
    assert picked(row, "status", "verdict", "on_time", "days_late", "broken_on") == ("kept", "kept", False, 3, None)
    assert row["reason"] == "500.00 USD due 15 May 2026 was paid by 18 May 2026, within the days of grace."


def test_money_after_the_deadline_recovers_a_broken_promise() -> None:
    row = outcome(Book().commits("A", (DUE, 50000)).pays("A", "2026-05-14", 20000).pays("A", "2026-05-19", 30000), "2026-05-30")
    assert picked(row, "status", "verdict", "first_verdict", "on_time") == ("recovered", "partially_kept", "partially_kept", False)
    assert picked(row, "broken_on", "kept_on", "days_late") == (date(2026, 5, 16), date(2026, 5, 19), 4)
    assert row["reason"] == "200.00 of 500.00 USD due 15 May 2026 arrived by 15 May 2026; the rest came by 19 May 2026, 4 days late."


def test_money_on_the_due_day_alone_is_neither_in_advance_nor_late() -> None:
    row = outcome(Book().commits("A", (DUE, 50000)).pays("A", DUE, 50000), "2026-05-30")
    assert picked(row, "paid_minor", "paid_in_advance_minor", "paid_late_minor", "on_time") == (50000, 0, 0, True)


def test_money_is_told_apart_by_in_advance_on_the_day_and_late() -> None:
    book = Book().commits("A", (DUE, 50000)).pays("A", "2026-05-14", 10000).pays("A", DUE, 20000).pays("A", "2026-05-16", 5000)
    row = outcome(book, "2026-05-30")
    assert picked(row, "paid_minor", "paid_in_advance_minor", "paid_late_minor", "paid_by_deadline_minor") == (35000, 10000, 5000, 30000)
    assert row["reason"] == "300.00 of 500.00 USD due 15 May 2026 arrived by 15 May 2026; 50.00 came later; 150.00 is missing."


def test_an_open_installment_has_no_first_verdict_even_when_it_is_satisfied() -> None:
    book = Book(grace_days=1).commits("A", (DUE, 50000)).pays("A", "2026-05-01", 50000)
    assert picked(outcome(book, "2026-05-16"), "status", "verdict", "first_verdict") == ("kept", "kept", None)
    assert picked(outcome(book, "2026-05-17"), "status", "verdict", "first_verdict") == ("kept", "kept", "kept")


def test_a_shortfall_within_the_tolerance_amount_is_kept_and_still_shows_what_is_missing() -> None:
    book = Book(tolerance_amount="0.30").commits("A", (DUE, 50000)).pays("A", DUE, 49970)
    row = outcome(book, "2026-05-30")
    assert picked(row, "status", "verdict", "outstanding_minor", "tolerance_minor") == ("kept", "kept", 30, 30)
    assert row["reason"] == "499.70 of 500.00 USD due 15 May 2026 arrived by 15 May 2026; the missing 0.30 is within the tolerance."


def test_one_cent_more_than_the_tolerance_is_not_kept() -> None:
    book = Book(tolerance_amount="0.30").commits("A", (DUE, 50000)).pays("A", DUE, 49969)
    assert outcome(book, "2026-05-30")["verdict"] == "partially_kept"


@pytest.mark.parametrize(
    ("amount", "percent", "currency", "tolerance"),
    [
        ("0.30", "1", "USD", 500),  # the larger of both
        ("6", "1", "USD", 600),
        ("0", "0.0333", "USD", 16),  # 16.65 rounded down
        ("1.5", "0", "JPY", 1),  # one yen and a half forgives one yen
        ("1.5", "0", "KWD", 1500),
    ],
)
def test_tolerance_is_the_larger_of_amount_and_percentage_in_whole_minor_units(
    amount: str, percent: str, currency: str, tolerance: int
) -> None:
    book = Book(tolerance_amount=amount, tolerance_percent=percent).commits("A", (DUE, 50000), currency=currency)
    assert outcome(book, DUE)["tolerance_minor"] == tolerance


def test_a_standing_order_a_little_short_every_month_never_breaks_the_plan() -> None:
    dues = [(f"2026-{month:02d}-15", 10000) for month in range(1, 7)]
    book = Book(tolerance_amount="0.30").commits("A", *dues, agreed_on="2025-12-01")
    for due, _ in dues:
        book.pays("A", due, 9970)
    statuses = {r["status"] for r in rows_of(book.outcomes("2026-12-31"), "from outcomes.installments")}
    assert statuses == {"kept"}


def test_tolerances_add_up_so_an_earlier_shortfall_can_break_a_later_installment() -> None:
    book = Book(tolerance_amount="1").commits("A", ("2026-01-15", 10000), ("2026-02-15", 10000)).pays("A", "2026-01-15", 9900)
    book.pays("A", "2026-02-15", 9899)
    assert outcome(book, "2026-03-01", sequence=1)["status"] == "kept"
    assert outcome(book, "2026-03-01", sequence=2)["verdict"] == "partially_kept"


def test_an_installment_within_the_tolerance_needs_no_money() -> None:
    row = outcome(Book(tolerance_amount="5").commits("A", (DUE, 400), agreed_on="2026-05-02"), "2026-05-30")
    assert picked(row, "status", "kept_on", "outstanding_minor") == ("kept", date(2026, 5, 2), 400)


def test_a_payment_that_bounces_after_the_verdict_turns_the_verdict_but_not_the_first_one() -> None:
    book = Book().commits("A", (DUE, 50000)).pays("A", "2026-05-14", 50000, bounced_on="2026-05-20")
    assert picked(outcome(book, "2026-05-19"), "status", "verdict", "first_verdict") == ("kept", "kept", "kept")
    row = outcome(book, "2026-05-20")
    assert picked(row, "status", "verdict", "first_verdict", "on_time") == ("broken", "broken", "kept", False)
    assert row["reason"] == (
        "Nothing of 500.00 USD due 15 May 2026 arrived by 15 May 2026; 500.00 is missing; it had been kept, until a payment was returned."
    )


def test_a_payment_that_bounces_on_the_deadline_itself_never_counted() -> None:
    book = Book().commits("A", (DUE, 50000)).pays("A", "2026-05-14", 50000, bounced_on=DUE)
    assert picked(outcome(book, "2026-05-16"), "verdict", "first_verdict") == ("broken", "broken")


def test_a_bounced_payment_that_is_paid_again_in_time_is_kept() -> None:
    book = (
        Book(grace_days=5).commits("A", (DUE, 50000)).pays("A", "2026-05-10", 50000, bounced_on="2026-05-12").pays("A", "2026-05-19", 50000)
    )
    assert outcome(book, "2026-05-13")["status"] == "due_soon"
    assert picked(outcome(book, "2026-06-01"), "status", "first_verdict", "kept_on") == ("kept", "kept", date(2026, 5, 19))


def test_a_bounce_replays_later_money_onto_earlier_installments() -> None:
    book = Book().commits("A", ("2026-01-15", 10000), ("2026-02-15", 10000))
    book.pays("A", "2026-01-14", 10000, bounced_on="2026-03-01").pays("A", "2026-02-14", 10000)
    before, after = outcome(book, "2026-02-28", sequence=2), outcome(book, "2026-03-01", sequence=2)
    assert picked(before, "status", "first_verdict") == ("kept", "kept")
    assert picked(after, "status", "verdict", "first_verdict") == ("broken", "broken", "kept")
    assert picked(outcome(book, "2026-03-01"), "status", "kept_on", "first_verdict") == ("recovered", date(2026, 2, 14), "kept")


def test_what_a_renegotiation_replaces_before_its_due_date_is_not_scored() -> None:
    book = Book().commits("A", ("2026-01-15", 10000), ("2026-02-15", 10000), ("2026-03-15", 10000)).pays("A", "2026-01-15", 10000)
    book.commits("A", ("2026-04-15", 20000), agreed_on="2026-02-20")
    rows = [outcome(book, "2026-05-01", sequence=n) for n in (1, 2, 3)]
    assert [r["status"] for r in rows] == ["kept", "broken", "superseded"]
    assert picked(rows[2], "verdict", "first_verdict", "days_late", "outstanding_minor") == (None, None, None, 0)
    assert rows[2]["reason"] == "100.00 USD due 15 March 2026 was replaced by newer terms on 20 February 2026 before it counted."
    assert picked(rows[1], "verdict", "days_late", "outstanding_minor") == ("broken", 5, 0)


def test_an_installment_due_on_the_very_day_of_new_terms_is_not_scored() -> None:
    book = Book().commits("A", ("2026-02-15", 10000)).commits("A", ("2026-04-15", 10000), agreed_on="2026-02-15")
    assert outcome(book, "2026-03-01")["status"] == "superseded"


@pytest.mark.parametrize("paid", [0, 4000])
def test_terms_replaced_while_grace_is_running_are_not_scored(paid: int) -> None:
    book = Book(grace_days=5).commits("A", ("2026-02-15", 10000))
    if paid:
        book.pays("A", "2026-02-16", paid)
    book.commits("A", ("2026-04-15", 10000), agreed_on="2026-02-20")
    row = outcome(book, "2026-03-01")
    assert picked(row, "status", "verdict", "first_verdict", "broken_on", "days_late") == ("superseded", None, None, None, None)
    assert row["reason"] == "100.00 USD due 15 February 2026 was replaced by newer terms on 20 February 2026 before it counted."


def test_a_cancellation_while_grace_is_running_is_not_scored() -> None:
    book = Book(grace_days=5).commits("A", ("2026-02-15", 10000), cancelled_on=date(2026, 2, 18))
    assert picked(outcome(book, "2026-03-01"), "status", "verdict", "broken_on") == ("cancelled", None, None)


def test_terms_replaced_on_the_first_day_after_grace_are_scored_as_they_stood() -> None:
    book = Book(grace_days=5).commits("A", ("2026-02-15", 10000)).pays("A", "2026-02-16", 4000)
    book.commits("A", ("2026-04-15", 10000), agreed_on="2026-02-21").pays("A", "2026-02-21", 6000)
    row = outcome(book, "2026-03-01")
    assert picked(row, "status", "verdict", "deadline", "broken_on") == ("broken", "partially_kept", date(2026, 2, 20), date(2026, 2, 21))


def test_an_installment_paid_within_grace_stays_kept_when_its_terms_are_replaced_before_grace_runs_out() -> None:
    book = Book(grace_days=5).commits("A", ("2026-02-15", 10000)).pays("A", "2026-02-17", 10000)
    book.commits("A", ("2026-04-15", 5000), agreed_on="2026-02-18")
    assert picked(outcome(book, "2026-03-01"), "status", "verdict", "first_verdict") == ("kept", "kept", "kept")


def test_a_cancelled_commitment_scores_what_came_due_before() -> None:
    book = Book().commits("A", ("2026-01-15", 10000), ("2026-02-15", 10000), cancelled_on=date(2026, 2, 1))
    assert outcome(book, "2026-03-01", sequence=1)["status"] == "broken"
    row = outcome(book, "2026-03-01", sequence=2)
    assert picked(row, "status", "verdict") == ("cancelled", None)
    assert row["reason"] == "100.00 USD due 15 February 2026 was cancelled on 1 February 2026 before it counted."


def test_a_cancellation_after_the_run_date_has_not_happened() -> None:
    book = Book().commits("A", ("2026-02-15", 10000), cancelled_on=date(2026, 2, 1))
    assert outcome(book, "2026-01-31")["status"] == "scheduled"


def test_a_missed_period_of_a_repeating_promise_does_not_roll() -> None:
    book = Book().commits("A", ("2026-01-15", 10000), ("2026-02-15", 10000), kind="repeating_promise")
    row = outcome(book, "2026-06-01", sequence=2)
    assert picked(row, "status", "verdict", "deadline", "days_late", "outstanding_minor") == ("scheduled", "open", None, 0, 10000)
    assert row["reason"] == "100.00 USD scheduled for 15 February 2026 waits for the installment before it to be met."


def test_a_repeating_promise_rolls_on_the_day_the_missed_period_is_met() -> None:
    book = Book().commits("A", ("2026-01-15", 10000), ("2026-02-15", 10000), kind="repeating_promise").pays("A", "2026-03-10", 10000)
    row = outcome(book, "2026-03-10", sequence=2)
    assert picked(row, "status", "deadline") == ("in_grace", date(2026, 3, 10))
    assert row["reason"] == ("100.00 USD is due 15 February 2026, and the promise rolled to it on 10 March 2026, the last day to meet it.")
    assert picked(outcome(book, "2026-03-11", sequence=2), "status", "broken_on") == ("broken", date(2026, 3, 11))
    assert outcome(book, "2026-03-11", sequence=1)["status"] == "recovered"


def test_a_repeating_promise_paid_up_on_the_day_it_rolls_is_kept() -> None:
    book = Book().commits("A", ("2026-01-15", 10000), ("2026-02-15", 10000), kind="repeating_promise").pays("A", "2026-03-10", 20000)
    row = outcome(book, "2026-03-11", sequence=2)
    assert picked(row, "status", "verdict", "on_time", "days_late") == ("kept", "kept", False, 23)
    assert row["reason"] == "100.00 USD due 15 February 2026 was paid by 10 March 2026, on the day the promise rolled to it."


def test_a_repeating_promise_met_in_time_rolls_forward_one_period() -> None:
    book = Book().commits("A", ("2026-01-15", 10000), ("2026-02-15", 10000), kind="repeating_promise").pays("A", "2026-01-15", 10000)
    assert outcome(book, "2026-02-14", sequence=2)["status"] == "due_soon"
    assert outcome(book, "2026-02-16", sequence=2)["status"] == "broken"


def test_installments_listed_out_of_order_are_judged_by_due_date() -> None:
    book = Book().commits("A", ("2026-02-15", 10000), ("2026-01-15", 5000)).pays("A", "2026-01-10", 5000)
    assert outcome(book, "2026-01-20", sequence=2)["status"] == "kept"
    assert outcome(book, "2026-02-20", sequence=1)["status"] == "broken"


def test_surplus_kept_for_the_last_installment_does_not_satisfy_the_first() -> None:
    con = Book().commits("A", ("2026-01-15", 10000), ("2026-02-15", 10000), ("2026-03-15", 10000)).at("2026-02-01")
    con.execute("insert into matching.allocation_history values ('A', 1, 3, 'P1', '2026-01-10', '2026-01-10', 10000, null, null)")
    con.execute("insert into matching.allocations values ('P1', 'A', 1, 3, 10000, '2026-01-10', '2026-01-10', 'commitment_id', 'x', false)")
    Book.make(con, ("outcomes",))
    rows = rows_of(con, "from outcomes.installments order by sequence")
    assert [r["status"] for r in rows] == ["broken", "scheduled", "scheduled"]
    assert [r["paid_minor"] for r in rows] == [0, 0, 10000]


def test_credit_taken_over_from_an_older_version_counts_from_the_first_day_of_the_new_one() -> None:
    con = Book().commits("A", ("2026-03-15", 10000), agreed_on="2026-02-20").at("2026-03-01")
    con.execute("insert into matching.allocation_history values ('A', 1, 1, 'P1', '2026-02-10', '2026-02-20', 10000, null, null)")
    con.execute("insert into matching.allocations values ('P1', 'A', 1, 1, 10000, '2026-02-10', '2026-02-20', 'commitment_id', 'x', false)")
    Book.make(con, ("outcomes",))
    (row,) = rows_of(con, "from outcomes.installments")
    assert picked(row, "status", "kept_on") == ("kept", date(2026, 2, 10))
    (change,) = rows_of(con, "from outcomes.transitions where sequence = 1")
    assert picked(change, "from_state", "to_state", "effective_on") == ("scheduled", "kept", date(2026, 2, 20))


def test_credit_that_is_held_is_not_paid_until_it_is_applied_on_the_due_date() -> None:
    book = Book().commits("A", ("2026-03-10", 10000), ("2026-04-10", 10000), rule="hold")
    book.pays("A", "2026-03-10", 15000).pays("A", "2026-03-20", 5000)
    assert picked(outcome(book, "2026-04-09", sequence=2), "status", "paid_minor", "outstanding_minor") == ("due_soon", 0, 10000)
    row = outcome(book, "2026-04-10", sequence=2)
    assert picked(row, "status", "first_verdict", "on_time", "kept_on") == ("kept", None, True, date(2026, 3, 20))
    assert picked(row, "paid_in_advance_minor", "paid_late_minor", "days_late") == (10000, 0, 0)
    assert outcome(book, "2026-04-11", sequence=2)["first_verdict"] == "kept"


@pytest.mark.parametrize(("rule", "paid"), [("next", [10000, 5000, 0]), ("last", [10000, 0, 5000]), ("spread", [10000, 2500, 2500])])
def test_surplus_pays_later_installments_by_rule_and_in_advance(rule: str, paid: list[int]) -> None:
    book = Book().commits("A", ("2026-03-10", 10000), ("2026-04-10", 10000), ("2026-05-10", 10000), rule=rule)
    rows = rows_of(book.pays("A", "2026-03-10", 15000).outcomes("2026-03-11"), "from outcomes.installments order by sequence")
    assert [r["paid_minor"] for r in rows] == paid
    assert [r["paid_in_advance_minor"] for r in rows] == [0, *paid[1:]]
    assert [r["status"] for r in rows] == ["kept", "scheduled", "scheduled"]


def test_a_chargeback_enlarges_the_next_installment_from_its_day_on_and_opens_it_again() -> None:
    book = (
        Book().commits("A", ("2026-01-15", 10000), ("2026-02-15", 10000)).pays("A", "2026-01-15", 20000, charged_back=("2026-02-01", 6000))
    )
    assert picked(outcome(book, "2026-01-31", sequence=2), "status", "amount_minor", "charged_back_minor") == ("kept", 10000, 0)
    row = outcome(book, "2026-02-01", sequence=2)
    assert picked(row, "status", "amount_minor", "charged_back_minor", "paid_minor", "kept_on") == ("scheduled", 16000, 6000, 10000, None)
    assert outcome(book, "2026-02-01", sequence=1)["status"] == "kept"
    assert picked(outcome(book, "2026-02-16", sequence=2), "status", "first_verdict") == ("broken", "partially_kept")
    book.pays("A", "2026-02-14", 6000)
    row = outcome(book, "2026-02-20", sequence=2)
    assert picked(row, "status", "first_verdict", "kept_on", "paid_in_advance_minor") == ("kept", "kept", date(2026, 2, 14), 16000)


def test_a_chargeback_after_the_last_due_date_adds_an_installment_that_is_judged_like_any_other() -> None:
    book = Book(grace_days=2).commits("A", (DUE, 50000)).pays("A", DUE, 50000, charged_back=("2026-06-01", 20000))
    row = outcome(book, "2026-06-01", sequence=2)
    assert picked(row, "status", "due_date", "amount_minor", "charged_back_minor", "is_added") == (
        "due_today", date(2026, 6, 1), 20000, 20000, True,
    )  # fmt: skip
    assert picked(outcome(book, "2026-06-04", sequence=2), "status", "first_verdict", "broken_on") == ("broken", "broken", date(2026, 6, 4))
    assert picked(outcome(book, "2026-06-04", sequence=1), "status", "amount_minor") == ("kept", 50000)


def test_tolerance_by_percentage_grows_with_what_a_chargeback_added() -> None:
    book = Book(tolerance_percent="1").commits("A", (DUE, 50000)).pays("A", "2026-05-01", 50000, charged_back=("2026-05-10", 50000))
    assert picked(outcome(book, "2026-05-10"), "amount_minor", "tolerance_minor", "status") == (100000, 1000, "scheduled")
    assert picked(outcome(book.pays("A", DUE, 49000), "2026-05-20"), "status", "outstanding_minor") == ("kept", 1000)


def test_a_repeating_promise_rolls_when_two_installments_are_satisfied_together() -> None:
    """1 of 40 is missing: more than the first forgives, but not more than both together."""
    book = Book(tolerance_percent="2.5").commits("A", ("2026-01-01", 20), ("2026-02-15", 40), kind="repeating_promise")
    book.pays("A", "2026-01-02", 59)
    assert picked(outcome(book, "2026-02-20", sequence=2), "status", "verdict", "kept_on") == ("kept", "kept", date(2026, 1, 2))
