"""Matching again, as plainly as possible: one book, day by day, row by row. The SQL must say the same to the cent.

Slow and obvious on purpose. Whoever changes a rule changes it here first. What the book said on an earlier day is the replay of
the book as it was on that day: nothing dated later is there.
"""

import re
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from datetime import date

from .books import Book, Decision, Payment, Version

SEPARATORS = r"[\s\u00a0,;:|()\[\]{}<>\"'=&+!?*]"


@dataclass
class Route:
    """Where money may go: to its target, and, of an exact amount, what is left at the end of the day to the others."""

    matched_by: str | None = None
    target: list[Version] = field(default_factory=list)
    others: list[Version] = field(default_factory=list)
    is_set_aside: bool = False

    def could_go_to(self, commitment_id: str) -> bool:
        return any(v.commitment_id == commitment_id for v in self.target + self.others)

    @property
    def commitment_id(self) -> str | None:
        """The one commitment it goes to."""
        return self.target[0].commitment_id if len(self.target) == 1 else None


@dataclass
class Part:
    """A payment, or what a person cut of it. `amount_minor` is what reversals left of it."""

    payment: Payment
    amount_minor: int
    route: Route
    applied_minor: int = 0
    gone_minor: int = 0

    @property
    def unapplied_minor(self) -> int:
        return self.amount_minor - self.applied_minor - self.gone_minor


@dataclass
class Line:
    """An installment: what the terms say, or a new one made by a chargeback. Debits make it larger."""

    version: Version
    sequence: int
    nominal_due_date: date
    due_date: date
    grace_days: int
    amount_minor: int
    is_added: bool = False
    paid_minor: int = 0

    @property
    def outstanding_minor(self) -> int:
        return self.amount_minor - self.paid_minor

    @property
    def place(self) -> tuple[date, str, int, int]:
        return self.due_date, self.version.commitment_id, self.sequence, self.version.version


@dataclass
class Debit:
    """What a chargeback charged again, and where."""

    row: Payment
    line: Line
    amount_minor: int


@dataclass(frozen=True)
class Allocation:
    payment_id: str
    commitment_id: str
    version: int
    sequence: int
    received_date: date
    applied_on: date
    matched_by: str | None
    is_elsewhere: bool


@dataclass(frozen=True)
class Answer:
    """What became of a row of the feed."""

    reversed_minor: int
    charged_back_minor: int
    allocated_minor: int
    unapplied_minor: int
    elsewhere_minor: int
    match_status: str
    matched_by: str | None
    target_commitment_id: str | None


def replay(book: Book, known_on: date | None = None) -> "Replay":
    """The state of the book, or what it said on an earlier day."""
    return Replay(replace(book, as_of=known_on or book.as_of))


class Replay:
    """One pass over a book. Read `play` first: it is the order in which things happen on a day."""

    def __init__(self, book: Book) -> None:
        self.book = book
        self.versions = book.approved()
        self.lines = [
            Line(v, i.sequence, i.nominal_due_date or i.due_date, i.due_date, i.grace_days, i.amount_minor)
            for v in self.versions
            for i in v.installments
        ]
        self.rows = sorted((p for p in book.payments if p.received_date <= book.as_of), key=lambda p: (p.received_date, p.payment_id))
        self.by_id = {p.payment_id: p for p in self.rows}

        self.allocations: dict[Allocation, int] = defaultdict(int)
        self.debits: list[Debit] = []
        self.took_effect: dict[str, int] = defaultdict(int)  # by reversal, chargeback or refund
        self.returns: dict[tuple[str, str], int] = defaultdict(int)  # by (payment it left, row that took it)
        self.reversed_of: dict[str, int] = defaultdict(int)  # by payment
        self.charged_back: dict[str, int] = defaultdict(int)  # by payment
        self.charged_to: dict[tuple[str, str], int] = defaultdict(int)  # by (payment charged back, commitment)

        self.take_back_reversals()
        self.parts = [part for p in self.rows if p.kind == "payment" for part in self.parts_of(p)]
        dates = [v.agreed_on for v in self.versions] + [line.due_date for line in self.lines] + [p.received_date for p in self.rows]
        for day in sorted({d for d in dates if d <= book.as_of}):
            self.play(day)

    # Before the first day

    def take_back_reversals(self) -> None:
        """Money that was reversed counts as if it had never come, from the beginning."""
        for row in self.rows:
            payment = self.payment_named_by(row)
            if row.kind == "reversal" and payment:
                taken = min(row.amount_minor, payment.amount_minor - self.reversed_of[payment.payment_id])
                self.reversed_of[payment.payment_id] += taken
                self.record_return(payment, row, taken)

    def parts_of(self, payment: Payment) -> list[Part]:
        to_lose = self.reversed_of[payment.payment_id]
        decision = self.decision_on(payment)
        if not decision:
            return [Part(payment, payment.amount_minor - to_lose, self.route_of(payment))]
        parts = []
        for row in reversed(decision):  # the last part loses first what was reversed
            amount = payment.amount_minor if row.amount_minor is None else row.amount_minor
            lost = min(to_lose, amount)
            to_lose -= lost
            parts.append(Part(payment, amount - lost, self.decided_route(payment, row)))
        return parts[::-1]

    # Routes

    def decision_on(self, payment: Payment) -> list[Decision]:
        """A person's decision; none when it is stale: it names a commitment nobody knows, or its parts do not add up."""
        decision = sorted((d for d in self.book.decisions if d.payment_id == payment.payment_id), key=lambda d: d.part)
        names_unknown = any(d.commitment_id and not self.is_known(d.commitment_id) for d in decision)
        total = sum(payment.amount_minor if d.amount_minor is None else d.amount_minor for d in decision)
        return [] if names_unknown or total != payment.amount_minor else decision

    def is_stale(self, decision: Decision) -> bool:
        """Whether a decision, or this part of it, does not work out."""
        payment = self.by_id[decision.payment_id]
        has_nowhere_to_go = decision.commitment_id is not None and not self.decided_route(payment, decision).target
        return not self.decision_on(payment) or has_nowhere_to_go

    def is_known(self, commitment_id: str | None) -> bool:
        return any(v.commitment_id == commitment_id for v in self.book.versions)

    def in_force_for(self, payment: Payment) -> list[Version]:
        """Versions of the customer and currency in force on the day the money came, the one agreed first before the others."""
        mine = [v for v in self.versions if (v.customer_id, v.currency) == (payment.customer_id, payment.currency)]
        return sorted((v for v in mine if v.is_in_force(payment.received_date)), key=lambda v: (v.agreed_on, v.commitment_id))

    def decided_route(self, payment: Payment, decision: Decision) -> Route:
        if decision.commitment_id is None:
            return Route("override", is_set_aside=True)
        target = [v for v in self.in_force_for(payment) if v.commitment_id == decision.commitment_id]
        return Route("override", target) if target else Route()

    def route_of(self, payment: Payment) -> Route:
        """Where a payment goes on which no person decided: the first rule that applies."""
        in_force = self.in_force_for(payment)
        if self.is_known(payment.commitment_id):
            named = [v for v in in_force if v.commitment_id == payment.commitment_id]
            return Route("commitment_id", named) if named else Route()
        mentioned = words(payment.reference)
        covering = [v for v in in_force if payment.invoice_id in v.invoice_ids]
        named = [v for v in in_force if v.commitment_id.lower() in mentioned]
        named += [v for v in in_force if any(invoice.lower() in mentioned for invoice in v.invoice_ids)]
        exact = [
            v
            for v in in_force
            for i in v.installments
            if i.amount_minor == payment.amount_minor and abs((i.due_date - payment.received_date).days) <= self.book.window_days
        ]
        if covering:
            return Route("invoice_id", covering[:1])
        if named:
            return Route("reference", named[:1])
        if len(exact) == 1:
            # An equal amount is weak evidence: what is left of such money goes on to whatever is in force, unless it is held.
            return Route("exact_amount", exact, [] if exact[0].overpayment_rule == "hold" else in_force)
        if len(in_force) == 1:
            return Route("only_commitment", in_force)
        return Route("oldest_due", in_force) if in_force else Route()

    # The days

    def play(self, day: date) -> None:
        self.apply_credit(day)
        today = [part for part in self.parts if part.payment.received_date == day]
        for part in today:
            self.apply([part], part.route.target, day)
        for part in today:
            self.apply([part], part.route.others, day)
        for row in self.rows:
            if row.received_date == day and row.kind == "chargeback":
                self.charge_back(row)
        for row in self.rows:
            if row.received_date == day and row.kind == "refund":
                self.refund(row)

    def apply_credit(self, day: date) -> None:
        """New terms take over what earlier terms left unapplied; held money is applied when an installment falls due."""
        for version in sorted((v for v in self.versions if v.is_in_force(day)), key=lambda v: v.commitment_id):
            begins = version.agreed_on == day
            is_released = version.overpayment_rule == "hold" and any(line.due_date == day for line in self.lines_of([version]))
            if begins or is_released:
                from_before = [part for part in self.credit_of(version.commitment_id, day) if part.payment.received_date < day]
                self.apply(from_before, [version], day)

    def credit_of(self, commitment_id: str, day: date) -> list[Part]:
        """Parts that could have gone to the commitment when they came. What is unapplied of them is its credit."""
        return [part for part in self.parts if part.payment.received_date <= day and part.route.could_go_to(commitment_id)]

    def lines_of(self, versions: Iterable[Version]) -> list[Line]:
        """In the order in which they are paid."""
        return sorted((line for line in self.lines if line.version in versions), key=lambda line: line.place)

    def apply(self, parts: list[Part], versions: list[Version], day: date) -> None:
        """The money of all the parts together: the first money pays what is paid first."""
        money = sum(part.unapplied_minor for part in parts)
        if not money:
            return
        for line, taken in takes(money, self.lines_of(versions), day):
            line.paid_minor += taken
            to_pay = taken
            for part in parts:
                paid = min(part.unapplied_minor, to_pay)
                if paid:
                    to_pay -= paid
                    part.applied_minor += paid
                    self.allocations[self.allocation(part, line, day)] += paid

    def allocation(self, part: Part, line: Line, day: date) -> Allocation:
        p, v = part.payment, line.version
        rule = part.route.matched_by
        is_elsewhere = rule == "exact_amount" and v.commitment_id != part.route.commitment_id
        return Allocation(p.payment_id, v.commitment_id, v.version, line.sequence, p.received_date, day, rule, is_elsewhere)

    # Money going back

    def payment_named_by(self, row: Payment) -> Payment | None:
        """The payment a row takes back: one of the same customer in the same currency."""
        named = self.by_id.get(row.reverses_payment_id or "")
        if named and named.kind == "payment" and (named.customer_id, named.currency) == (row.customer_id, row.currency):
            return named
        return None

    def record_return(self, payment: Payment, row: Payment, amount: int) -> None:
        if amount:
            self.returns[payment.payment_id, row.payment_id] += amount
            self.took_effect[row.payment_id] += amount

    def take_unapplied(self, parts: Iterable[Part], row: Payment, up_to: int) -> int:
        """Send unapplied money back, the first part's first. Says how much there was of it."""
        taken = 0
        for part in parts:
            gone = min(part.unapplied_minor, up_to - taken)
            part.gone_minor += gone
            taken += gone
            self.record_return(part.payment, row, gone)
        return taken

    def charge_back(self, row: Payment) -> None:
        """The payment stays where it was. What its sender took back is covered by unapplied money, or else owed again."""
        payment, day = self.payment_named_by(row), row.received_date
        if not payment or payment.received_date > day:
            return
        id_ = payment.payment_id
        to_charge = min(row.amount_minor, payment.amount_minor - self.reversed_of[id_] - self.charged_back[id_])

        own = [part for part in self.parts if part.payment is payment]
        covered = self.take_unapplied(own[::-1], row, to_charge)
        self.charged_back[id_] += covered
        to_charge -= covered

        for commitment_id, paid in self.commitments_paid_by(payment):
            charge = min(to_charge, paid - self.charged_to[id_, commitment_id])
            to_charge -= charge
            for version in self.versions:
                if charge and version.commitment_id == commitment_id and version.is_in_force(day):
                    self.charged_back[id_] += charge
                    self.charged_to[id_, commitment_id] += charge
                    covered = self.take_unapplied(self.credit_of(commitment_id, day), row, charge)
                    self.debit(version, row, charge - covered)

    def commitments_paid_by(self, payment: Payment) -> list[tuple[str, int]]:
        """With what it paid to each; the one to which it paid what falls due last comes first."""
        paid: dict[str, int] = defaultdict(int)
        last: dict[str, tuple[date, str, int, int]] = {}
        for a, amount in self.allocations.items():
            if a.payment_id == payment.payment_id:
                place = max(line.place for line in self.lines if (*line.place[1:],) == (a.commitment_id, a.sequence, a.version))
                paid[a.commitment_id] += amount
                last[a.commitment_id] = max(place, last.get(a.commitment_id, place))
        return [(commitment_id, paid[commitment_id]) for commitment_id in sorted(paid, key=lambda c: last[c], reverse=True)]

    def debit(self, version: Version, row: Payment, amount: int) -> None:
        """Owed again: with the next installment, or the last one if it is due today, or else on a new one."""
        if not amount:
            return
        self.took_effect[row.payment_id] += amount
        day = row.received_date
        lines = self.lines_of([version])
        due_later = [line for line in lines if line.due_date > day]
        if due_later:
            host = due_later[0]
        elif lines[-1].due_date == day:
            host = lines[-1]
        else:
            last = max(i.sequence for i in version.installments)
            number = self.days_that_could_add_to(version).index(day) + 1
            host = Line(version, last + number, day, day, lines[-1].grace_days, 0, is_added=True)
            self.lines.append(host)
        host.amount_minor += amount
        self.debits.append(Debit(row, host, amount))

    def days_that_could_add_to(self, version: Version) -> list[date]:
        """All days of chargebacks of the customer after the last due date of the terms, so that a number never changes later."""
        last_due = max(i.due_date for i in version.installments)
        days = set()
        for row in self.rows:
            payment = self.payment_named_by(row)
            if row.kind == "chargeback" and payment and payment.received_date <= row.received_date:
                is_same = (row.customer_id, row.currency) == (version.customer_id, version.currency)
                if is_same and last_due < row.received_date and version.is_in_force(row.received_date):
                    days.add(row.received_date)
        return sorted(days)

    def refund(self, row: Payment) -> None:
        """Unapplied money goes back: of the payment named, or of all the customer has."""
        named = self.payment_named_by(row)
        parts = [part for part in self.parts if part.payment.received_date <= row.received_date]
        if row.reverses_payment_id:
            parts = [part for part in parts if part.payment is named]
        else:
            parts = [p for p in parts if (p.payment.customer_id, p.payment.currency) == (row.customer_id, row.currency)]
        self.take_unapplied(parts, row, row.amount_minor)

    # Answers

    def answer(self, row: Payment) -> Answer:
        if row.kind != "payment":
            effect = self.took_effect[row.payment_id]
            return Answer(effect, 0, 0, row.amount_minor - effect, 0, row.kind, None, None)
        parts = [part for part in self.parts if part.payment is row]
        mine = {a: amount for a, amount in self.allocations.items() if a.payment_id == row.payment_id}
        gone = sum(amount for (payment_id, _), amount in self.returns.items() if payment_id == row.payment_id)
        allocated = sum(mine.values())
        unapplied = row.amount_minor - gone - allocated
        elsewhere = sum(amount for a, amount in mine.items() if a.is_elsewhere)
        if gone == row.amount_minor:
            status = "reversed"
        elif all(part.route.is_set_aside for part in parts):
            status = "set_aside"
        else:
            status = "unmatched" if not allocated else "partially_matched" if unapplied else "matched"
        rules = {part.route.matched_by for part in parts} - {None}
        (rule,) = rules or {None}
        targets = {part.route.commitment_id for part in parts} - {None}
        target = targets.pop() if len(targets) == 1 else None
        if allocated and elsewhere == allocated:  # an exact amount that went to other commitments altogether is shared money
            rule, target = "oldest_due", None
        return Answer(gone, self.charged_back[row.payment_id], allocated, unapplied, elsewhere, status, rule, target)


def words(reference: str | None) -> set[str]:
    text = (reference or "").lower()
    whole = {text.strip(" "), *re.split(SEPARATORS, text)}
    return (whole | {word.strip(".#/-_") for word in whole}) - {""}


def takes(money: int, lines: list[Line], day: date) -> list[tuple[Line, int]]:
    """What each line gets of the money, in the order in which they are paid: what is due, then the rest by the overpayment rule."""
    taken: list[tuple[Line, int]] = []

    def later(rule: str) -> list[Line]:
        return [line for line in lines if line.due_date > day and line.version.overpayment_rule == rule]

    for line in [line for line in lines if line.due_date <= day] + later("next"):
        amount = min(money, line.outstanding_minor)
        taken.append((line, amount))
        money -= amount
    for line, amount in evenly(money, later("spread")):
        taken.append((line, amount))
        money -= amount
    for line in reversed(later("last")):
        amount = min(money, line.outstanding_minor)
        taken.append((line, amount))
        money -= amount
    return taken  # what is left is beyond everything, or held


def evenly(money: int, lines: list[Line]) -> list[tuple[Line, int]]:
    """The same rounded share for each, the odd cents for the last; what finds a line full goes round again."""
    got = [0] * len(lines)
    while money and (open_ones := [n for n, line in enumerate(lines) if line.outstanding_minor > got[n]]):
        count = len(open_ones)
        share = (2 * money + count) // (2 * count)  # the nearest, halves up
        share_of_last = money - share * (count - 1)
        for n in open_ones:
            wanted = share_of_last if n == open_ones[-1] else share
            given = max(0, min(wanted, lines[n].outstanding_minor - got[n], money))
            got[n] += given
            money -= given
    return list(zip(lines, got, strict=True))
