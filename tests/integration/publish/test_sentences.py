"""What the published tables say in words, of real matching and outcomes."""

import pytest

from tests.integration.publish.published_books import published, rows_of
from tests.unit.matching.books import Book


def said(book: Book, table: str, column: str, where: str = "true", order: str = "all") -> list[str]:
    return [row[column] for row in rows_of(published(book), f"select {column} from published.{table} where {where} order by {order}")]


def plan(rule: str = "next", **more: object) -> Book:
    book = Book()
    book.commit("C-9", "02-01", ("03-01", 100000), ("04-01", 100000), ("05-01", 100000), rule=rule, **more)
    return book


def test_an_allocation_says_what_went_where_and_when_and_why() -> None:
    book = plan()
    book.pay("P-1", "03-06", 120050, commitment_id="C-9")
    first, second = said(book, "allocations", "explanation", order="sequence")
    assert first == (
        "1,000.00 USD of payment P-1 (received 6 Mar 2026) went to installment 1 of plan C-9, due 1 Mar 2026 (5 days late),"
        " because the payment names commitment C-9."
    )
    assert second == (
        "200.50 USD of payment P-1 (received 6 Mar 2026) went to installment 2 of plan C-9, due 1 Apr 2026 (in advance),"
        " because the payment names commitment C-9."
    )


@pytest.mark.parametrize(("currency", "amount"), [("USD", "1,234.50"), ("JPY", "123,450"), ("KWD", "123.450")])
def test_amounts_are_written_with_the_decimals_of_their_currency(currency: str, amount: str) -> None:
    book = Book()
    book.commit("C-1", "02-01", ("03-01", 123450), currency=currency)
    book.pay("P-1", "03-01", 123450, currency=currency, commitment_id="C-1")
    (sentence,) = said(book, "allocations", "explanation")
    assert sentence.startswith(
        f"{amount} {currency} of payment P-1 (received 1 Mar 2026) went to promise C-1, due 1 Mar 2026 (that very day)"
    )
    assert said(book, "installments", "reason") == [f"{amount} {currency} due 1 March 2026 was paid by 1 March 2026."]


@pytest.mark.parametrize(
    ("rule", "words"),
    [
        ("last", "; what is not due yet is paid from the final installment backwards."),
        ("spread", "; what is not due yet is paid evenly."),
        ("next", "names commitment C-9."),
    ],
)
def test_surplus_says_by_which_rule_it_went(rule: str, words: str) -> None:
    book = plan(rule)
    book.pay("P-1", "03-01", 150000, commitment_id="C-9")
    assert said(book, "allocations", "explanation", "due_date > received_date")[0].endswith(words)


def test_held_credit_says_so_until_it_is_released_and_then_when() -> None:
    book = plan("hold")
    book.pay("P-1", "03-01", 150000, commitment_id="C-9")
    book.as_of = book.payments[0].received_date
    assert said(book, "payments", "reason") == [
        "Applied in part, because the payment names commitment C-9; the rest is held as credit until the next installment falls due."
    ]
    assert said(book, "unmatched_payments", "payment_id") == []
    book.as_of = Book().as_of
    assert said(book, "allocations", "explanation", "sequence = 2")[0].endswith(", as credit held until 1 Apr 2026.")
    assert said(book, "allocations", "applied_as", order="sequence") == ["payment", "held_credit"]


def test_credit_a_new_version_took_over_says_so() -> None:
    book = Book()
    book.commit("C-1", "02-01", ("03-01", 10000))
    book.commit("C-1", "03-10", ("04-01", 10000))
    book.pay("P-1", "03-02", 15000, commitment_id="C-1")
    (sentence,) = said(book, "allocations", "explanation", "version = 2")
    assert sentence.endswith(", as credit taken over when that version began on 10 Mar 2026.")


def test_a_chargeback_is_told_on_the_payment_the_installment_and_the_row_itself() -> None:
    book = plan()
    book.pay("P-1", "03-01", 100000, commitment_id="C-9")
    book.chargeback("CB-1", "P-1", "03-10", 40000)
    assert said(book, "payments", "reason", order="payment_id") == [
        "It charges payment P-1 back: that payment stays where it was, and what unapplied money does not cover has to be paid again.",
        "Applied in full, because the payment names commitment C-9. 400.00 USD of it was charged back.",
    ]
    assert said(book, "installments", "reason", "sequence = 2")[0].endswith("; 400.00 of it was added by a chargeback.")
    (debit,) = rows_of(published(book), "from published.chargebacks")
    assert (debit["payment_id"], debit["charged_payment_id"], debit["sequence"], debit["amount"]) == ("CB-1", "P-1", 2, 400)


def test_refunds_and_reversals_are_told_apart() -> None:
    book = plan()
    book.pay("P-1", "03-01", 310000, commitment_id="C-9")
    book.refund("R-1", "P-1", "03-10", 4000)
    book.reverse("V-1", "P-1", "03-11", 1000)
    reasons = said(book, "payments", "reason", order="payment_id")
    assert reasons[0] == (
        "Applied in part, because the payment names commitment C-9; the rest is more than was left to pay there."
        " 10.00 USD of it was reversed. 40.00 USD of it was refunded."
    )
    assert reasons[1:] == ["It gives back unapplied money of payment P-1.", "It takes back money of payment P-1."]
    assert [r["kind"] for r in rows_of(published(book), "from published.returns order by returned_by")] == ["refund", "reversal"]


def test_a_split_payment_says_who_split_it() -> None:
    book = plan()
    book.commit("C-8", "02-01", ("03-05", 5000))
    book.pay("P-1", "03-01", 10000)
    book.split("P-1", ("C-9", 6000), ("C-8", 4000))
    assert said(book, "payments", "reason") == ["Applied in full, because ann split it by hand."]
    assert all(s.endswith("because ann split it by hand.") for s in said(book, "allocations", "explanation"))


def test_a_transition_has_its_cause_in_words_and_its_figures_as_json() -> None:
    book = plan()
    book.pay("P-1", "03-01", 100000, commitment_id="C-9")
    book.reverse("V-1", "P-1", "03-20", 100000)
    found = rows_of(published(book), "from published.transitions where sequence = 1 order by effective_on")
    assert [row["cause"] for row in found] == [
        "The money for 1,000.00 USD due 1 March 2026 had arrived by 1 March 2026.",
        "A payment was returned: 1,000.00 of 1,000.00 USD due 1 March 2026 is missing again.",
    ]
    assert '"missing_at_deadline":"1000.00"' in found[1]["figures"]
    assert '"satisfied_on":"2026-03-01"' in found[0]["figures"]
    assert all(row["cause"] and row["figures"] for row in rows_of(published(book), "from published.transitions"))
