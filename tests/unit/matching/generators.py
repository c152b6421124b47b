"""Random books, as messy as real ones. Every choice is taken from one source of randomness.

In tests hypothesis is the source, so that a book that fails shrinks; `soak.py` uses plain random numbers, which are faster.
"""

from dataclasses import dataclass, replace
from datetime import date, timedelta
from random import Random
from typing import Any, ClassVar

from .books import OVERPAYMENT_RULES, Book, Decision, Installment, Payment, Version, day

START = day("03-01")
COMMITMENTS = ["C-1", "C-2", "C-3", "C-10"]
INVOICES = ["INV-1", "INV-2", "INV-10"]
AMOUNTS = [1, 50, 100, 150, 333, 1001]
REFERENCES = ["thanks", "for inv-1{}.", "c-10{}", "(INV-2{0}/INV-1{0}), C-2{0}", "inv-10{}0"]


@dataclass
class Household:
    """A few customers who do not know those of other households: many make a big book that costs hardly more than a small one."""

    rng: Random
    name: str
    currencies: list[str]
    rules: tuple[str, ...]
    amounts: list[int]
    payment_counts: ClassVar = (1, 8)

    def usually(self, value: Any, *others: Any) -> Any:
        """Mostly one value, so that the facts of a book meet each other."""
        return self.rng.choice([value] * 5 * len(others) + list(others))

    def on(self, first: int, last: int) -> date:
        return START + timedelta(self.rng.randint(first, last))

    def named(self, text: str | None) -> str | None:
        return text and text + self.name

    def versions(self) -> list[Version]:
        """All versions of each of several commitments, most of them one customer's and agreed early."""
        versions = []
        for commitment_id in self.rng.sample(COMMITMENTS, self.rng.choice([1, 1, 2, 2, 3, 4])):
            customer, currency = self.usually("K1", "K2"), self.usually(self.currencies[0], *self.currencies)
            rule = self.rng.choice(self.rules)
            agreed = [self.on(0, 8), *(self.on(3, 35) for _ in range(self.rng.choice([0, 0, 0, 1, 1, 2])))]
            for number, agreed_on in enumerate(sorted(agreed) if self.usually(True, False) else agreed, 1):
                rule = self.usually(rule, *self.rules)
                versions.append(
                    Version(
                        commitment_id + self.name,
                        number,
                        "plan",
                        customer + self.name,
                        currency,
                        agreed_on,
                        self.installments(agreed_on),
                        [invoice + self.name for invoice in self.rng.sample(INVOICES, self.usually(0, 1, 2))],
                        self.usually("approve", None, "reject"),
                        self.usually(None, self.on(10, 30)),
                        rule,
                    )
                )
        return versions

    def installments(self, agreed_on: date) -> list[Installment]:
        dues = sorted(max(self.on(0, 45), agreed_on) for _ in range(self.rng.choice([1, 2, 3, 4, 5, 9])))
        has_down_payment = self.usually(False, True)
        if has_down_payment:
            dues[0] = agreed_on
        amounts = [self.rng.choice(self.amounts) for _ in dues]
        return [
            Installment(n, due, amount, has_down_payment and n == 1, self.usually(0, 3), due - timedelta(self.usually(0, 2)))
            for n, (due, amount) in enumerate(zip(dues, amounts, strict=True), 1)
        ]

    def payment(self, number: int) -> Payment:
        reference = self.usually(None, *REFERENCES)
        return Payment(
            f"P-{number}{self.name}",
            f"{self.usually('K1', 'K1', 'K2', 'K9')}{self.name}",
            self.on(2, 40),
            self.usually(self.rng.choice(self.amounts), 250, 600),
            self.usually(self.currencies[0], *self.currencies),
            invoice_id=self.named(self.usually(None, *INVOICES)),
            commitment_id=self.named(self.rng.choice([None, None, None, "C-1", "C-2", "C-404"])),
            reference=reference and reference.format(self.name),
        )

    def money_back(self, number: int, paid: list[Payment]) -> Payment:
        """A reversal, chargeback or refund, nearly always of a payment there is, sometimes dated before it."""
        kind = self.rng.choice(["reversal", "chargeback", "chargeback", "refund"])
        payment = self.rng.choice(paid)
        on = payment.received_date + timedelta(self.usually(self.rng.choice([0, 1, 5, 10, 20, 30]), -1))
        named: str | None = self.usually(payment.payment_id, payment.payment_id, payment.payment_id, None, "P-99", f"B-0{self.name}")
        if kind == "refund":
            named = self.rng.choice([named, None])
        amount = self.rng.choice([payment.amount_minor, payment.amount_minor // 2 or 1, 30, 5000])
        return Payment(
            f"{'B' if self.usually(True, False) else 'A'}-{number}{self.name}",
            self.usually(payment.customer_id, payment.customer_id, f"K2{self.name}"),
            on,
            amount,
            self.usually(payment.currency, *self.currencies),
            kind,
            named,
        )

    def decision(self, payment: Payment, commitment_ids: list[str]) -> list[Decision]:
        """All of a payment, or its parts, somewhere; at times stale."""
        somewhere = [None, *commitment_ids, *commitment_ids]
        targets = [self.usually(self.rng.choice(somewhere), "C-404") for _ in range(self.rng.choice([1, 1, 2, 3]))]
        if len(targets) == 1 or payment.amount_minor < len(targets):
            return [Decision(payment.payment_id, targets[0])]
        cuts = sorted(self.rng.sample(range(1, payment.amount_minor), len(targets) - 1))
        ends = [*cuts, payment.amount_minor + self.usually(0, 7)]
        amounts = [end - begin for begin, end in zip([0, *cuts], ends, strict=True)]
        return [Decision(payment.payment_id, target, n, amount) for n, (target, amount) in enumerate(zip(targets, amounts, strict=True), 1)]


class Crowd(Household):
    """One customer with several commitments, one version each, and much money for all of them, of which at most some bounces."""

    payment_counts: ClassVar = (8, 24)

    def versions(self) -> list[Version]:
        versions = []
        for commitment_id in COMMITMENTS[: self.rng.choice([1, 2, 3, 3, 4])]:
            agreed_on, rule, cancelled_on = self.on(0, 6), self.rng.choice(self.rules), self.usually(None, self.on(10, 30))
            dues = self.installments(agreed_on) + self.installments(agreed_on)
            dues = [replace(due, sequence=n) for n, due in enumerate(sorted(dues, key=lambda due: due.due_date), 1)]
            names = (commitment_id + self.name, 1, "plan", "K1" + self.name, self.currencies[0])
            versions.append(Version(*names, agreed_on, dues, [], "approve", cancelled_on, rule))
        return versions

    def payment(self, number: int) -> Payment:
        direction = self.rng.choice([None, None, None, *COMMITMENTS[:3]])
        return replace(
            super().payment(number),
            customer_id="K1" + self.name,
            currency=self.currencies[0],
            commitment_id=self.named(direction),
            invoice_id=None,
            reference=None,
        )

    def money_back(self, number: int, paid: list[Payment]) -> Payment:
        payment = self.rng.choice(paid)
        amount = self.rng.choice([payment.amount_minor, payment.amount_minor // 2 or 1])
        on = payment.received_date + timedelta(self.rng.randint(0, 10))
        return replace(
            payment,
            payment_id=f"B-{number}{self.name}",
            received_date=on,
            amount_minor=amount,
            kind="reversal",
            reverses_payment_id=payment.payment_id,
        )


def random_book(rng: Random, households: int, kind: type[Household] = Household) -> Book:
    book = Book(as_of=START + timedelta(rng.choice([45, 45, 45, 25])), window_days=rng.choice([0, 3, 7]))
    for number in range(households):
        rules = rng.choice([OVERPAYMENT_RULES, OVERPAYMENT_RULES, ("next",), ("spread",), ("hold",), ("last",)])
        currencies = rng.choice([["USD"], ["USD"], ["JPY", "USD"], ["KWD", "USD", "JPY"]])
        household = kind(rng, f"{number:02}", currencies, rules, rng.sample(AMOUNTS, rng.randint(1, 4)))
        versions = household.versions()
        book.versions += versions
        paid = [household.payment(n) for n in range(rng.randint(*kind.payment_counts))]
        book.payments += paid
        book.payments += [household.money_back(n, paid) for n in range(rng.choice([0, 1, 2, 3, 4]))]
        for payment in paid:
            if household.usually(False, True):
                book.decisions += household.decision(payment, sorted({v.commitment_id for v in versions}))
    ids = [p.payment_id for p in book.payments]
    assert len(ids) == len(set(ids))
    return book
