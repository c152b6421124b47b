"""A made-up book as a real org: its plans approved in a ledger, its files in an inbox. Setting up is not measured.

Logging and approving a hundred thousand plans through the services would take longer than everything that is measured, so they are
loaded by COPY as the owner of the database, with digests and claims made by the ledger's own functions.
"""

import shutil
from pathlib import Path

from bench.books import Book
from ptp_pipeline.ledger import embedded, orgs
from ptp_pipeline.ledger.connection import Actor, Ledger
from ptp_pipeline.settings import Settings

ORG = "bench"
OPERATOR = Actor(name="operator", role="operator", auth="operator", origin="bench")

_STAGING = """
create temporary table book (
  commitment_id text, customer_id text, invoice_id text, agreed_on date, total_minor bigint, frequency text, installment_count int,
  first_due_date date, overpayment_rule text, custom_schedule jsonb
)
"""
# Triggers are off while these run: they ask for a person who signed in.
_LOAD = (
    """
    insert into ptp.commitment (org_id, commitment_id, kind, customer_id, currency, source, owner, logged_by, logged_at)
    select %(org)s, commitment_id, 'plan', customer_id, 'USD', 'desk', 'collector' || right(commitment_id, 5)::int %% 20, 'bench', now()
    from book
    """,
    """
    insert into ptp.commitment_version (org_id, commitment_id, version, kind, customer_id, currency, agreed_on, amount_minor, total_minor,
      discount_minor, down_payment_minor, frequency, installment_count, first_due_date, overpayment_rule, invoice_ids, custom_schedule,
      reason, terms_digest, logged_by, logged_at)
    select %(org)s, commitment_id, 1, 'plan', customer_id, 'USD', agreed_on, total_minor, total_minor, 0, 0, frequency, installment_count,
      first_due_date, overpayment_rule, array[invoice_id], custom_schedule, '', '', 'bench', now() from book
    """,
    "update ptp.commitment_version as v set terms_digest = ptp.terms_digest(v) where org_id = %(org)s",
    """
    insert into ptp.promise_claim (org_id, identity, commitment_id)
    select org_id, ptp.promise_identity(customer_id, currency, invoice_ids, amount_minor, first_due_date), commitment_id
    from ptp.commitment_version where org_id = %(org)s
    """,
    """
    insert into ptp.approval (org_id, commitment_id, version, decision, reason, terms_digest, decided_by, decided_role, auth, channel,
      policy_version, decided_at)
    select org_id, commitment_id, version, 'approve', 'Loaded by the benchmark.', terms_digest, 'policy', 'policy', 'policy', 'bench',
      1, now()
    from ptp.commitment_version where org_id = %(org)s
    """,
)


def home_of(book: Book) -> Path:
    return book.folder / "home"


def set_up(book: Book, settings: Settings) -> None:
    """Make the org with all its plans, and drop the book's files."""
    import psycopg

    ledger = Ledger(settings)
    orgs.create_org(ledger, ORG, OPERATOR)
    with psycopg.connect(**embedded.start(settings)) as con:
        con.execute(_STAGING)
        with con.cursor().copy("copy book from stdin (format csv, header)") as copy, book.commitments.open("rb") as file:
            while chunk := file.read(1 << 20):
                copy.write(chunk)
        con.execute("set session_replication_role = replica")
        for statement in _LOAD:
            con.execute(statement.encode(), {"org": ORG})
        con.execute("set session_replication_role = origin")
        con.execute("analyze")
    drop(book.invoices, settings, "invoices")
    drop(book.payments, settings, "payments")


def drop(file: Path, settings: Settings, feed: str) -> None:
    """Put a copy of a file into the inbox."""
    folder = settings.inbox(ORG, feed)
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copy(file, folder / file.name)
