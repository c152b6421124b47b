"""Where policy says `collectors_see = own`, the database shows a collector their own commitments and what belongs to them."""

import datetime as dt

import psycopg
import pytest

from ptp_pipeline.errors import Refused
from ptp_pipeline.ledger import audit, commitments, overrides, policies, transitions
from ptp_pipeline.ledger.connection import Actor

PIPELINE = Actor("pipeline", "pipeline", "pipeline", "dagster")
DAY = dt.date(2026, 3, 5)
MINE, BY_MAIL, THEIRS = "PLAN-1", "PLAN-2", "PLAN-3"
# By whom it is, not by a column commitment_id: other commitments' ids stand elsewhere in the row, or none does.
IN_OTHER_WORDS = {"commitment", "payment_override", "audit_event"}

SPLIT = (
    "insert into ptp.payment_override (org_id, payment_id, kind, part_commitment_ids, part_amounts_minor, reason)"
    " values (%s, 'PAY-1', 'split', '{PLAN-1,PLAN-3}', '{1,1}', 'r')"
)


@pytest.fixture
def book(desk):
    """cara owns one plan by name and one by mail; carl owns a third."""
    desk.hire("carl", "collector")
    with desk.operator() as tx:
        policies.change(tx, {"collectors_see": "own"}, "regions", dt.date(2026, 1, 1))
    desk.log(MINE, owner="Cara")
    desk.log(BY_MAIL, who="sue", owner="CARA@example.com")
    desk.log(THEIRS, who="carl")
    desk.decide("sam", (MINE, 1), (THEIRS, 1))
    with desk.as_("sam") as tx:
        for commitment in (MINE, THEIRS):
            commitments.pause(tx, commitment, DAY, "hospital")
            overrides.set_target(tx, f"PAY-{commitment}", commitment, "told so")
        overrides.split(tx, "PAY-9", [overrides.Part(MINE, 1), overrides.Part(THEIRS, 2)], "both")
    with desk.as_(PIPELINE) as tx:
        rows = [
            {"commitment_id": name, "version": 1, "sequence": 1, "to_state": "broken", "effective_on": DAY, "cause": "x"}
            for name in (MINE, THEIRS)
        ]
        transitions.append(tx, rows, "run")
    return desk


def seen(desk, who, table="commitment"):
    with desk.as_(who) as tx:
        return {row["commitment_id"] for row in tx.all(f"select commitment_id from ptp.{table}")}


def test_a_collector_sees_the_own_book_and_everybody_else_the_whole(book):
    everything = {MINE, BY_MAIL, THEIRS}
    assert seen(book, "cara") == {MINE, BY_MAIL}
    assert seen(book, "carl") == {THEIRS}
    for who in ("sue", "con", "ann", PIPELINE):
        assert seen(book, who) == everything
    with book.operator() as tx:
        policies.change(tx, {"collectors_see": "all"}, "one team", dt.date(2026, 1, 1))
    assert seen(book, "cara") == everything


def test_so_it_is_with_everything_that_belongs_to_a_commitment(book):
    for table in ("commitment_version", "approval", "commitment_event", "promise_claim", "transition", "commitment_version_state"):
        assert THEIRS in seen(book, "sue", table), table
        assert THEIRS not in seen(book, "cara", table), table
    with book.as_("cara") as tx:
        assert [i.commitment_id for i in commitments.pending(tx)] == [BY_MAIL]
        assert {d.payment_id for d in overrides.in_effect(tx)} == {f"PAY-{MINE}", "PAY-9"}
        assert {e.object_id for e in audit.show(tx, action="commitment.")} == {MINE, BY_MAIL}
        with pytest.raises(Refused, match="sees the own book only"):
            audit.verify(tx)


def test_every_table_of_commitments_is_kept_so(book):
    with psycopg.connect(**book.ledger._admin) as con:
        with_commitments = con.execute(
            "select c.relname from pg_class c join pg_attribute a on a.attrelid = c.oid and a.attname = 'commitment_id'"
            " where c.relnamespace = 'ptp'::regnamespace and c.relkind in ('r', 'p')"
        ).fetchall()
        kept = con.execute(
            "select c.relname, pg_get_expr(p.polqual, p.polrelid) from pg_policy p join pg_class c on c.oid = p.polrelid"
            " where c.relnamespace = 'ptp'::regnamespace and p.polname = 'own_book' and not p.polpermissive"
            " and p.polroles = array['ptp_app'::regrole::oid] and p.polcmd = '*'"
        ).fetchall()
    assert {name for (name,) in with_commitments} | IN_OTHER_WORDS == {name for name, _ in kept}
    for name, expression in kept:
        assert name in IN_OTHER_WORDS or f"(c.commitment_id = {name}.commitment_id)" in expression


def test_others_commitments_are_changed_neither_through_services_nor_through_sql(book, new):
    acts = (
        lambda tx: commitments.renegotiate(tx, THEIRS, new(THEIRS, agreed_on="2026-03-04", installment_count=5).terms, "r"),
        lambda tx: commitments.cancel(tx, THEIRS, DAY, "r"),
        lambda tx: commitments.resume(tx, THEIRS, DAY, "r"),
        lambda tx: overrides.set_target(tx, "PAY-1", THEIRS, "r"),
        lambda tx: overrides.split(tx, "PAY-1", [overrides.Part(MINE, 1), overrides.Part(THEIRS, 1)], "r"),
    )
    for act in acts:
        with pytest.raises(Refused, match=f"no commitment {THEIRS}"), book.as_("cara") as tx:
            act(tx)
    before = audit_length(book)
    for statement in (
        "insert into ptp.commitment_event (org_id, commitment_id, kind, effective_on, reason) values (%s, 'PLAN-3', 'resume', now(), 'r')",
        "insert into ptp.payment_override (org_id, payment_id, commitment_id, reason) values (%s, 'PAY-1', 'PLAN-3', 'r')",
        SPLIT,
    ):
        with book.raw(signed_in="cara") as con, pytest.raises(psycopg.Error, match="row-level security"):
            con.execute(statement.encode(), [book.org])
    assert audit_length(book) == before
    with book.as_("cara") as tx:
        overrides.set_target(tx, "PAY-1", MINE, "mine")


def audit_length(desk):
    with desk.as_("sue") as tx:
        return audit.head(tx)


def test_a_collector_logs_in_their_own_name_and_is_told_when_an_id_is_taken(book):
    with pytest.raises(Refused, match="cara sees the own book only and logs no commitment of carl"):
        book.log("PLAN-4", owner="carl")
    with pytest.raises(Refused, match="PLAN-3 is known already"):
        book.log(THEIRS)
    book.log("PLAN-4")
    assert "PLAN-4" in seen(book, "cara")
