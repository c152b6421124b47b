"""Every act the trail promises, done for real, and what stands in it afterwards."""

import datetime as dt
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from ptp_pipeline.domain.terms import NewCommitment, make_terms
from ptp_pipeline.errors import Refused
from ptp_pipeline.ledger import approvals, audit, commitments, outbox, overrides, policies, users
from ptp_pipeline.ledger.connection import Ledger, Transaction
from ptp_pipeline.ledger.outbox import Message
from ptp_pipeline.notify.mailer import deliver_due
from ptp_pipeline.resources import PIPELINE
from ptp_pipeline.settings import Settings
from tests.integration.cli.conftest import Cli
from tests.integration.pipeline_book import OPERATOR, PAYMENTS, Book, new_book

AGREED, LATER, MAY = dt.date(2026, 3, 1), dt.date(2026, 3, 5), dt.date(2026, 5, 1)
Act = Callable[[Book, Cli], Any]


def as_(book: Book, who: str, act: Callable[[Transaction], Any]) -> Any:
    actors = {"operator": OPERATOR, "pipeline": PIPELINE} | book.people
    with book.ledger.transaction(book.org, actors[who]) as tx:
        return act(tx)


def by(who: str, act: Callable[[Transaction], Any]) -> Act:
    return lambda book, _: as_(book, who, act)


def plan(commitment_id: str, amount_minor: int = 90_000, agreed_on: dt.date = AGREED) -> NewCommitment:
    terms = make_terms(
        kind="plan", currency="USD", agreed_on=agreed_on, amount_minor=amount_minor, first_due_date=agreed_on + dt.timedelta(days=9),
        frequency="monthly", installment_count=3,
    )  # fmt: skip
    return NewCommitment(commitment_id=commitment_id, customer_id="C-9", terms=terms)


def decide(decision: str, commitment_id: str, version: int = 1) -> Act:
    def act(book: Book, cli: Cli) -> None:
        if decision == "approve":
            book.approve_all("sam")
        else:
            as_(book, "sam", lambda tx: approvals.decide(tx, [(commitment_id, version)], decision, "so decided", "cli"))

    return act


def refused(act: Act) -> Act:
    def tried(book: Book, cli: Cli) -> None:
        with pytest.raises(Refused):
            act(book, cli)

    return tried


def sign_in(password: str) -> Act:
    return lambda book, _: users.check_password(book.ledger, book.org, "maria", password, "cli")


def with_code(code: str, decision: str) -> Act:
    return lambda book, _: approvals.decide_with_code(
        book.ledger, book.org, "sam", code or ISSUED.pop(), [("N-4", 1)], decision, "so decided", "cli"
    )


ISSUED: list[str] = []
MESSAGE = Message("test", dt.date(2026, 5, 19), "one", ("ops@example.com",), "Subject", "<p>html</p>", "text")
OUT = Path("taken.csv")


def typed(*words: str, who: str = "") -> Act:
    """A command, as the operator or with a token made for it."""

    def act(book: Book, cli: Cli) -> None:
        token = as_(book, "operator", lambda tx: users.issue_token(tx, who)) if who else ""
        answer = cli(*words, "--org", book.org, token=token)
        assert answer.code == 0, answer.err

    return act


def ran(as_of: str, *, works: bool = True) -> Act:
    def act(book: Book, _: Cli) -> None:
        assert book.try_run(as_of).success == works

    return act


def dropped_again(book: Book, cli: Cli) -> None:
    book.drop("payments", PAYMENTS, "again.csv")
    ran("2026-05-19")(book, cli)


RUN = ["run.started", "run.finished"]
# In this order, each with the actions it must leave, in order.
ACTS: list[tuple[str, Act, list[str]]] = [
    ("a policy is changed", by("operator", lambda tx: policies.change(tx, {"grace_days": 1}, "agreed")), ["policy.changed"]),
    ("files are received, and promises of them logged, matched and judged", ran("2026-05-19"),
     ["run.started", "file.accepted", "file.accepted", "file.accepted", "commitment.logged", "commitment.logged", "transition.appended",
      "build.recorded", "run.finished"]),
    ("a file is received again", dropped_again, ["run.started", "file.rejected", "build.recorded", "run.finished"]),
    ("a run fails", ran("2999-01-01", works=False), ["run.started", "run.failed"]),
    ("a promise is logged", by("maria", lambda tx: commitments.log(tx, plan("N-1"))), ["commitment.logged"]),
    ("it is approved", decide("approve", "N-1"), ["approval.approved"]),
    ("its terms are changed", by("maria", lambda tx: commitments.renegotiate(tx, "N-1", plan("N-1", 80_000, LATER).terms, "x")),
     ["commitment.renegotiated"]),
    ("that is rejected", decide("reject", "N-1", 2), ["approval.rejected"]),
    ("chasing is paused", by("maria", lambda tx: commitments.pause(tx, "N-1", MAY, "talks")), ["commitment.paused"]),
    ("chasing is resumed", by("maria", lambda tx: commitments.resume(tx, "N-1", MAY, "talks over")), ["commitment.resumed"]),
    ("it is cancelled", by("sam", lambda tx: commitments.cancel(tx, "N-1", MAY, "gone")), ["commitment.cancelled"]),
    ("another is logged and sent back", by("maria", lambda tx: commitments.log(tx, plan("N-2", 70_000))), ["commitment.logged"]),
    ("it is sent back", decide("send_back", "N-2"), ["approval.sent_back"]),
    ("it is withdrawn", by("maria", lambda tx: commitments.withdraw(tx, "N-2", MAY, "never mind")), ["commitment.withdrawn"]),
    ("a third is logged", by("maria", lambda tx: commitments.log(tx, plan("N-3", 60_000))), ["commitment.logged"]),
    ("and approved", decide("approve", "N-3"), ["approval.approved"]),
    ("and closed", by("sam", lambda tx: commitments.close(tx, "N-3", MAY, "written off")), ["commitment.closed"]),
    ("a payment is assigned by hand", by("maria", lambda tx: overrides.set_target(tx, "PAY-2", "PLAN-1", "told so")), ["override.set"]),
    ("that is taken back", by("maria", lambda tx: overrides.undo(tx, "PAY-2", "wrong")), ["override.undone"]),
    ("a payment is split by hand",
     by("maria", lambda tx: overrides.split(tx, "PAY-2", [overrides.Part("PLAN-1", 20_000), overrides.Part(None, 10_000)], "told so")),
     ["override.split"]),
    ("mail is queued", by("pipeline", lambda tx: outbox.enqueue(tx, MESSAGE)), ["mail.queued"]),
    ("mail is sent", lambda book, _: deliver_due(book.settings, book.ledger, book.org, dt.datetime.now(dt.UTC)), ["mail.sent"]),
    ("somebody is added", by("operator", lambda tx: users.add_user(tx, "pat", "collector", None)), ["user.added"]),
    ("gets a role", by("operator", lambda tx: users.set_role(tx, "pat", "analyst", "figures")), ["user.role_changed"]),
    ("an address", by("operator", lambda tx: users.set_email(tx, "pat", "pat@example.com")), ["user.email_changed"]),
    ("a password", by("operator", lambda tx: users.set_password(tx, "pat", "seven purple donkeys")), ["user.password_set"]),
    ("a token", by("operator", lambda tx: users.issue_token(tx, "pat")), ["token.issued"]),
    ("loses it", by("operator", lambda tx: users.revoke_tokens(tx, "pat", None, "lost")), ["token.revoked"]),
    ("is let out", by("operator", lambda tx: users.deactivate(tx, "pat", "left")), ["user.deactivated"]),
    ("is let in", by("operator", lambda tx: users.activate(tx, "pat", "back")), ["user.activated"]),
    ("a login", sign_in("correct-horse-battery-collector"), ["login.accepted"]),
    ("a wrong password", refused(sign_in("wrong horse battery")), ["login.refused"]),
    ("a fifth one", lambda b, c: [refused(sign_in("wrong horse battery"))(b, c) for _ in range(4)],
     ["login.refused", "login.refused", "login.refused", "login.locked", "login.refused"]),
    ("the lock is opened", by("operator", lambda tx: users.unlock(tx, "maria")), ["user.unlocked"]),
    ("a fourth is logged", by("maria", lambda tx: commitments.log(tx, plan("N-4", 50_000))), ["commitment.logged"]),
    ("a code is issued", by("sam", lambda tx: ISSUED.append(approvals.issue_code(tx, [("N-4", 1)]))), ["code.issued"]),
    ("a wrong code", refused(with_code("AAAA-AAAA-AAAA-AAAA", "reject")), ["code.refused"]),
    ("a decision with the code", with_code("", "reject"), ["approval.rejected"]),
    ("a payment is logged by hand",
     typed("log", "payment", "--customer", "C-1", "--amount", "10", "--received", "2026-05-20", "--yes", who="maria"),
     ["token.issued", "login.accepted", "payment.logged"]),
    ("a table is exported", typed("export", "--table", "installments", "--out", str(OUT)), ["export.written"]),
    ("a person exports one", typed("export", "--table", "payments", "--out", str(OUT), who="maria"),
     ["token.issued", "login.accepted", "export.written"]),
    ("a report is exported", typed("export", "--report", "plan_status", "--out", str(OUT)), ["export.written"]),
    ("the trail is exported", typed("audit", "show", "--csv", str(OUT)), ["export.written"]),
    ("the trail is printed for a program", typed("audit", "show", "--json"), ["export.written"]),
    ("the trail is looked at", typed("audit", "show"), []),
]  # fmt: skip


@pytest.fixture
def book(settings: Settings, ledger: Ledger) -> Iterator[Book]:
    made = new_book(settings, ledger)
    yield made
    shutil.rmtree(settings.published(made.org), ignore_errors=True)


def test_every_act_leaves_its_event(cli: Cli, book: Book, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    position, wrong = as_(book, "operator", audit.head)[0], {}
    for name, act, actions in ACTS:
        act(book, cli)
        found = [e for e in as_(book, "operator", lambda tx: audit.show(tx, limit=None)) if e.seq > position]
        position += len(found)
        if [e.action for e in found] != actions:
            wrong[name] = [e.action for e in found]
    assert wrong == {}
