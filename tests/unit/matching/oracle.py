"""Matching again, as plainly as possible: one book, day by day, payment by payment. The SQL must say the same to the cent.

Slow and obvious on purpose. Whoever changes a rule changes it here first.
"""

import re
from collections import defaultdict
from dataclasses import dataclass, field
from datetime import date
from itertools import product

from .books import Book, Payment, Version

SEPARATORS = r"[\s\u00a0,;:|()\[\]{}<>\"'=&+!?*]"


@dataclass
class Route:
    matched_by: str | None = None
    versions: list[Version] = field(default_factory=list)
    others: list[Version] = field(default_factory=list)
    is_set_aside: bool = False

    def could_pay_earlier_version(self, new: Version) -> bool:
        return any(v.commitment_id == new.commitment_id and v.version < new.version for v in self.versions + self.others)


@dataclass
class Replay:
    routes: dict[str, Route]
    left: dict[str, int]
    reversed_by: dict[str, int]
    reversed_of: dict[str, int]
    applied: dict[tuple[str, str, int, int], int]

    def routed_by(self, p: Payment) -> tuple[str | None, str | None]:
        """Rule and commitment of a payment. An exact amount that went to other commitments altogether is shared money."""
        route = self.routes[p.payment_id]
        commitment_id = route.versions[0].commitment_id if len(route.versions) == 1 else None
        paid = {c for payment_id, c, _, _ in self.applied if payment_id == p.payment_id}
        if route.others and paid and commitment_id not in paid:
            return "oldest_due", None
        return route.matched_by, commitment_id

    def status(self, p: Payment) -> str:
        net = p.amount_minor - self.reversed_of[p.payment_id]
        if p.kind != "payment":
            return "reversal" if p.kind == "reversal" else "not_applied"
        if net == 0:
            return "reversed"
        if self.routes[p.payment_id].is_set_aside:
            return "set_aside"
        left = self.left[p.payment_id]
        return "unmatched" if left == net else "partially_matched" if left else "matched"


def words(reference: str | None) -> set[str]:
    text = (reference or "").lower()
    whole = {text.strip(" "), *re.split(SEPARATORS, text)}
    return (whole | {word.strip(".#/-_") for word in whole}) - {""}


def direction(book: Book, p: Payment) -> tuple[str, str | None] | None:
    """What a person, or else the row's commitment_id, says; a commitment nobody knows says nothing."""
    known = {v.commitment_id for v in book.versions}
    if p.payment_id in book.overrides and book.overrides[p.payment_id] in {*known, None}:
        return "override", book.overrides[p.payment_id]
    if p.commitment_id in known:
        return "commitment_id", p.commitment_id
    return None


def route(book: Book, p: Payment) -> Route:
    in_force = sorted(
        (v for v in book.approved() if (v.customer_id, v.currency) == (p.customer_id, p.currency) and v.is_in_force(p.received_date)),
        key=lambda v: (v.agreed_on, v.commitment_id),
    )
    if said := direction(book, p):
        rule, commitment_id = said
        usable = [v for v in in_force if v.commitment_id == commitment_id]
        if commitment_id is None:
            return Route("override", is_set_aside=True)
        return Route(rule, usable) if usable else Route()
    mentions = words(p.reference)
    named = [v for v in in_force if v.commitment_id.lower() in mentions]
    covering = [v for v in in_force if any(invoice.lower() in mentions for invoice in v.invoice_ids)]
    exact = [
        v
        for v in in_force
        for i in v.installments
        if i.amount_minor == p.amount_minor and abs((i.due_date - p.received_date).days) <= book.window_days
    ]
    rules = (
        ("invoice_id", [v for v in in_force if p.invoice_id in v.invoice_ids][:1]),
        ("reference", [*named, *covering][:1]),
        ("exact_amount", exact if len(exact) == 1 else []),
        ("only_commitment", in_force if len(in_force) == 1 else []),
        ("oldest_due", in_force),
    )
    # An equal amount is weak evidence: the rest of such money goes on, at the end of the day, to whatever is in force.
    return next((Route(rule, versions, in_force if rule == "exact_amount" else []) for rule, versions in rules if versions), Route())


def take_back(rows: list[Payment], payments: dict[str, Payment]) -> tuple[dict[str, int], dict[str, int]]:
    """Money taken back by each reversal, and from each payment."""
    taken_by: dict[str, int] = defaultdict(int)
    taken_from: dict[str, int] = defaultdict(int)
    for r in rows:
        p = payments.get(r.reverses_payment_id or "")
        if r.kind == "reversal" and p and (r.customer_id, r.currency) == (p.customer_id, p.currency):
            taken = min(r.amount_minor, p.amount_minor - taken_from[p.payment_id])
            taken_by[r.payment_id] += taken
            taken_from[p.payment_id] += taken
    return taken_by, taken_from


def replay(book: Book, known_on: date | None = None) -> Replay:
    """The state of the book as known on a date: reversals and money after it are not there yet."""
    known_on = known_on or book.as_of
    rows = sorted((p for p in book.payments if p.received_date <= book.as_of), key=lambda p: (p.received_date, p.payment_id))
    payments = {p.payment_id: p for p in rows if p.kind == "payment"}
    reversed_by, reversed_of = take_back([r for r in rows if r.received_date <= known_on], payments)
    left = {p.payment_id: p.amount_minor - reversed_of[p.payment_id] for p in payments.values()}
    routes = {p.payment_id: route(book, p) for p in payments.values()}
    open_minor = {(v.commitment_id, v.version, i.sequence): i.amount_minor for v in book.approved() for i in v.installments}
    applied: dict[tuple[str, str, int, int], int] = {}

    def apply(p: Payment, versions: list[Version]) -> None:
        for _, commitment_id, sequence, version in sorted(
            (i.due_date, v.commitment_id, i.sequence, v.version) for v in versions for i in v.installments
        ):
            part = min(left[p.payment_id], open_minor[commitment_id, version, sequence])
            if part:
                left[p.payment_id] -= part
                open_minor[commitment_id, version, sequence] -= part
                applied[p.payment_id, commitment_id, version, sequence] = part

    for day in sorted({v.agreed_on for v in book.approved()} | {p.received_date for p in payments.values()}):
        begun = [v for v in book.approved() if v.agreed_on == day <= known_on and v.is_in_force(day)]
        for new, p in product(sorted(begun, key=lambda v: v.commitment_id), payments.values()):
            if p.received_date < day and routes[p.payment_id].could_pay_earlier_version(new):
                apply(p, [new])
        today = [p for p in payments.values() if p.received_date == day <= known_on]
        for p in today:
            apply(p, routes[p.payment_id].versions)
        for p in today:
            apply(p, routes[p.payment_id].others)
    return Replay(routes, left, reversed_by, reversed_of, applied)
