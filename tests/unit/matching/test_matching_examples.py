"""Each route, each messy case, in a book of a few lines. Amounts are cents unless a currency says otherwise."""

import pytest

from ptp_pipeline.domain.money import exponent

from .batch import matched
from .books import EXPONENTS, Book
from .told import settle


def one_plan() -> Book:
    book = Book()
    book.commit("C-9", "02-01", ("03-01", 10000), ("04-01", 10000), invoices=["INV-4"])
    return book


def two_plans() -> Book:
    book = Book()
    book.commit("C-1", "02-01", ("03-10", 10000), ("04-10", 10000), invoices=["INV-1"])
    book.commit("C-2", "02-01", ("03-05", 7000), ("04-05", 7000), invoices=["INV-2", "INV-10"])
    return book


def route_of(book: Book, payment_id: str = "P-1") -> tuple[str | None, str | None]:
    row = matched(book).payment(payment_id)
    return row["matched_by"], row["target_commitment_id"]


def problem_of(book: Book, payment_id: str = "P-1") -> str:
    row = matched(book).payment(payment_id)
    assert row["matched_by"] is None
    assert row["unapplied_minor"] == row["amount_minor"]
    return row["problem"]


# Routes, in the order in which they apply


def test_an_override_beats_the_commitment_named_on_the_row() -> None:
    book = two_plans()
    book.pay("P-1", "03-01", 500, commitment_id="C-1")
    book.assign("P-1", "C-2")
    assert route_of(book) == ("override", "C-2")


def test_an_override_to_nothing_sets_the_payment_aside_with_its_reason() -> None:
    book = two_plans()
    book.pay("P-1", "03-01", 500, commitment_id="C-1")
    book.assign("P-1", None)
    row = matched(book).payment("P-1")
    assert (row["match_status"], row["unapplied_minor"]) == ("set_aside", 500)
    assert (row["matched_by"], row["matched_on"], row["problem"]) == ("override", "ann", "Set aside by ann: told by phone.")


def test_the_commitment_on_the_row_beats_its_invoice() -> None:
    book = two_plans()
    book.pay("P-1", "03-01", 500, commitment_id="C-1", invoice_id="INV-2")
    assert route_of(book) == ("commitment_id", "C-1")


def test_the_invoice_on_the_row_beats_the_reference() -> None:
    book = two_plans()
    book.pay("P-1", "03-01", 500, invoice_id="INV-1", reference="C-2")
    assert route_of(book) == ("invoice_id", "C-1")


def test_of_two_commitments_covering_an_invoice_the_one_agreed_first_gets_the_money() -> None:
    book = Book()
    book.commit("C-1", "02-02", ("03-10", 10000), invoices=["INV-1"])
    book.commit("C-2", "02-01", ("03-10", 10000), invoices=["INV-1"])
    book.pay("P-1", "03-01", 500, invoice_id="INV-1")
    assert route_of(book) == ("invoice_id", "C-2")


@pytest.mark.parametrize("reference", ["C-2", "pmt for c-2.", "RE: (c-2)", "INV-10", "inv-10,inv-999", "#INV-2", "thanks\tINV-2"])
def test_a_reference_names_a_commitment_or_an_invoice_in_any_case_and_punctuation(reference: str) -> None:
    book = two_plans()
    book.pay("P-1", "03-01", 500, reference=reference)
    assert route_of(book) == ("reference", "C-2")


@pytest.mark.parametrize("reference", ["INV-100", "XINV-10", "C-22", "C 2", "", "   "])
def test_a_part_of_a_word_in_the_reference_names_nothing(reference: str) -> None:
    book = two_plans()
    book.pay("P-1", "03-01", 500, reference=reference)
    assert route_of(book) == ("oldest_due", None)


def test_a_reference_naming_a_commitment_and_an_invoice_goes_to_the_commitment() -> None:
    book = two_plans()
    book.pay("P-1", "03-01", 500, reference="INV-1 C-2")
    assert route_of(book) == ("reference", "C-2")


def test_an_amount_equal_to_exactly_one_installment_due_nearby_routes_there() -> None:
    book = two_plans()
    book.pay("P-1", "03-12", 7000)
    assert route_of(book) == ("exact_amount", "C-2")


def test_an_equal_amount_due_a_day_outside_the_window_does_not_count() -> None:
    book = two_plans()
    book.pay("P-1", "03-13", 7000)
    assert route_of(book) == ("oldest_due", None)


def test_an_amount_equal_to_two_installments_due_nearby_is_no_evidence() -> None:
    book = two_plans()
    book.commit("C-3", "02-01", ("03-08", 7000))
    book.pay("P-1", "03-06", 7000)
    assert route_of(book) == ("oldest_due", None)


def two_equal_promises() -> Book:
    book = Book()
    book.commit("P-1", "03-01", ("03-06", 10000))
    book.commit("P-2", "03-01", ("03-20", 10000))
    return book


def test_an_amount_equal_to_an_installment_already_paid_goes_to_the_next_commitment_due() -> None:
    book = two_equal_promises()
    book.pay("M-1", "03-05", 10000)
    book.pay("M-2", "03-12", 10000)
    found = matched(book)
    assert found.applied() == [("M-1", "P-1", 1, 1, 10000), ("M-2", "P-2", 1, 1, 10000)]
    assert [a["is_elsewhere"] for a in found.allocations] == [False, True]
    assert route_of(book, "M-1") == ("exact_amount", "P-1")
    assert route_of(book, "M-2") == ("oldest_due", None)
    assert found.payment("M-2")["elsewhere_minor"] == 10000


def test_an_equal_amount_goes_back_to_its_installment_when_the_payment_before_it_bounces() -> None:
    book = two_equal_promises()
    book.pay("M-1", "03-05", 10000)
    book.pay("M-2", "03-12", 10000)
    book.reverse("R-1", "M-1", "03-15", 10000)
    assert matched(book).applied() == [("M-2", "P-1", 1, 1, 10000)]
    assert route_of(book, "M-2") == ("exact_amount", "P-1")


def test_an_exact_amount_for_a_promise_beside_a_plan_leaves_what_it_does_not_need_for_the_plan() -> None:
    book = Book()
    book.commit("E", "01-02", ("02-10", 10000), ("02-17", 10000))
    book.commit("F", "01-02", ("02-10", 7700))
    book.pay("e1", "02-10", 7700)
    book.pay("e2", "02-17", 7700)
    book.pay("e3", "02-18", 10000)
    assert matched(book).applied() == [("e1", "F", 1, 1, 7700), ("e2", "E", 1, 1, 7700), ("e3", "E", 1, 1, 2300), ("e3", "E", 1, 2, 7700)]


def test_an_exact_amount_that_fits_only_in_part_leaves_the_rest_to_the_others() -> None:
    book = two_equal_promises()
    book.pay("M-1", "03-04", 4000, commitment_id="P-1")
    book.pay("M-2", "03-05", 10000)
    found = matched(book)
    assert found.applied() == [("M-1", "P-1", 1, 1, 4000), ("M-2", "P-1", 1, 1, 6000), ("M-2", "P-2", 1, 1, 4000)]
    assert route_of(book, "M-2") == ("exact_amount", "P-1")
    assert found.payment("M-2")["elsewhere_minor"] == 4000


def test_what_an_exact_amount_leaves_over_comes_after_all_payments_of_its_day() -> None:
    book = two_equal_promises()
    book.pay("M-0", "03-05", 10000, commitment_id="P-1")
    book.pay("M-1", "03-12", 10000)
    book.pay("M-2", "03-12", 9000, commitment_id="P-2")
    book.pay("M-3", "03-12", 600)
    found = matched(book)
    assert found.applied()[1:] == [("M-1", "P-2", 1, 1, 400), ("M-2", "P-2", 1, 1, 9000), ("M-3", "P-2", 1, 1, 600)]
    assert found.payment("M-1")["unapplied_minor"] == 9600


def test_what_an_exact_amount_finds_nowhere_to_go_is_credit_for_new_terms_of_any_of_the_commitments() -> None:
    book = two_equal_promises()
    book.commit("P-2", "03-25", ("04-20", 3000))
    for payment_id in ("M-1", "M-2", "M-3"):
        book.pay(payment_id, "03-12", 10000)
    found = matched(book)
    assert found.applied() == [
        ("M-1", "P-1", 1, 1, 10000),
        ("M-2", "P-2", 1, 1, 10000),
        ("M-3", "P-2", 2, 1, 3000),
    ]
    assert found.payment("M-3")["unapplied_minor"] == 7000


def test_an_exact_amount_for_a_commitment_that_holds_waits_there_while_shared_money_goes_on() -> None:
    book = Book()
    book.commit("C-1", "02-01", ("03-10", 100), rule="hold")
    book.commit("C-2", "02-01", ("03-05", 70))
    book.pay("P-1", "03-08", 100)
    book.pay("P-2", "03-08", 30)
    assert settle(book).story() == ["03-08 P-2 pays 30 of C-2/1", "03-10 P-1 pays 100 of C-1/1"]


def test_other_direct_routes_keep_what_they_leave_over() -> None:
    book = two_equal_promises()
    book.pay("M-1", "03-05", 15000, commitment_id="P-1")
    assert matched(book).applied() == [("M-1", "P-1", 1, 1, 10000)]


def test_the_only_commitment_in_force_gets_an_unnamed_payment() -> None:
    book = Book()
    book.commit("C-1", "02-01", ("03-10", 10000), cancelled_on="02-20")
    book.commit("C-2", "02-01", ("03-05", 7000))
    book.pay("P-1", "02-20", 500)
    assert route_of(book) == ("only_commitment", "C-2")


def test_among_several_commitments_unnamed_money_pays_what_falls_due_first() -> None:
    book = two_plans()
    book.pay("P-1", "03-01", 18000)
    assert matched(book).applied() == [("P-1", "C-1", 1, 1, 10000), ("P-1", "C-2", 1, 1, 7000), ("P-1", "C-2", 1, 2, 1000)]


def test_what_falls_due_on_one_day_is_paid_by_commitment_then_by_place_in_its_schedule() -> None:
    book = Book()
    book.commit("C-2", "02-01", ("03-10", 100))
    book.commit("C-1", "02-01", ("03-05", 100), ("03-10", 100))
    book.pay("P-1", "03-01", 220)
    assert matched(book).applied() == [("P-1", "C-1", 1, 1, 100), ("P-1", "C-1", 1, 2, 100), ("P-1", "C-2", 1, 1, 20)]


def test_named_and_unnamed_money_take_turns_in_order_of_date() -> None:
    book = two_plans()
    book.pay("P-1", "03-01", 7000, reference="anything")
    book.pay("P-2", "03-02", 4000, commitment_id="C-1")
    book.pay("P-3", "03-03", 12000)
    assert matched(book).applied() == [
        ("P-1", "C-2", 1, 1, 7000),
        ("P-2", "C-1", 1, 1, 4000),
        ("P-3", "C-1", 1, 1, 6000),
        ("P-3", "C-2", 1, 2, 6000),
    ]


# Direction that cannot be followed


def test_money_received_before_the_agreement_stays_unapplied() -> None:
    book = one_plan()
    book.pay("P-1", "01-31", 500, commitment_id="C-9")
    assert problem_of(book) == "Commitment C-9 was agreed on 1 Feb 2026, after the money came in on 31 Jan 2026."


def test_money_on_the_day_of_the_agreement_counts() -> None:
    book = one_plan()
    book.pay("P-1", "02-01", 500, commitment_id="C-9")
    assert matched(book).applied() == [("P-1", "C-9", 1, 1, 500)]


@pytest.mark.parametrize(
    ("decision", "reason"),
    [
        (None, "Commitment C-5 is not approved yet."),
        ("send_back", "Commitment C-5 was sent back and is not approved."),
        ("reject", "Commitment C-5 was rejected."),
    ],
)
def test_money_for_terms_nobody_approved_is_not_given_to_another_commitment(decision: str | None, reason: str) -> None:
    book = one_plan()
    book.commit("C-5", "02-01", ("03-01", 10000), decision=decision)
    book.pay("P-1", "03-01", 10000, commitment_id="C-5")
    assert problem_of(book) == reason


def test_money_for_another_customers_commitment_stays_unapplied() -> None:
    book = one_plan()
    book.commit("C-5", "02-01", ("03-01", 10000), customer="K2")
    book.pay("P-1", "03-01", 10000, commitment_id="C-5")
    assert problem_of(book) == "Commitment C-5 belongs to another customer."


def test_money_in_another_currency_than_the_commitment_named_stays_unapplied() -> None:
    book = one_plan()
    book.pay("P-1", "03-01", 10000, commitment_id="C-9", currency="EUR")
    assert problem_of(book) == "The payment is in EUR, but commitment C-9 is in USD."


def test_money_after_a_cancellation_never_goes_to_the_cancelled_commitment() -> None:
    book = Book()
    book.commit("C-9", "02-01", ("03-01", 10000), cancelled_on="02-10")
    book.pay("P-1", "02-09", 100, commitment_id="C-9")
    book.pay("P-2", "02-10", 100, commitment_id="C-9")
    assert matched(book).applied() == [("P-1", "C-9", 1, 1, 100)]
    assert problem_of(book, "P-2") == "Commitment C-9 was cancelled on 10 Feb 2026."


def test_an_unknown_commitment_id_falls_through_to_the_next_rule_and_is_mentioned() -> None:
    book = one_plan()
    book.pay("P-1", "03-01", 500, commitment_id="C-404", invoice_id="INV-4")
    row = matched(book).payment("P-1")
    assert (row["matched_by"], row["allocated_minor"]) == ("invoice_id", 500)
    assert row["note"] == "The payment names commitment C-404, which this book does not hold."


def test_an_unknown_customer_learns_nothing_about_anyone_elses_book() -> None:
    book = one_plan()
    book.pay("P-1", "03-01", 500, customer="K404", invoice_id="INV-4", reference="C-9")
    assert problem_of(book) == "Customer K404 has no invoices or commitments in this book."


def test_a_customer_without_a_commitment_in_force_is_told_apart_from_an_unknown_one() -> None:
    book = one_plan()
    book.invoiced_customers.append("K2")
    book.pay("P-1", "03-01", 500, customer="K2")
    book.pay("P-2", "03-01", 500, currency="JPY")
    assert problem_of(book) == "Customer K2 had no approved commitment in USD in force on 1 Mar 2026."
    assert problem_of(book, "P-2") == "Customer K1 had no approved commitment in JPY in force on 1 Mar 2026."


# Amounts


def test_a_partial_payment_leaves_the_installment_open_for_the_next_one() -> None:
    book = one_plan()
    book.pay("P-1", "03-01", 4000)
    book.pay("P-2", "03-02", 7000)
    assert matched(book).applied() == [("P-1", "C-9", 1, 1, 4000), ("P-2", "C-9", 1, 1, 6000), ("P-2", "C-9", 1, 2, 1000)]


def test_money_beyond_the_whole_commitment_stays_unapplied() -> None:
    book = one_plan()
    book.pay("P-1", "03-01", 20001)
    book.pay("P-2", "03-02", 50, commitment_id="C-9")
    found = matched(book)
    assert [(p["match_status"], p["unapplied_minor"]) for p in found.payments] == [("partially_matched", 1), ("unmatched", 50)]
    assert (found.payment("P-2")["matched_by"], found.payment("P-2")["target_commitment_id"]) == ("commitment_id", "C-9")


def test_payments_of_one_day_are_applied_in_order_of_their_ids_whatever_the_order_of_the_file() -> None:
    book = one_plan()
    book.pay("P-2", "03-01", 10000)
    book.pay("P-1", "03-01", 10000)
    assert matched(book).applied() == [("P-1", "C-9", 1, 1, 10000), ("P-2", "C-9", 1, 2, 10000)]


def test_money_received_after_as_of_does_not_exist_yet() -> None:
    book = one_plan()
    book.as_of = book.as_of.replace(month=3, day=1)
    book.pay("P-1", "03-02", 500)
    assert matched(book).payments == []


def test_amounts_near_the_end_of_64_bits_add_up() -> None:
    huge = 4_000_000_000_000_000_001
    book = Book()
    book.commit("C-1", "02-01", ("03-01", huge), ("04-01", huge))
    book.pay("P-1", "03-01", huge)
    book.pay("P-2", "03-02", huge)
    assert matched(book).applied() == [("P-1", "C-1", 1, 1, huge), ("P-2", "C-1", 1, 2, huge)]


# Reversals


def test_a_bounced_payment_counts_as_if_it_had_never_come() -> None:
    book = one_plan()
    book.pay("P-1", "03-01", 10000)
    book.pay("P-2", "03-20", 10000)
    book.reverse("R-1", "P-1", "04-03", 10000)
    found = matched(book)
    assert found.applied() == [("P-2", "C-9", 1, 1, 10000)]
    assert found.payment("P-1")["match_status"] == "reversed"
    assert found.payment("R-1")["problem"] is None


def test_what_the_book_said_before_a_reversal_stays_on_record() -> None:
    book = one_plan()
    book.pay("P-1", "03-01", 10000)
    book.pay("P-2", "03-20", 10000)
    book.reverse("R-1", "P-1", "04-03", 10000)
    history = [(h["payment_id"], h["sequence"], str(h["valid_from"]), str(h["valid_to"])) for h in matched(book).allocation_history]
    assert history == [("P-1", 1, "None", "2026-04-03"), ("P-2", 1, "2026-04-03", "None"), ("P-2", 2, "None", "2026-04-03")]


def test_partial_reversals_add_up_and_the_excess_is_shown() -> None:
    book = one_plan()
    book.pay("P-1", "03-01", 10000)
    book.reverse("R-1", "P-1", "03-05", 3000)
    book.reverse("R-2", "P-1", "03-06", 9000)
    found = matched(book)
    assert [(p["payment_id"], p["reversed_minor"], p["unapplied_minor"]) for p in found.payments] == [
        ("P-1", 10000, 0),
        ("R-1", 3000, 0),
        ("R-2", 7000, 2000),
    ]
    assert found.payment("R-2")["problem"] == "It takes back more than was left of payment P-1."


def test_a_reversal_of_what_is_already_gone_takes_nothing() -> None:
    book = one_plan()
    book.pay("P-1", "03-01", 10000)
    book.reverse("R-1", "P-1", "03-05", 9000)
    book.reverse("R-2", "P-1", "03-06", 9000)
    book.reverse("R-3", "P-1", "03-06", 9000)
    found = matched(book)
    assert [p["reversed_minor"] for p in found.payments] == [10000, 9000, 1000, 0]
    assert [p["unapplied_minor"] for p in found.payments] == [0, 0, 8000, 9000]


def test_of_a_partly_reversed_payment_the_rest_is_matched() -> None:
    book = one_plan()
    book.pay("P-1", "03-01", 10000)
    book.reverse("R-1", "P-1", "03-05", 3005)
    row = matched(book).payment("P-1")
    assert (row["match_status"], row["allocated_minor"], row["reversed_minor"]) == ("matched", 6995, 3005)


@pytest.mark.parametrize(
    ("reverses", "columns", "problem"),
    [
        ("P-404", {}, "It names payment P-404, which this book does not hold."),
        (None, {}, "The reversal does not say which payment it takes back."),
        ("P-1", {"customer": "K2"}, "It names payment P-1, which is another customer's."),
        ("P-1", {"currency": "EUR"}, "It is in EUR, but payment P-1 is in USD."),
        ("B-1", {}, "It names B-1, which is a chargeback, not a payment."),
    ],
)
def test_a_reversal_that_fits_no_payment_touches_nothing_and_says_why(reverses: str | None, columns: dict[str, str], problem: str) -> None:
    book = one_plan()
    book.pay("P-1", "03-01", 10000)
    book.pay("B-1", "03-01", 10000, kind="chargeback")
    book.reverse("R-1", reverses, "03-05", 10000, **columns)
    found = matched(book)
    assert found.payment("R-1")["problem"] == problem
    assert found.payment("R-1")["unapplied_minor"] == 10000
    assert found.payment("P-1")["allocated_minor"] == 10000


# Versions


def test_a_payment_goes_to_the_version_in_force_on_the_day_it_came() -> None:
    book = Book()
    book.commit("C-9", "02-01", ("03-01", 10000))
    book.commit("C-9", "03-10", ("04-01", 10000))
    book.pay("P-1", "03-09", 100)
    book.pay("P-2", "03-10", 200)
    assert matched(book).applied() == [("P-1", "C-9", 1, 1, 100), ("P-2", "C-9", 2, 1, 200)]


def test_what_a_superseded_version_left_unapplied_is_there_for_the_next_before_that_days_payments() -> None:
    book = Book()
    book.commit("C-9", "02-01", ("03-01", 10000))
    book.commit("C-9", "03-10", ("04-01", 5000), ("05-01", 5000))
    book.pay("P-2", "03-05", 13000)
    book.pay("P-1", "03-10", 4000)
    found = matched(book)
    assert found.applied() == [
        ("P-1", "C-9", 2, 1, 2000),
        ("P-1", "C-9", 2, 2, 2000),
        ("P-2", "C-9", 1, 1, 10000),
        ("P-2", "C-9", 2, 1, 3000),
    ]
    assert [str(a["applied_on"]) for a in found.allocations] == ["2026-03-10", "2026-03-10", "2026-03-05", "2026-03-10"]


def test_money_from_before_the_first_agreement_is_no_credit_for_a_later_version() -> None:
    book = Book()
    book.commit("C-9", "02-01", ("03-01", 10000))
    book.commit("C-9", "03-10", ("04-01", 5000))
    book.pay("P-1", "01-31", 500, commitment_id="C-9")
    assert matched(book).applied() == []


# Evidence: what the sentences of the published tables are made of


@pytest.mark.parametrize(
    ("columns", "matched_by", "matched_on"),
    [
        ({"commitment_id": "C-1"}, "commitment_id", None),
        ({"invoice_id": "INV-10"}, "invoice_id", "invoice INV-10"),
        ({"reference": "c-1 thanks"}, "reference", "commitment C-1"),
        ({"reference": "inv-1"}, "reference", "invoice INV-1"),
        ({}, "oldest_due", "2"),
    ],
)
def test_the_evidence_names_what_was_found(columns: dict[str, str], matched_by: str, matched_on: str | None) -> None:
    book = two_plans()
    book.pay("P-1", "03-01", 500, **columns)
    found = matched(book)
    assert (found.payment("P-1")["matched_by"], found.payment("P-1")["matched_on"]) == (matched_by, matched_on)
    assert [(a["matched_by"], a["matched_on"]) for a in found.allocations] == [(matched_by, matched_on)]


def test_the_evidence_of_an_exact_amount_is_the_installment_it_equals() -> None:
    book = two_plans()
    book.pay("P-1", "03-12", 7000)
    assert matched(book).payment("P-1")["matched_on"] == "installment 1 of plan C-2, due 5 Mar 2026"


def test_the_evidence_of_an_override_is_who_decided() -> None:
    book = two_plans()
    book.pay("P-1", "03-01", 500)
    book.assign("P-1", "C-1")
    assert matched(book).payment("P-1")["matched_on"] == "ann"


# Decisions


def test_a_payment_split_by_hand_goes_where_each_part_is_sent() -> None:
    book = two_plans()
    book.pay("P-1", "03-01", 500)
    book.split("P-1", ("C-2", 200), (None, 50), ("C-1", 250))
    told = settle(book)
    assert told.story() == ["03-01 P-1 pays 250 of C-1/1", "03-01 P-1 pays 200 of C-2/1"]
    answer = told.answers["P-1"]
    assert (answer.match_status, answer.matched_by, answer.target_commitment_id) == ("partially_matched", "override", None)


def test_parts_for_one_commitment_count_as_one_and_the_last_of_them_loses_first_what_bounced() -> None:
    """Of 200 in three parts 110 are left: 100 are applied, 10 wait for the new terms."""
    book = Book()
    book.commit("C-1", "02-01", ("03-01", 100))
    book.commit("C-1", "03-10", ("04-01", 30))
    book.pay("P-1", "03-05", 200)
    book.split("P-1", ("C-1", 80), ("C-1", 60), ("C-1", 60))
    book.reverse("R-1", "P-1", "03-20", 90)
    assert settle(book).story() == ["03-05 P-1 pays 100 of C-1/1", "03-10 P-1 pays 10 of C-1 v2/1", "03-20 R-1 takes 90 back from P-1"]


def test_a_part_for_a_commitment_that_cannot_take_it_stays_unapplied_and_the_other_parts_go_on() -> None:
    book = two_plans()
    book.commit("C-O", "02-01", ("03-05", 100), customer="K2")
    book.pay("P-1", "03-01", 500)
    book.split("P-1", ("C-1", 200), ("C-O", 300))
    told = settle(book)
    assert (told.story(), told.unapplied()) == (["03-01 P-1 pays 200 of C-1/1"], {"P-1": 300})
    assert matched(book).payment("P-1")["problem"] == "Commitment C-O belongs to another customer."


def test_a_payment_split_into_parts_that_are_all_set_aside_is_set_aside() -> None:
    book = two_plans()
    book.pay("P-1", "03-01", 500)
    book.split("P-1", (None, 200), (None, 300))
    assert settle(book).answers["P-1"].match_status == "set_aside"


@pytest.mark.parametrize("parts", [[("C-1", 200), ("C-1", 299)], [("C-1", 200), ("C-404", 300)], [("C-1", 501)]])
def test_a_stale_decision_is_not_followed_and_is_reported(parts: list[tuple[str, int]]) -> None:
    book = two_plans()
    book.pay("P-1", "03-01", 500, commitment_id="C-2")
    book.split("P-1", *parts)
    told = settle(book)
    assert (told.story(), told.answers["P-1"].matched_by) == (["03-01 P-1 pays 500 of C-2/1"], "commitment_id")
    assert all(d["is_stale"] and d["problem"] for d in matched(book).decisions)


def test_a_decision_that_was_undone_leaves_no_trace() -> None:
    book = two_plans()
    book.pay("P-1", "03-01", 500, commitment_id="C-2")
    before = matched(book)
    book.assign("P-1", "C-1")
    assert route_of(book) == ("override", "C-1")
    book.decisions.clear()
    assert matched(book) == before


# Other


def test_the_books_of_these_tests_use_the_real_decimals_of_currencies() -> None:
    assert {currency: exponent(currency) for currency in EXPONENTS} == EXPONENTS


def test_a_book_without_payments_or_commitments_gives_empty_tables() -> None:
    found = matched(Book())
    assert (found.payments, found.allocations, found.allocation_history) == ([], [], [])
