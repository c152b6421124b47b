"""The audit chain against people who may do anything to the database: whatever they rewrite shows against the heads published before."""

import datetime as dt

import psycopg
import pytest

from ptp_pipeline.ledger import audit, builds, overrides
from ptp_pipeline.ledger.connection import Actor

PIPELINE = Actor("pipeline", "pipeline", "pipeline", "dagster")
COPIES = (
    "insert into ptp.audit_event select org_id, 1000 + n, at, actor, role, auth, origin, place, run, action, object_type, object_id,"
    " reason, before, after, changes_inputs, prev_hash, hash from ptp.audit_event, generate_series(1, {}) as n"
    " where seq = {} and org_id = {}"
)
# The whole chain from one event on, with good hashes: what somebody does who knows how it is made.
MADE_ANEW = """
do $$ declare e ptp.audit_event; last text; begin
  for e in select * from ptp.audit_event where org_id = '{org}' order by seq loop
    e.prev_hash := coalesce(last, repeat('0', 64));
    e.hash := ptp.audit_hash(e);
    update ptp.audit_event a set prev_hash = e.prev_hash, hash = e.hash where a.org_id = e.org_id and a.seq = e.seq;
    last := e.hash;
  end loop; end $$
"""


def verify(desk, *published):
    with desk.as_("sue") as tx:
        return audit.verify(tx, published)


def publish(desk, build_id):
    """As a run does: the head is read before, and recorded with the build."""
    with desk.as_(PIPELINE) as tx:
        seq, digest = audit.head(tx)
        evidence = {"audit_seq": seq, "audit_hash": digest, "database_sha256": "d" * 64}
        builds.record(tx, build_id, dt.date(2026, 3, 7), "run", "digest", {}, 1, evidence)
    return (build_id, seq, digest)


def tamper(desk, *statements):
    with psycopg.connect(**desk.ledger._admin) as con:
        con.execute("set session_replication_role = replica")
        for statement in statements:
            con.execute(statement.format(org=desk.org).encode())


@pytest.fixture
def trail(desk):
    """Two builds with acts before, between and after them; their heads."""
    desk.log("PLAN-1")
    first = publish(desk, "b1")
    desk.log("PLAN-2")
    second = publish(desk, "b2")
    desk.log("PLAN-3")
    found = verify(desk, first, second)
    assert (found.is_good, found.heads, found.fitting_seq) == (True, 2, second[1])
    return first, second


@pytest.mark.parametrize(
    "statement",
    ["update ptp.audit_event set reason = 'nicer' where org_id = '{org}' and seq = 13",
     "update ptp.audit_event set run = 'other' where org_id = '{org}' and seq = 13",
     "update ptp.audit_event set place = 'elsewhere' where org_id = '{org}' and seq = 13",
     "update ptp.audit_event set after = after || '{{\"status\": \"active\"}}' where org_id = '{org}' and seq = 13",
     "delete from ptp.audit_event where org_id = '{org}' and seq = 12",
     COPIES.format(1, 13, "'{org}'")],
)  # fmt: skip
def test_a_changed_removed_or_added_event_is_named(desk, trail, statement):
    tamper(desk, statement)
    found = verify(desk)
    assert not found.is_good
    assert found.first_bad_seq in (13, 1001)


def test_a_chain_made_anew_holds_in_itself_and_does_not_fit_what_was_published(desk, trail):
    _, (build_id, seq, _) = trail
    tamper(desk, f"update ptp.audit_event set reason = 'nicer' where org_id = '{{org}}' and seq = {seq}", MADE_ANEW)
    found = verify(desk)
    assert (found.first_bad_seq, found.misfit_build, found.misfit_seq, found.fitting_seq) == (None, build_id, seq, trail[0][1])


def test_also_the_heads_in_the_ledger_made_anew_do_not_fit_the_published_files(desk, trail):
    _, (build_id, seq, _) = trail
    tamper(
        desk,
        f"update ptp.audit_event set reason = 'nicer' where org_id = '{{org}}' and seq = {seq}",
        MADE_ANEW,
        "update ptp.build b set evidence = b.evidence || jsonb_build_object('audit_hash', (select hash from ptp.audit_event e"
        " where e.org_id = b.org_id and e.seq = b.audit_seq)) where org_id = '{org}'",
    )
    assert verify(desk).is_good
    found = verify(desk, *trail)
    assert (found.misfit_build, found.misfit_seq) == (build_id, seq)


def test_a_tail_that_was_cut_off_is_missed(desk, trail):
    _, (build_id, seq, _) = trail
    tamper(desk, f"delete from ptp.audit_event where org_id = '{{org}}' and seq >= {seq}")
    found = verify(desk)
    assert (found.first_bad_seq, found.misfit_build, found.misfit_seq) == (None, build_id, seq)
    assert found.misfit_seq > found.events


def test_a_build_is_audited_by_the_database_with_its_digests(desk, trail):
    with desk.as_("cara") as tx:
        event = audit.show(tx, action="build.recorded")[-1]
    assert (event.actor, event.object_id, event.after["audit_seq"]) == ("pipeline", "b2", trail[1][1])
    assert event.after["database_sha256"] == "d" * 64


def test_events_say_from_where_and_in_which_request_they_came(desk):
    request = desk.ledger.during("cli-123")
    with request.transaction(desk.org, desk.people["cara"]) as tx:
        overrides.set_target(tx, "PAY-1", None, "not ours")
        (event,) = audit.show(tx, action="override.set")
    assert event.run == "cli-123"
    assert "@" in event.place


def test_events_are_found_by_object_person_action_and_time(desk):
    desk.log("PLAN-1")
    with desk.as_("sue") as tx:
        overrides.set_target(tx, "PAY-1", "PLAN-1", "told so")
        now = dt.datetime.now(dt.UTC)
        assert [e.action for e in audit.show(tx, object_id="PLAN-1")] == ["commitment.logged"]
        assert {e.action for e in audit.show(tx, actor="sue")} == {"login.accepted", "override.set"}
        assert [e.action for e in audit.show(tx, action="override.")] == ["override.set"]
        assert audit.show(tx, until=now - dt.timedelta(days=1)) == audit.show(tx, since=now + dt.timedelta(days=1)) == []
        assert len(audit.show(tx, limit=None)) > len(audit.show(tx, limit=2)) == 2


def test_a_hundred_thousand_events_are_verified_in_seconds(desk):
    """CPU of the server is what counts here; the limit on wall time only catches work by row."""
    import time

    with psycopg.connect(**desk.ledger._admin) as con:
        con.execute("set session_replication_role = replica")
        con.execute(COPIES.format(100_000, 1, "%s").encode(), [desk.org])
    began = time.monotonic()
    found = verify(desk)
    assert time.monotonic() - began < 30
    assert (found.first_bad_seq, found.events > 100_000) == (1001, True)
