"""Any book at all: the statements in sql/warehouse/matching equal a plain replay, to the cent."""

from datetime import date, timedelta

from hypothesis import given, settings
from hypothesis import strategies as st

from .books import Book, Installment, Payment, Version, day, match
from .oracle import replay

START = day("03-01")
COMMITMENTS = ["C-1", "C-2", "C-3", "C-10"]
INVOICES = ["INV-1", "INV-2", "INV-10"]
AMOUNTS = [1, 50, 100, 100, 150, 333]
REFERENCES = ["thanks", "for inv-1{}.", "c-10{}", "(INV-2{0}/INV-1{0}), C-2{0}", "inv-10{}0"]


def usually(value: object, *others: object) -> st.SearchStrategy:
    """Mostly one value, so that the facts of a book meet each other; hypothesis alone would scatter them."""
    return st.sampled_from([value] * 5 * len(others) + list(others))


def days(first: int, last: int) -> st.SearchStrategy[date]:
    return st.integers(first, last).map(lambda n: START + timedelta(n))


@st.composite
def commitments(draw: st.DrawFn, household: str) -> list[Version]:
    """All versions of each of several commitments, most of them one customer's, agreed early and in one currency."""
    versions = []
    for commitment_id in draw(st.lists(st.sampled_from(COMMITMENTS), unique=True, min_size=1)):
        customer, currency = draw(usually("K1", "K2")), draw(usually("USD", "JPY", "KWD"))
        agreed = [draw(days(0, 8)), *draw(st.lists(days(5, 35), max_size=2))]
        for number, agreed_on in enumerate(sorted(agreed), 1):
            dues = draw(st.lists(st.tuples(days(0, 45), st.sampled_from(AMOUNTS)), min_size=1, max_size=4))
            versions.append(
                Version(
                    commitment_id + household,
                    number,
                    "plan",
                    customer + household,
                    currency,
                    agreed_on,
                    [Installment(n, max(due, agreed_on), amount) for n, (due, amount) in enumerate(dues, 1)],
                    [invoice + household for invoice in draw(st.lists(st.sampled_from(INVOICES), unique=True, max_size=2))],
                    draw(usually("approve", None, "reject")),
                    draw(usually(None, START + timedelta(20))),
                )
            )
    return versions


@st.composite
def payments(draw: st.DrawFn, household: str, number: int) -> Payment:
    invoice_id, commitment_id = draw(usually(None, *INVOICES)), draw(usually(None, "C-1", "C-2", "C-404"))
    reference = draw(usually(None, *REFERENCES))
    return Payment(
        f"P-{number}{household}",
        draw(usually("K1", "K2", "K9")) + household,
        draw(days(2, 40)),
        draw(st.sampled_from(AMOUNTS)),
        draw(usually("USD", "JPY", "KWD")),
        draw(usually("payment", "chargeback")),
        invoice_id=invoice_id and invoice_id + household,
        commitment_id=commitment_id and commitment_id + household,
        reference=reference and reference.format(household),
    )


@st.composite
def books(draw: st.DrawFn) -> Book:
    """Several households that do not know each other, because a run over many costs hardly more than over one."""
    book = Book(as_of=START + timedelta(draw(usually(40, 25))), window_days=draw(st.sampled_from([0, 3, 7])))
    for household in "abcdef"[: draw(st.integers(1, 6))]:
        book.versions += draw(commitments(household))
        paid = [draw(payments(household, number)) for number in range(draw(st.integers(1, 9)))]
        book.payments += paid
        for number in range(draw(st.integers(0, 3))):
            reversed_one = draw(st.sampled_from(paid))
            book.reverse(
                f"R-{number}{household}",
                draw(usually(reversed_one.payment_id, None, "P-99", "R-0a")),
                f"{reversed_one.received_date + timedelta(draw(st.integers(-1, 12))):%m-%d}",
                draw(usually(reversed_one.amount_minor, 30, 500)),
                draw(usually(reversed_one.customer_id, "K2a")),
                currency=draw(usually(reversed_one.currency, "KWD")),
            )
        if draw(usually(False, True)):
            target = draw(st.sampled_from([None, "C-1", "C-3", "C-404"]))
            book.overrides[paid[0].payment_id] = target and target + household
    return book


@settings(max_examples=35, deadline=None)
@given(books())
def test_every_payment_and_every_allocation_equals_the_plain_replay(book: Book) -> None:
    matched, plain = match(book), replay(book)

    assert {tuple(key): amount for *key, amount in matched.applied()} == plain.applied
    for p in (p for p in book.payments if p.received_date <= book.as_of):
        row = matched.payment(p.payment_id)
        assert row["match_status"] == plain.status(p)
        assert row["reversed_minor"] == (plain.reversed_of if p.kind == "payment" else plain.reversed_by)[p.payment_id]
        if p.kind == "payment":
            assert row["unapplied_minor"] == plain.left[p.payment_id]
            assert (row["matched_by"], row["target_commitment_id"]) == plain.routed_by(p)
    assert not any(matched.violations.values()), matched.violations


@settings(max_examples=25, deadline=None)
@given(books(), st.lists(days(2, 40), min_size=1, max_size=4))
def test_history_on_a_date_is_the_replay_without_what_came_later(book: Book, known_dates: list[date]) -> None:
    history = match(book).allocation_history

    for known_on in (d for d in known_dates if d <= book.as_of):
        known = {
            (h["payment_id"], h["commitment_id"], h["version"], h["sequence"]): h["amount_minor"]
            for h in history
            if h["received_date"] <= known_on
            and (h["valid_from"] is None or h["valid_from"] <= known_on)
            and (h["valid_to"] is None or known_on < h["valid_to"])
        }
        assert known == replay(book, known_on).applied


@settings(max_examples=10, deadline=None)
@given(books(), st.integers(1, 1000))
def test_neither_the_order_of_arrival_nor_the_number_of_threads_shows(book: Book, seed: int) -> None:
    assert match(book) == match(book, seed=seed, threads=2)
