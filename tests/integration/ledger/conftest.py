"""A small team in a fresh org, and raw connections as the app's own database role, for going round the services."""

import datetime as dt
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest
from psycopg.types.json import Jsonb

from ptp_pipeline import previews
from ptp_pipeline.domain.terms import NewCommitment, make_terms
from ptp_pipeline.ledger import approvals, commitments, files, policies, users
from ptp_pipeline.ledger.connection import Actor, Ledger, Transaction

OPERATOR = Actor(name="operator", role="operator", auth="operator", origin="cli")
NOBODY = Actor(name="unknown", role="none", auth="token", origin="cli")
PIPELINE = Actor(name="pipeline", role="pipeline", auth="pipeline", origin="dagster")
AGREED, DUE = dt.date(2026, 3, 2), dt.date(2026, 3, 6)
PASSWORD = "correct horse battery"


@dataclass
class Desk:
    """One org with people who signed in, and one-line acts."""

    ledger: Ledger
    org: str
    people: dict[str, Actor] = field(default_factory=dict)

    def hire(self, name: str, role: str, email: str = "") -> Actor:
        self.hire_team({name: role}, email)
        return self.people[name]

    def hire_team(self, roles: dict[str, str], email: str = "") -> None:
        """Add people and sign them in: all in two transactions, because every transaction is a connection and most tests want a team."""
        with self.operator() as tx:
            for name, role in roles.items():
                tx.execute("select ptp.add_user(null, %s, %s, %s, '', '')", [name, role, email or f"{name}@example.com"])
            tokens = [users.issue_token(tx, name) for name in roles]
        with self.ledger.door(self.org, NOBODY) as tx:
            for token in tokens:
                (row,) = tx.all("select * from ptp.sign_in_with_token(%s)", [token])
                self.people[row["user_name"]] = users.SignedIn(row["user_name"], row["role"], "token", "cli", row["proof"])

    @contextmanager
    def as_(self, who: str | Actor) -> Iterator[Transaction]:
        actor = who if isinstance(who, Actor) else self.people[who]
        with self.ledger.transaction(self.org, actor) as tx:
            yield tx

    def operator(self) -> Any:
        return self.ledger.operator(OPERATOR, self.org)

    def log(self, commitment_id: str, who: str = "cara", **terms: Any) -> commitments.Logged:
        with self.as_(who) as tx:
            return commitments.log(tx, new(commitment_id, **terms))

    def schedules(self, *items: approvals.Item) -> approvals.Schedules:
        """What an approver of these items is shown; nothing for those that do not wait."""
        with self.as_(PIPELINE) as tx:
            waiting = [i for i in commitments.pending(tx) if (i.commitment_id, i.version) in items]
            return previews.to_approve(self.ledger.settings, waiting, policies.current(tx))

    def decide(self, who: str | Actor, *items: approvals.Item, decision: str = "approve", reason: str = "fine") -> list[approvals.Decision]:
        shown = self.schedules(*items)
        with self.as_(who) as tx:
            return approvals.decide(tx, list(items), decision, reason, "cli", shown)

    def receive(self, *shas: str) -> None:
        """Accept commitments files of these digests, as an intake would, so that their rows may be taken up."""
        with self.as_(PIPELINE) as tx:
            for sha in shas or ("f" * 64,):
                files.register(tx, files.FileFacts("commitments", f"{sha[:4]}.csv", 10, sha, f"rows-{sha[:4]}", 1, "accepted"))

    def status(self, commitment_id: str, version: int = 1) -> str:
        with self.as_(PIPELINE) as tx:
            row = tx.one(
                "select status from ptp.commitment_version_state where commitment_id = %s and version = %s", [commitment_id, version]
            )
        return row["status"] if row else "unknown"

    @contextmanager
    def raw(
        self,
        *,
        org: str | None = None,
        actor: str = "cara",
        role: str = "supervisor",
        auth: str = "token",
        signed_in: str = "",
        login: str = "ptp_app",
    ) -> Iterator[Any]:
        """A client that knows a login's password, with its first transaction begun and saying whatever it likes.

        `signed_in` has shown a proof in it. With no `org` it has entered none.
        """
        import psycopg

        with psycopg.connect(**self.ledger.parameters(login)) as con:
            if (entered := self.org if org is None else org) != "":
                con.execute("select ptp.enter(%s, %s, %s, %s, 'psql', '', '', null)", [entered, actor, role, auth])
            if signed_in:
                con.execute("select ptp.acting(%s)", [self.people[signed_in].proof])
            yield con

    @staticmethod
    def copy_by_sql(con: Any, new_id: str, **changed: Any) -> None:
        """Write the org's one commitment once more under another id, its terms changed, as somebody with a password would."""
        con.execute(
            "insert into ptp.commitment (org_id, commitment_id, kind, customer_id, currency, source)"
            " select org_id, %s, kind, customer_id, currency, 'cli' from ptp.commitment",
            [new_id],
        )
        con.execute(
            "insert into ptp.commitment_version select (jsonb_populate_record(v, %s)).* from ptp.commitment_version v",
            [Jsonb({"commitment_id": new_id, **changed})],
        )


def new(commitment_id: str | None, customer_id: str = "C-1", **terms: Any) -> NewCommitment:
    """A plan of three months over 900.00 USD, unless told otherwise."""
    facts = {key: terms.pop(key) for key in ("owner", "file_sha256", "line_number", "note") if key in terms}
    kind = terms.get("kind", "plan")
    plan = {"frequency": "monthly", "installment_count": 3} if kind == "plan" else {}
    values = {"kind": kind, "currency": "USD", "agreed_on": AGREED, "amount_minor": 90_000, "first_due_date": DUE, **plan, **terms}
    values.setdefault("invoice_ids", [f"INV-{commitment_id}"])
    return NewCommitment(commitment_id=commitment_id, customer_id=customer_id, terms=make_terms(**values), **facts)


@pytest.fixture
def desk(ledger: Ledger, org: str) -> Desk:
    """A fresh org with a collector (cara), two supervisors (sue, sam), a controller (con) and an analyst (ann)."""
    team = Desk(ledger, org)
    team.hire_team({"cara": "collector", "sue": "supervisor", "sam": "supervisor", "con": "controller", "ann": "analyst"})
    return team


@pytest.fixture(name="new")
def new_commitment() -> Any:
    return new
