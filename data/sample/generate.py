"""Writes the sample book: the CSV files and actions.json beside this script, the same bytes every time.

    python data/sample/generate.py [folder]

A made-up collections team in the first half of 2026, as of 30 June. Most of it is ordinary and drawn by dice; the cases
that matter are written out in `scripted_cases`, and the dirt of real files in `write_payments`. Nothing of the product is
used here: it must not be able to correct its own input.
"""

import csv
import datetime as dt
import io
import json
import random
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

SEED = 20260630
AS_OF = dt.date(2026, 6, 30)
LAST_FILE_FROM = dt.date(2026, 6, 29)
CUSTOMERS, INVOICES, COMMITMENTS, PAYMENTS = 150, 500, 120, 900
OWNERS = ("maria.lopez", "david.chen", "aisha.khan", "tom.becker", "grace.oduya")
SEGMENTS = ("retail", "wholesale", "construction", "healthcare", "hospitality", "public")
PLACES = ("Harbor Lane", "Alder", "Bluewater", "Cedar Ridge", "Dunmore", "Eastgate", "Fairfield", "Granite Peak", "Hollis", "Ironbridge",
          "Juniper", "Kestrel", "Lakeside", "Marlow", "Northfield", "Oakhurst", "Pinecrest")  # fmt: skip
TRADES = ("Bakery", "Builders Supply", "Dental Group", "Electrical", "Foods", "Hotel", "Marine Supply", "Pharmacy", "Printing", "Logistics")
EURO_NAMES = ("Bäckerei Lindner GmbH", "Hotel Aurora S.r.l.", "Van Dijk Transport B.V.", "Pharmacie du Marché", "Elektro Huber KG",
              "Imprenta Salvatierra S.L.", "Metallbau Vogt GmbH", "Café de Flandre NV", "Serraria Monteiro Lda", "O'Leary & Sons Ltd",
              "Kühlhaus Nord AG", "Librairie Mercier", "Officine Brandi S.p.A.", "Gärtnerei Ahrens", "Transportes Rivera S.A.")  # fmt: skip
FIRST_NAMES = ("Ellen", "Marcus", "Priya", "Tomas", "Renee", "Samuel", "Ingrid", "Hassan", "Julia", "Owen", "Carla", "Noah")
LAST_NAMES = ("Whitfield", "Adeyemi", "Nakamura", "Fischer", "Duarte", "Kowalski", "Bright", "Moreau", "Singh", "Hale", "Romero")
WEEKS_BETWEEN = {"weekly": 1, "biweekly": 2}
MONTHS_BETWEEN = {"monthly": 1, "quarterly": 3}
DAY = dt.timedelta(days=1)

FIELDS = {
    "invoices": "invoice_id customer_id customer_name invoice_date due_date amount open_amount currency customer_email segment owner "
    "disputed deduction_count settled_date",
    "payments": "payment_id customer_id received_date amount currency kind reverses_payment_id invoice_id commitment_id reference method",
    "commitments": "commitment_id kind customer_id agreed_on amount first_due_date currency invoice_ids frequency installment_count "
    "down_payment discount grace_days owner channel contact_name contact_email confidence confidence_reason note evidence_link "
    "overpayment_rule",
    "installments": "commitment_id sequence due_date amount grace_days",
    "contacts": "contact_id customer_id at channel direction outcome commitment_id owner note",
}


class Dice:
    """Draws made only from random(), the one method whose sequence Python promises to keep for a seed."""

    def __init__(self, seed: int) -> None:
        self._next = random.Random(seed).random

    def between(self, low: int, high: int) -> int:
        """An integer from low to high, both included."""
        return low + int(self._next() * (high - low + 1))

    def chance(self, percent: float) -> bool:
        return self._next() * 100 < percent

    def pick(self, items: Any) -> Any:
        return items[self.between(0, len(items) - 1)]

    def shuffled(self, items: list[Any]) -> list[Any]:
        return [item for _, item in sorted((self._next(), i, item)[::2] for i, item in enumerate(items))]


def on(text: str) -> dt.date:
    """`06-29` is 29 June 2026."""
    return dt.date.fromisoformat(f"2026-{text}")


def money(cents: int) -> str:
    return f"{cents // 100}.{cents % 100:02d}"


def workday(date: dt.date) -> dt.date:
    """The date, or the Monday after a weekend."""
    return date + max(0, 8 - date.isoweekday()) * DAY if date.isoweekday() > 5 else date


def plus_months(date: dt.date, months: int) -> dt.date:
    first = (date.replace(day=1) + 31 * months * DAY).replace(day=1)
    while (first.year - date.year) * 12 + first.month - date.month > months:
        first = (first - DAY).replace(day=1)
    end = (first.replace(day=28) + 4 * DAY).replace(day=1) - DAY
    return first.replace(day=min(date.day, end.day))


@dataclass
class Customer:
    customer_id: str
    name: str
    email: str
    currency: str
    segment: str
    owner: str
    contact: str


@dataclass
class Invoice:
    customer: Customer
    invoice_date: dt.date
    cents: int
    disputed: bool = False
    deductions: int = 0
    paid: list[tuple[dt.date, int]] = field(default_factory=list)
    invoice_id: str = ""

    @property
    def due_date(self) -> dt.date:
        return self.invoice_date + 30 * DAY


@dataclass
class Commitment:
    commitment_id: str
    kind: str
    customer: Customer
    agreed_on: dt.date
    cents: int
    first_due: dt.date
    frequency: str = "once"
    count: int = 1
    down: int = 0
    discount: int = 0
    grace: int | None = None
    listed: list[tuple[dt.date, int, int | None]] = field(default_factory=list)
    note: str = ""
    invoices: list[Invoice] = field(default_factory=list)

    @property
    def total(self) -> int:
        return self.cents * self.count if self.kind == "repeating_promise" else self.cents

    def schedule(self) -> list[tuple[dt.date, int]]:
        """Nominal dates and cents, as the customer understands them."""
        if self.listed:
            return [(date, cents) for date, cents, _ in self.listed]
        rest = self.total - self.discount - self.down
        shares = [rest // self.count] * (self.count - 1)
        dates = [self._date(k) for k in range(self.count)]
        down = [(self.agreed_on, self.down)] if self.down else []
        return down + list(zip(dates, [*shares, rest - sum(shares)], strict=True))

    def _date(self, k: int) -> dt.date:
        if self.frequency in WEEKS_BETWEEN:
            return self.first_due + 7 * k * WEEKS_BETWEEN[self.frequency] * DAY
        if self.frequency in MONTHS_BETWEEN:
            return plus_months(self.first_due, k * MONTHS_BETWEEN[self.frequency])
        if self.frequency == "semimonthly":  # this book has them on the 1st and 16th only
            return plus_months(self.first_due.replace(day=1), (k + (self.first_due.day > 15)) // 2) + 15 * DAY * (
                (k + (self.first_due.day > 15)) % 2
            )
        return self.first_due


@dataclass
class Payment:
    customer_id: str
    received: dt.date
    cents: int
    currency: str
    kind: str = "payment"
    reverses: "Payment | None" = None
    invoice: Invoice | None = None
    commitment_id: str = ""
    reference: str = ""
    method: str = "ach"
    mentions: Invoice | None = None
    has_id: bool = True
    settled: list[tuple[Invoice, int]] = field(default_factory=list)
    file_month: int = 0
    payment_id: str = ""


class Book:
    """Everything that happened, in memory."""

    def __init__(self) -> None:
        self.dice = Dice(SEED)
        self.customers: list[Customer] = []
        self.invoices: list[Invoice] = []
        self.commitments: list[Commitment] = []
        self.payments: list[Payment] = []
        self.actions: list[dict[str, Any]] = []
        self.euro_names = iter(EURO_NAMES)
        self.names = iter(self.dice.shuffled([f"{place} {trade}" for place in PLACES for trade in TRADES]))

    # the world -----------------------------------------------------------------------------------------------------

    def customer(self, currency: str = "USD", name: str = "") -> Customer:
        number = len(self.customers) + 1
        name = name or next(self.euro_names if currency == "EUR" else self.names)
        domain = "".join(c for c in name.lower().replace(" ", "-") if c.isascii() and (c.isalnum() or c == "-")).strip("-")
        made = Customer(
            customer_id=f"CUST-{number:04d}",
            name=name,
            email=f"accounts@{domain}.example",
            currency=currency,
            segment=self.dice.pick(SEGMENTS),
            owner=OWNERS[number % len(OWNERS)],
            contact=f"{self.dice.pick(FIRST_NAMES)} {self.dice.pick(LAST_NAMES)}",
        )
        self.customers.append(made)
        return made

    def invoice(self, customer: Customer, invoice_date: dt.date, cents: int) -> Invoice:
        made = Invoice(customer, invoice_date, cents, disputed=self.dice.chance(4), deductions=int(self.dice.chance(8)))
        self.invoices.append(made)
        return made

    def commit(
        self, kind: str, agreed: str | dt.date, cents: int, first_due: str | dt.date, customer: Customer | None = None, **terms: Any
    ) -> Commitment:
        """A commitment on overdue invoices that add up to its total."""
        agreed_on = on(agreed) if isinstance(agreed, str) else agreed
        due = on(first_due) if isinstance(first_due, str) else first_due
        made = Commitment(f"PTP-{len(self.commitments) + 1:04d}", kind, customer or self.customer(), agreed_on, cents, due, **terms)
        left = made.total
        for part in range(parts := self.dice.between(1, 3)):
            share = left if part == parts - 1 else left * self.dice.between(30, 60) // 100
            left -= share
            made.invoices.append(self.invoice(made.customer, agreed_on - self.dice.between(35, 80) * DAY, share))
        self.commitments.append(made)
        return made

    def pay(self, commitment: Commitment, received: str | dt.date, cents: int, by: str = "", currency: str = "", **more: Any) -> Payment:
        """Money for a commitment. `by` is what the payer wrote: commitment_id, invoice_id, reference, or nothing useful."""
        received = workday(on(received) if isinstance(received, str) else received)
        invoice = self.dice.pick(commitment.invoices)
        made = Payment(commitment.customer.customer_id, received, cents, currency or commitment.customer.currency, **more)
        made.method = more.get("method", self.dice.pick(("ach", "ach", "wire", "check", "card")))
        if by == "commitment_id":
            made.commitment_id = commitment.commitment_id
        elif by == "invoice_id":
            made.invoice = invoice
        elif by == "reference":
            made.mentions = None if self.dice.chance(40) else invoice
            made.reference = "Payment {mention}, thank you" if made.mentions else f"{commitment.commitment_id} as agreed"
        elif not made.reference and self.dice.chance(50):
            made.reference = f"TRANSFER {self.dice.between(100000, 999999)}"
        self.payments.append(made)
        if not currency:
            made.settled = self.settle(commitment.invoices, received, cents)
        return made

    def settle(self, invoices: list[Invoice], received: dt.date, cents: int) -> list[tuple[Invoice, int]]:
        """What the money does to the invoices in the ERP, oldest first as listed; what is left over stays on account."""
        settled = []
        for invoice in invoices:
            part = min(cents, invoice.cents - sum(c for _, c in invoice.paid))
            if part > 0:
                invoice.paid.append((received, part))
                settled.append((invoice, part))
                cents -= part
        return settled

    def reverse(self, payment: Payment, received: str, cents: int = 0, reason: str = "NSF") -> Payment:
        made = Payment(payment.customer_id, on(received), cents or payment.cents, payment.currency, "reversal", payment, reference=reason)
        self.payments.append(made)
        left = made.cents
        for invoice, part in reversed(payment.settled):
            invoice.paid.append((made.received, -min(left, part)))
            left -= min(left, part)
        return made

    def act(self, action: str, **details: Any) -> None:
        self.actions.append({"action": action, **details})


# the cases that matter ---------------------------------------------------------------------------------------------


def scripted_cases(book: Book) -> None:
    """Each on its own customer, so that nothing else moves the outcome. README.md says which is which."""
    amounts_and_dates(book)
    money_going_back(book)
    routes(book)
    odd_ones(book)
    listed_schedules(book)
    end_of_june(book)
    decided_by_people(book)


def amounts_and_dates(book: Book) -> None:
    """Partial, early, late, too much, one payment for many, many for one."""
    part = book.commit("promise", "03-03", 120000, "03-10", note="partial")
    book.pay(part, "03-10", 70000, "invoice_id")
    early = book.commit("promise", "02-11", 86050, "02-20", note="early")
    book.pay(early, "02-12", 86050, "reference")
    late = book.commit("promise", "03-30", 234000, "04-06", note="late, recovered")
    book.pay(late, "04-14", 234000, "commitment_id")
    over = book.commit("promise", "03-11", 50000, "03-17", note="overpaid")
    book.pay(over, "03-16", 57525, "commitment_id")
    ahead = book.commit("plan", "02-16", 360000, "03-02", frequency="monthly", count=4, note="one payment over two installments")
    book.pay(ahead, "03-02", 180000, "reference")
    book.pay(ahead, "05-04", 90000, "reference")
    book.pay(ahead, "06-02", 90000, "reference")
    pieces = book.commit("promise", "04-17", 300000, "04-24", note="three payments for one promise")
    for date in ("04-20", "04-22", "04-24"):
        book.pay(pieces, date, 100000, "invoice_id")
    before = book.commit("promise", "03-09", 80000, "03-23", note="money received before the agreement")
    book.pay(before, "03-02", 40000, "invoice_id")
    book.pay(before, "03-20", 40000, "invoice_id")


def money_going_back(book: Book) -> None:
    """Bounced, bounced and paid again, returned in part, and a return of something nobody has."""
    bounced = book.commit("promise", "03-10", 148000, "03-16", note="NSF after the verdict")
    book.reverse(book.pay(bounced, "03-16", 148000, "commitment_id", method="check"), "03-20")
    again = book.commit("promise", "04-07", 64000, "04-13", note="NSF, then paid again")
    book.reverse(book.pay(again, "04-13", 64000, "reference", method="check"), "04-17")
    book.pay(again, "04-24", 64000, "reference")
    returned = book.commit("plan", "01-26", 225000, "02-10", frequency="monthly", count=3, note="part of a payment returned")
    book.pay(returned, "02-10", 75000, "commitment_id")
    book.reverse(book.pay(returned, "03-10", 75000, "commitment_id"), "03-18", 30000, "PARTIAL RETURN")
    book.pay(returned, "04-10", 75000, "commitment_id")
    unknown = book.commit("promise", "06-01", 70000, "06-08", note="reversal of a payment nobody knows")
    book.pay(unknown, "06-08", 70000, "commitment_id")
    nobody_knows = Payment(unknown.customer.customer_id, on("06-08"), 70000, "USD", payment_id="PMT-999999")
    book.reverse(nobody_knows, "06-10")


def routes(book: Book) -> None:
    """The ways of matching that need a little staging; the plain ones are everywhere."""
    twins = book.commit("promise", "05-01", 50000, "05-08", note="two identical real payments without id")
    for _ in range(2):
        book.pay(twins, "05-07", 25000, reference=twins.commitment_id, method="card", has_id=False)
    foreign = book.commit("promise", "04-02", 95000, "04-10", note="paid in another currency")
    book.pay(foreign, "04-10", 88000, "commitment_id", currency="EUR")
    exact = book.commit("plan", "02-02", 175000, "02-17", frequency="monthly", count=4, note="exact_amount: of two plans, 437.50 fits this")
    other = book.commit("plan", "02-02", 300000, "02-17", customer=exact.customer, frequency="monthly", count=5)
    for month in ("02", "03", "04", "05"):
        book.pay(exact, f"{month}-17", 43750, reference="STANDING ORDER")
        book.pay(other, f"{month}-17", 60000, "commitment_id")
    oldest = book.commit("promise", "04-27", 60000, "05-05", note="oldest_due: 1,000.00 for two promises")
    book.commit("promise", "04-27", 90000, "05-19", customer=oldest.customer)
    book.pay(oldest, "05-05", 100000, reference="COUNTER DEPOSIT")
    only = book.commit("plan", "03-02", 150000, "03-16", frequency="monthly", count=3, note="only_commitment: odd amounts, no reference")
    for date, cents in (("03-16", 35000), ("03-30", 40000), ("04-16", 75000)):
        book.pay(only, date, cents, reference="COUNTER DEPOSIT")


def odd_ones(book: Book) -> None:
    """Backdated, month ends, the same promise twice, too large for a supervisor, hard to quote."""
    backdated = book.commit("plan", "03-31", 240000, "04-15", frequency="monthly", count=3, note="April's payment arrives in June's file")
    book.pay(backdated, "04-15", 80000, "reference", file_month=6)
    book.pay(backdated, "05-15", 80000, "reference")
    book.pay(backdated, "06-15", 80000, "reference")
    ends = book.commit("plan", "01-20", 500001, "01-31", frequency="monthly", count=6, note="month ends and odd cents")
    for date, cents in ends.schedule()[:5]:
        book.pay(ends, date, cents, "commitment_id")
    same = book.commit("promise", "05-11", 131500, "05-18", note="the same promise is sent again under the next id")
    book.pay(same, "05-18", 131500, "commitment_id")
    twin = book.commit("promise", "05-11", 131500, "05-18", customer=same.customer)
    book.invoices = [invoice for invoice in book.invoices if invoice not in twin.invoices]
    twin.invoices = same.invoices
    large = book.commit("plan", "04-01", 6800000, "04-15", frequency="monthly", count=6, down=800000, note="needs a controller")
    for date, cents in large.schedule()[:4]:
        book.pay(large, date, cents, "commitment_id", method="wire")
    fish = book.customer(name='Okafor, Bright & Co "Fresh Fish"')
    comma = book.commit("promise", "05-20", 48000, "05-27", customer=fish, note="comma and quotes in the name")
    book.pay(comma, "05-27", 48000, "reference")


def listed_schedules(book: Book) -> None:
    """Custom plans, their installments in a file of their own."""
    season = book.commit("plan", "01-12", 900000, "02-02", frequency="custom", count=4, note="custom schedule")
    season.listed = [(on("02-02"), 100000, None), (on("03-16"), 200000, 5), (on("04-30"), 200000, None), (on("07-31"), 400000, 10)]
    for date, cents, _ in season.listed[:3]:
        book.pay(season, date, cents, "commitment_id")
    settle = book.commit("plan", "03-04", 420000, "03-13", frequency="custom", count=3, discount=20000, note="custom with a discount")
    settle.listed = [(on("03-13"), 150000, None), (on("04-13"), 150000, None), (on("05-13"), 100000, 3)]
    for (date, cents, _), days in zip(settle.listed, (0, -2, 2), strict=True):
        book.pay(settle, date + days * DAY, cents, "reference")
    euro = book.commit("plan", "04-08", 600000, "04-20", customer=book.customer("EUR"), frequency="custom", count=3, note="custom in EUR")
    euro.listed = [(on("04-20"), 300000, None), (on("06-22"), 200000, None), (on("08-24"), 100000, None)]
    book.pay(euro, "04-20", 300000, "reference", method="sepa")
    book.pay(euro, "06-19", 120000, "reference", method="sepa")
    wrong = book.commit("plan", "05-06", 300000, "05-20", frequency="custom", count=3, note="custom that does not add up")
    wrong.listed = [(on("05-20"), 100000, None), (on("06-22"), 100000, None), (on("07-20"), 90000, None)]


def end_of_june(book: Book) -> None:
    """What breaks on 30 June, what is due that day, and what is due in the days after."""
    book.commit("promise", "06-22", 215000, "06-29", note="due 29 June, nothing came")
    book.commit("promise", "06-23", 78000, "06-29", note="due 29 June, nothing came")
    book.commit("promise", "06-18", 499900, "06-27", note="due Saturday 27 June, moves to 29 June, nothing came")
    short = book.commit("promise", "06-22", 160000, "06-29", note="due 29 June, half came")
    book.pay(short, "06-29", 80000, "commitment_id")
    book.commit("promise", "06-19", 132040, "06-29", customer=book.customer("EUR"), note="due 29 June in EUR, nothing came")
    for cents, count, paid in ((540000, 6, 2), (330000, 3, 1)):
        plan = book.commit("plan", "04-20", cents, "04-29", frequency="monthly", count=count, note="installment of 29 June missed")
        for date, share in plan.schedule()[:paid]:
            book.pay(plan, date, share, "reference")
    weekly = book.commit("repeating_promise", "05-11", 25000, "05-18", frequency="weekly", count=16, note="repeating, missed 29 June")
    for date, share in weekly.schedule()[:6]:
        book.pay(weekly, date, share, "commitment_id")
    book.commit("promise", "06-22", 96000, "06-29", grace=3, note="due 29 June, in grace until 2 July")
    bounced = book.commit("promise", "06-15", 187500, "06-26", note="kept on 26 June, bounced on 30 June")
    book.reverse(book.pay(bounced, "06-26", 187500, "invoice_id", method="check"), "06-30")
    for days, cents in ((0, 112000), (0, 45060), (1, 300000), (2, 68000), (3, 149000)):
        book.commit("promise", "06-24", cents, AS_OF + days * DAY, note="due 30 June" if not days else "due soon")
    for cents in (54000, 123000, 87050, 260000):
        kept = book.commit("promise", "06-22", cents, "06-29", note="due 29 June, kept")
        book.pay(kept, "06-29", cents, book.dice.pick(("commitment_id", "invoice_id", "reference")))


def decided_by_people(book: Book) -> None:
    """Commitments that change hands: feeds have one row each, so what people did later stands in actions.json."""
    tired = book.commit("plan", "02-09", 480000, "02-23", frequency="monthly", count=4, note="renegotiated after two misses")
    book.pay(tired, "02-23", 120000, "commitment_id")
    renegotiate(book, tired, "04-28", 360000, "05-11", "Two installments missed; smaller ones agreed.", frequency="monthly", count=6)
    book.pay(tired, "05-11", 60000, "commitment_id")
    book.pay(tired, "06-11", 60000, "commitment_id")
    moved = book.commit("promise", "03-16", 175000, "03-30", note="renegotiated before it was due")
    renegotiate(book, moved, "03-26", 175000, "04-09", "Payer's bank changes over the weekend; one more week.")
    book.pay(moved, "04-09", 175000, "commitment_id")
    missed = book.commit("promise", "05-04", 99000, "05-11", note="renegotiated after it was due")
    renegotiate(book, missed, "05-14", 99000, "05-28", "Missed because of a holiday; new date confirmed by email.")
    book.pay(missed, "05-28", 99000, "commitment_id")
    cheaper = book.commit("plan", "03-18", 640000, "04-01", frequency="monthly", count=8, note="renegotiated into an early settlement")
    book.pay(cheaper, "04-01", 80000, "commitment_id")
    book.pay(cheaper, "05-01", 80000, "commitment_id")
    renegotiate(book, cheaper, "05-20", 480000, "06-03", "Pays at once for 5 % off.", frequency="biweekly", count=2, discount=24000)
    book.pay(cheaper, "06-03", 228000, "commitment_id")
    book.pay(cheaper, "06-17", 228000, "commitment_id")
    slower = book.commit("repeating_promise", "02-23", 50000, "03-02", frequency="weekly", count=12, note="renegotiated to a lower amount")
    for date, cents in slower.schedule()[:5]:
        book.pay(slower, date, cents, "commitment_id")
    renegotiate(book, slower, "04-07", 25000, "04-13", "Sales are down; half the amount every week.", frequency="weekly", count=14)
    for week in range(11):
        book.pay(slower, on("04-13") + 7 * week * DAY, 25000, "commitment_id")
    disputed = book.commit("promise", "04-13", 220000, "04-27", note="cancelled before it was due")
    book.act("cancel", commitment_id=disputed.commitment_id, effective_on="2026-04-20", reason="Invoice disputed; credit note issued.")
    sold = book.commit("plan", "02-25", 300000, "03-11", frequency="monthly", count=6, note="cancelled half-way")
    book.pay(sold, "03-11", 50000, "commitment_id")
    book.pay(sold, "04-13", 50000, "commitment_id")
    book.act("cancel", commitment_id=sold.commitment_id, effective_on="2026-05-05", reason="Business sold; the buyer took over the debt.")
    legal = book.commit("promise", "05-18", 390000, "05-26", note="cancelled after it was broken")
    book.act("cancel", commitment_id=legal.commitment_id, effective_on="2026-06-09", reason="Handed to legal.")
    parent = book.commit("promise", "05-13", 210000, "05-22", note="paid by the parent company, matched by a person")
    stray = Payment(parent.customer.customer_id, on("05-22"), 210000, "USD", reference="GROUP TREASURY SETTLEMENT", method="wire")
    book.commit("promise", "05-13", 330000, "05-21", customer=parent.customer, note="its customer's other promise")
    book.payments.append(stray)
    book.act("override", payment_id=stray, commitment_id=parent.commitment_id, reason="Remittance advice names this promise.")
    deposit = book.commit("promise", "06-03", 145000, "06-15", note="a security deposit is not for this promise")
    aside = book.pay(deposit, "06-12", 145000, reference="SECURITY DEPOSIT", method="wire")
    book.act("override", payment_id=aside, commitment_id=None, reason="Security deposit for a new contract, not a payment.")
    generous = book.commit("plan", "05-27", 850000, "06-10", frequency="monthly", count=5, discount=340000, note="rejected: 40 % off")
    book.act("reject", commitment_id=generous.commitment_id, reason="Forty percent off without a hardship letter.")


def renegotiate(book: Book, commitment: Commitment, agreed: str, cents: int, first_due: str, reason: str, **terms: Any) -> None:
    kind = commitment.kind
    count = terms.get("count", 1)
    book.act(
        "renegotiate",
        commitment_id=commitment.commitment_id,
        reason=reason,
        terms={
            "kind": kind,
            "currency": commitment.customer.currency,
            "agreed_on": f"2026-{agreed}",
            "amount_minor": cents,
            "total_minor": cents * count if kind == "repeating_promise" else cents,
            "discount_minor": terms.get("discount", 0),
            "frequency": terms.get("frequency", "once"),
            "installment_count": count,
            "first_due_date": f"2026-{first_due}",
            "invoice_ids": commitment.invoices,
        },
    )


# everything ordinary -----------------------------------------------------------------------------------------------


def ordinary_commitments(book: Book) -> None:
    """The rest of the book: who agrees to what, and how well they keep it."""
    dice = book.dice
    while len(book.commitments) < COMMITMENTS:
        number = len(book.commitments)
        customer = book.customer("EUR" if number % 9 == 0 else "USD")
        made = (_repeating, _plan, _repeating, _promise)[number % 4](book, customer)
        made.grace = dice.pick((None, None, None, None, 2, 3, 5))
        keep(book, made)


def _promise(book: Book, customer: Customer) -> Commitment:
    agreed = workday(on("01-05") + book.dice.between(0, 160) * DAY)
    return book.commit("promise", agreed, book.dice.between(15000, 800000), workday(agreed + book.dice.between(3, 14) * DAY), customer)


def _repeating(book: Book, customer: Customer) -> Commitment:
    agreed = workday(on("01-05") + book.dice.between(0, 24) * DAY)
    frequency = book.dice.pick(("weekly", "weekly", "weekly", "biweekly", "semimonthly"))
    first = plus_months(agreed.replace(day=1), 1) if frequency == "semimonthly" else workday(agreed + book.dice.between(3, 10) * DAY)
    count = book.dice.between(20, 34) if frequency == "weekly" else book.dice.between(8, 14)
    return book.commit("repeating_promise", agreed, book.dice.between(5, 60) * 1000, first, customer, frequency=frequency, count=count)


def _plan(book: Book, customer: Customer) -> Commitment:
    dice = book.dice
    agreed = workday(on("01-05") + dice.between(0, 75) * DAY)
    frequency = dice.pick(("monthly", "monthly", "biweekly", "weekly", "semimonthly", "quarterly"))
    first = plus_months(agreed.replace(day=1), 1) if frequency == "semimonthly" else workday(agreed + dice.between(7, 20) * DAY)
    count = {"monthly": dice.between(3, 10), "quarterly": dice.between(2, 4)}.get(frequency, dice.between(6, 16))
    total = dice.between(100000, 2400000)
    down = total // 1000 * 100 if dice.chance(35) else 0
    discount = total // 2000 * 100 if dice.chance(30) else 0
    return book.commit("plan", agreed, total, first, customer, frequency=frequency, count=count, down=down, discount=discount)


def keep(book: Book, commitment: Commitment) -> None:
    """Live through what is due before the last file: mostly on time, sometimes late, short or never."""
    dice, owed = book.dice, 0
    is_single = commitment.count == 1
    habit = dice.pick(("commitment_id", "commitment_id", "invoice_id", "invoice_id", "reference", "reference", "", ""))
    for nominal, share in commitment.schedule():
        due = workday(nominal)
        if due >= LAST_FILE_FROM:
            return
        roll = dice.between(1, 1000)
        if roll <= (660 if is_single else 715):
            early = dice.between(1, 4) if dice.chance(30) else 0
            received = max(workday(due - early * DAY), commitment.agreed_on)
            in_two = dice.chance(46) and share > 2000
            if in_two:
                book.pay(commitment, received, share // 2, habit)
            book.pay(commitment, received, owed + share - (share // 2 if in_two else 0), habit)
            owed = 0
        elif roll <= (850 if is_single else 880):
            received = workday(due + dice.between(2, 5 if commitment.frequency == "weekly" else 12) * DAY)
            if received > AS_OF:
                return
            book.pay(commitment, received, owed + share, habit)
            owed = 0
        elif roll <= (930 if is_single else 940):
            part = share * dice.between(40, 80) // 100
            book.pay(commitment, due, part, habit)
            owed += share - part
        elif roll <= 990 and not is_single:
            owed += share
        else:
            return


def ordinary_invoices(book: Book) -> None:
    """Customers without commitments, invoices nobody had to chase, and the payments for some of them."""
    dice = book.dice
    while len(book.customers) < CUSTOMERS:
        book.customer("EUR" if len(book.customers) % 11 == 0 else "USD")
    uncommitted = [c for c in book.customers if all(c is not k.customer for k in book.commitments)]
    while len(book.invoices) < INVOICES:
        customer = dice.pick(uncommitted if dice.chance(50) else book.customers)
        invoice = book.invoice(customer, on("01-02") + dice.between(-60, 176) * DAY, dice.between(9000, 650000))
        settled = workday(invoice.due_date + dice.between(-6, 9) * DAY)
        if customer in uncommitted and dice.chance(80) and on("01-05") <= settled < LAST_FILE_FROM:
            book.settle([invoice], settled, invoice.cents)
            if len(book.payments) < PAYMENTS:
                book.payments.append(Payment(customer.customer_id, settled, invoice.cents, customer.currency, invoice=invoice))
    for customer_id, cents in (("CUST-9001", 64000), ("CUST-9002", 125000)):
        book.payments.append(Payment(customer_id, on("03-12"), cents, "USD", reference="UNKNOWN PAYER"))


# files -------------------------------------------------------------------------------------------------------------


def csv_text(feed: str, rows: list[dict[str, Any]]) -> str:
    out = io.StringIO()
    writer = csv.DictWriter(out, FIELDS[feed].split(), restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return out.getvalue()


def number_invoices(book: Book) -> None:
    book.invoices.sort(key=lambda i: i.invoice_date)
    for number, invoice in enumerate(book.invoices, 20001):
        invoice.invoice_id = f"INV-{number}"


def number_payments(book: Book) -> None:
    book.payments.sort(key=lambda p: p.received)
    for number, payment in enumerate(book.payments, 1):
        payment.payment_id = f"PMT-{number:06d}" if payment.has_id else ""


def month_end(month: int) -> dt.date:
    return on(f"{month + 1:02d}-01") - DAY


def write_invoices(book: Book, folder: Path) -> None:
    """One file a month: invoices that are new or whose open amount changed since the last one."""
    said: dict[str, int] = {}
    for month in range(1, 7):
        rows = []
        for invoice in book.invoices:
            until = [(date, cents) for date, cents in invoice.paid if date <= month_end(month)]
            left = invoice.cents - sum(cents for _, cents in until)
            if invoice.invoice_date <= month_end(month) and said.get(invoice.invoice_id) != left:
                said[invoice.invoice_id] = left
                rows.append(invoice_row(invoice, left, max(until)[0] if until and left == 0 else None))
        text = csv_text("invoices", rows)
        if month == 4:  # one row the ERP could not export properly
            text += "INV-29999,CUST-0003,Broken export,2026-04-31,2026-05-30,100.00,100.00,USD,,,,,,\n"
        (folder / f"invoices_2026-{month:02d}.csv").write_text(text, encoding="utf-8")


def invoice_row(invoice: Invoice, left: int, settled: dt.date | None) -> dict[str, Any]:
    customer = invoice.customer
    return {
        "invoice_id": invoice.invoice_id,
        "customer_id": customer.customer_id,
        "customer_name": customer.name,
        "invoice_date": invoice.invoice_date,
        "due_date": invoice.due_date,
        "amount": money(invoice.cents),
        "open_amount": money(left),
        "currency": customer.currency,
        "customer_email": customer.email,
        "segment": customer.segment,
        "owner": customer.owner,
        "disputed": "true" if invoice.disputed else "",
        "deduction_count": invoice.deductions or "",
        "settled_date": settled or "",
    }


def payment_row(payment: Payment) -> dict[str, Any]:
    return {
        "payment_id": payment.payment_id,
        "customer_id": payment.customer_id,
        "received_date": payment.received,
        "amount": money(payment.cents),
        "currency": payment.currency,
        "kind": payment.kind,
        "reverses_payment_id": payment.reverses.payment_id if payment.reverses else "",
        "invoice_id": payment.invoice.invoice_id if payment.invoice else "",
        "commitment_id": payment.commitment_id,
        "reference": payment.reference.format(mention=payment.mentions.invoice_id if payment.mentions else ""),
        "method": payment.method,
    }


def bad_payment_lines() -> dict[int, list[str]]:
    """Lines as a spreadsheet or a tired clerk would leave them, by month. None of them may load."""
    return {
        2: [
            "PMT-900201,CUST-0004,31/02/2026,310.00,USD,payment,,,,no such day,ach",
            "PMT-900202,CUST-0004,2026-02-31,310.00,USD,payment,,,,nor this,ach",
        ],
        3: [
            'PMT-900301,CUST-0005,2026-03-05,"1.234,56",USD,payment,,,,continental,wire',
            "PMT-900302,CUST-0005,2026-03-05,abc,USD,payment,,,,letters,wire",
        ],
        4: [
            "PMT-900401,CUST-0006,2026-04-07,-250.00,USD,payment,,,,negative,ach",
            "PMT-900402,CUST-0006,2026-04-07,250.00,USD,adjustment,,,,unknown kind,ach",
            "PMT-900403,CUST-0006,2026-04-07,12.345,USD,payment,,,,finer than a cent,ach",
        ],
        5: [
            "PMT-900501,,2026-05-06,99.00,USD,payment,,,,whose is it,check",
            "PMT-900502,CUST-0007,2026-05-06,99.00,USB,payment,,,,unknown currency,check",
            "PMT-900503,CUST-0007,2026-05-06,99.00,USD,payment,,,,one field,too,many",
        ],
        6: [
            "PMT-900601,CUST-0007,2026-06-11,0.00,USD,payment,,,,nothing at all,ach",
            "PMT-900602,CUST-0007,,45.00,USD,payment,,,,no date,ach",
        ],
    }


def write_payments(book: Book, folder: Path) -> None:
    """Monthly files with the dirt of real ones: repeats, bad lines, blank lines, a BOM, Windows line ends."""
    rows: dict[str, list[dict[str, Any]]] = {}
    for payment in book.payments:
        month = payment.file_month or payment.received.month
        part = "" if month < 6 else "_29-30" if payment.received >= LAST_FILE_FROM else "_01-26"
        rows.setdefault(f"payments_2026-{month:02d}{part}", []).append(payment_row(payment))
    march = rows["payments_2026-03"]
    march[5:5] = rows["payments_2026-02"][-3:]  # the bank exported the last days of February twice
    corrected = next(row for row in rows["payments_2026-04"] if row["payment_id"])
    rows["payments_2026-05"].append({**corrected, "amount": "1.00"})  # the same id with another amount
    bad = bad_payment_lines()
    texts = {}
    for name, its_rows in rows.items():
        header, *lines = csv_text("payments", its_rows).splitlines()
        month = int(name[14:16])
        for i, line in enumerate([] if name.endswith("30") else bad.get(month, [])):
            lines.insert(7 + 5 * i, line)
        if month == 2:
            lines[10:10] = ["", ""]
            lines[30:30] = ["   "]
        texts[name] = "\n".join([header, *lines]) + "\n"
    april_header, *april = texts["payments_2026-04"].splitlines()
    texts["payments_2026-03_copy"] = texts["payments_2026-03"]
    texts["payments_2026-04_reordered"] = "\n".join([april_header, *reversed(april)]) + "\n"
    for name, text in texts.items():
        is_windows = name == "payments_2026-05"
        content = ("\ufeff" + text.replace("\n", "\r\n")) if is_windows else text
        (folder / f"{name}.csv").write_bytes(content.encode())


def write_commitments(book: Book, folder: Path, installments: Path) -> None:
    by_month: dict[int, list[Commitment]] = {}
    for commitment in sorted(book.commitments, key=lambda c: (c.agreed_on, c.commitment_id)):
        by_month.setdefault(commitment.agreed_on.month, []).append(commitment)
    for month, commitments in by_month.items():
        rows = [commitment_row(c) for c in commitments]
        text = csv_text("commitments", rows)
        if month == 3:
            text += "PTP-9001,pledge,CUST-0008,2026-03-20,500.00,2026-03-27,USD,,once,1,,,,maria.lopez,call,,,,,,,\n"
            text += "PTP-9002,plan,CUST-0008,2026-03-20,500.00,2026-02-30,USD,,monthly,3,,,,maria.lopez,call,,,,,,,\n"
        if month == 6:  # May's first row, sent a second time
            text += "\n".join(csv_text("commitments", [commitment_row(by_month[5][0])]).splitlines()[1:]) + "\n"
        (folder / f"commitments_2026-{month:02d}.csv").write_text(text, encoding="utf-8")
        if listed := [installment_row(c, i, line) for c in commitments for i, line in enumerate(c.listed, 1)]:
            (installments / f"installments_2026-{month:02d}.csv").write_text(csv_text("installments", listed), encoding="utf-8")


def commitment_row(c: Commitment) -> dict[str, Any]:
    number = int(c.commitment_id[-4:])
    return {
        "commitment_id": c.commitment_id,
        "kind": c.kind,
        "customer_id": c.customer.customer_id,
        "agreed_on": c.agreed_on,
        "amount": money(c.cents),
        "first_due_date": c.first_due,
        "currency": c.customer.currency,
        "invoice_ids": ";".join(sorted({i.invoice_id for i in c.invoices})),
        "frequency": c.frequency,
        "installment_count": c.count if c.kind != "promise" else "",
        "down_payment": money(c.down) if c.down else "",
        "discount": money(c.discount) if c.discount else "",
        "grace_days": "" if c.grace is None else c.grace,
        "owner": c.customer.owner,
        "channel": ("call", "email", "portal", "call", "legal")[number % 5],
        "contact_name": c.customer.contact,
        "contact_email": c.customer.email,
        "confidence": 40 + number * 37 % 56,
        "confidence_reason": ("Spoke to the owner", "Cheque run confirmed", "Waiting for a receivable", "Has kept before")[number % 4],
        "note": c.note,
        "evidence_link": f"https://files.example/calls/{c.commitment_id.lower()}" if number % 3 == 0 else "",
        "overpayment_rule": "next" if number % 2 else "",
    }


def installment_row(c: Commitment, sequence: int, line: tuple[dt.date, int, int | None]) -> dict[str, Any]:
    date, cents, grace = line
    return {
        "commitment_id": c.commitment_id,
        "sequence": sequence,
        "due_date": date,
        "amount": money(cents),
        "grace_days": "" if grace is None else grace,
    }


def write_contacts(book: Book, folder: Path) -> None:
    """The call before every promise, a reminder before many, and what customers answered."""
    dice = book.dice
    touches = []
    for c in book.commitments:
        touches.append((c.agreed_on, c, "in", "promised", "Agreed to " + money(c.total)))
        if dice.chance(70):
            answer = dice.pick(("no answer", "left message", "reached"))
            touches.append((workday(c.agreed_on - dice.between(2, 9) * DAY), c, "out", answer, ""))
        if dice.chance(45) and c.first_due - 2 * DAY <= AS_OF:
            touches.append((max(c.agreed_on, c.first_due - 2 * DAY), c, "out", "reminded", "Amount and date confirmed"))
        if dice.chance(30) and c.agreed_on + 20 * DAY <= AS_OF:
            blocker = dice.pick(("cash timing", "dispute raised", "approval pending", "po missing"))
            touches.append((c.agreed_on + 20 * DAY, c, "in", blocker, ""))
    rows = []
    for number, (date, c, direction, outcome, note) in enumerate(sorted(touches, key=lambda t: (t[0], t[1].commitment_id)), 1):
        rows.append({
            "contact_id": f"CON-{number:05d}",
            "customer_id": c.customer.customer_id,
            "at": f"{date}T{dice.between(8, 17):02d}:{dice.between(0, 59):02d}:00Z",
            "channel": dice.pick(("call", "call", "email", "portal")),
            "direction": direction,
            "outcome": outcome,
            "commitment_id": c.commitment_id,
            "owner": c.customer.owner,
            "note": note,
        })  # fmt: skip
    half = [row for row in rows if row["at"] < "2026-04"]
    (folder / "contacts_2026-q1.csv").write_text(csv_text("contacts", half), encoding="utf-8")
    (folder / "contacts_2026-q2.csv").write_text(csv_text("contacts", rows[len(half) :]), encoding="utf-8")


def write_actions(book: Book, folder: Path) -> None:
    for action in book.actions:
        if isinstance(payment := action.get("payment_id"), Payment):
            action["payment_id"] = payment.payment_id
        if "terms" in action:
            action["terms"]["invoice_ids"] = sorted({i.invoice_id for i in action["terms"]["invoice_ids"]})
    # what is still pending has to be turned down before everything else is approved
    ordered = sorted(book.actions, key=lambda a: a["action"] != "reject")
    (folder / "actions.json").write_text(json.dumps(ordered, indent=2) + "\n", encoding="utf-8")


def main(folder: Path) -> None:
    book = Book()
    scripted_cases(book)
    ordinary_commitments(book)
    ordinary_invoices(book)
    number_invoices(book)
    number_payments(book)
    for feed in FIELDS:
        (folder / feed).mkdir(parents=True, exist_ok=True)
    write_invoices(book, folder / "invoices")
    write_payments(book, folder / "payments")
    write_commitments(book, folder / "commitments", folder / "installments")
    write_contacts(book, folder / "contacts")
    write_actions(book, folder)


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent)
