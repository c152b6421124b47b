"""The approval gate: four eyes, roles, caps, exact terms; through the services and round them with the app role's own SQL."""

import datetime as dt
import json

import psycopg
import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from psycopg import sql

from ptp_pipeline.domain import terms as rules
from ptp_pipeline.domain.policy import Policy
from ptp_pipeline.errors import PtpError, Refused, UsageError
from ptp_pipeline.ledger import approvals, audit, commitments, policies, users
from ptp_pipeline.ledger.connection import Actor


def refused_text(error) -> str:
    return str(error.value)


def approve(desk, who, *items, decision="approve"):
    return desk.decide(who, *items, decision=decision, reason="talked it through")


def test_a_plan_waits_for_a_supervisor_and_becomes_active_by_an_approval(desk):
    logged = desk.log("PLAN-1")
    assert (logged.status, logged.rule_message) == ("pending_approval", "Plan terms: Supervisor approval required")
    (decision,) = approve(desk, "sue", ("PLAN-1", 1))
    assert (decision.decided_by, decision.decided_role, desk.status("PLAN-1")) == ("sue", "supervisor", "active")


def test_a_short_promise_is_approved_by_policy_with_a_row_of_its_own(desk):
    assert desk.log("PR-1", kind="promise").status == "active"
    with desk.as_("cara") as tx:
        assert tx.one("select decided_by, decision from ptp.approval where commitment_id = 'PR-1'") == {
            "decided_by": "policy",
            "decision": "approve",
        }


def test_a_promise_far_out_says_why_it_waits(desk):
    logged = desk.log("PR-1", kind="promise", first_due_date="2026-03-20")
    assert logged.rule_message == "Promise is more than 7 days out: Supervisor approval required"


def test_whoever_logged_the_terms_does_not_approve_them(desk):
    desk.log("PLAN-1", who="sue")
    with pytest.raises(Refused, match="sue logged version 1 of PLAN-1"):
        approve(desk, "sue", ("PLAN-1", 1))
    approve(desk, "sam", ("PLAN-1", 1))


def test_the_owner_of_a_feed_row_does_not_approve_it_under_name_or_mail(desk, new):
    desk.receive()
    with desk.as_(Actor("pipeline", "pipeline", "pipeline", "dagster")) as tx:
        commitments.log_many(
            tx,
            [
                new("PLAN-1", owner="Sue", file_sha256="f" * 64, line_number=2),
                new("PLAN-2", owner="SUE@example.com", file_sha256="f" * 64, line_number=3),
            ],
        )
    for plan in ("PLAN-1", "PLAN-2"):
        with pytest.raises(Refused, match="sue owns"):
            approve(desk, "sue", (plan, 1))
    assert len(approve(desk, "sam", ("PLAN-1", 1), ("PLAN-2", 1))) == 2


@pytest.mark.parametrize("who", ["cara", "ann"])
def test_collectors_and_analysts_do_not_approve(desk, who):
    desk.log("PLAN-1", who="sam")
    with pytest.raises(Refused, match="only a supervisor, controller or legal"):
        approve(desk, who, ("PLAN-1", 1))


def test_a_made_up_actor_is_not_a_supervisor(desk):
    desk.log("PLAN-1")
    with pytest.raises(Refused, match="signed in"):
        approve(desk, Actor("sue", "supervisor", "token", "cli"), ("PLAN-1", 1))


def test_beyond_a_supervisors_cap_the_controller_decides(desk):
    assert desk.log("PLAN-1", amount_minor=5_000_001).rule_message == "Plan exceeds 50,000 USD: Controller approval required"
    with pytest.raises(Refused, match=r"Plan exceeds 50,000 USD: Controller approval required"):
        approve(desk, "sue", ("PLAN-1", 1))
    approve(desk, "con", ("PLAN-1", 1))
    assert desk.status("PLAN-1") == "active"


def test_a_version_is_decided_once(desk):
    desk.log("PLAN-1")
    approve(desk, "sue", ("PLAN-1", 1), decision="reject")
    with pytest.raises(Refused, match="already decided: reject by sue"):
        approve(desk, "sam", ("PLAN-1", 1))
    assert desk.status("PLAN-1") == "rejected"


def test_what_is_sent_back_needs_a_new_version(desk, new):
    desk.log("PLAN-1")
    approve(desk, "sue", ("PLAN-1", 1), decision="send_back")
    assert desk.status("PLAN-1") == "draft"
    with desk.as_("cara") as tx:
        again = commitments.renegotiate(tx, "PLAN-1", new("PLAN-1", installment_count=4).terms, "asked for four months")
    assert (again.version, again.status, again.rule_message) == (2, "pending_approval", "New terms: Supervisor approval required")
    approve(desk, "sue", ("PLAN-1", 2))
    assert desk.status("PLAN-1", 2) == "active"


def test_a_bulk_decision_is_all_or_nothing(desk):
    desk.log("PLAN-1")
    desk.log("PLAN-2", who="sue")
    with pytest.raises(Refused, match="PLAN-2"):
        approve(desk, "sue", ("PLAN-1", 1), ("PLAN-2", 1))
    assert desk.status("PLAN-1") == "pending_approval"


def test_a_decision_without_reason_is_not_taken(desk):
    desk.log("PLAN-1")
    with desk.as_("sue") as tx, pytest.raises(UsageError, match="needs a reason"):
        approvals.decide(tx, [("PLAN-1", 1)], "approve", "  ", "cli")


def test_a_deactivated_supervisor_decides_nothing_from_that_moment(desk):
    desk.log("PLAN-1")
    with desk.operator() as tx:
        users.deactivate(tx, "sue", "left")
    with pytest.raises(Refused, match="signed in"):
        approve(desk, "sue", ("PLAN-1", 1))


def test_renegotiated_terms_wait_while_the_old_version_stays_in_force(desk, new):
    desk.log("PLAN-1")
    approve(desk, "sue", ("PLAN-1", 1))
    later = new("PLAN-1", agreed_on="2026-04-01", first_due_date="2026-04-05").terms
    with desk.as_("cara") as tx:
        commitments.renegotiate(tx, "PLAN-1", later, "lost a customer")
    assert (desk.status("PLAN-1", 1), desk.status("PLAN-1", 2)) == ("active", "pending_approval")
    approve(desk, "sue", ("PLAN-1", 2))
    assert (desk.status("PLAN-1", 1), desk.status("PLAN-1", 2)) == ("superseded", "active")


def test_new_terms_are_agreed_after_the_approved_ones(desk, new):
    desk.log("PLAN-1")
    approve(desk, "sue", ("PLAN-1", 1))
    with pytest.raises(Refused, match="must be agreed after 2026-03-02"), desk.as_("cara") as tx:
        commitments.renegotiate(tx, "PLAN-1", new("PLAN-1", installment_count=9).terms, "same day")


def test_only_the_latest_version_is_decided_on(desk, new):
    desk.log("PLAN-1")
    with desk.as_("cara") as tx:
        commitments.renegotiate(tx, "PLAN-1", new("PLAN-1", installment_count=9).terms, "better offer")
    with pytest.raises(Refused, match="not its latest"):
        approve(desk, "sue", ("PLAN-1", 1))


def test_a_cancelled_commitment_takes_no_decision_and_no_new_terms(desk, new):
    desk.log("PLAN-1")
    with desk.as_("cara") as tx:
        commitments.cancel(tx, "PLAN-1", new("x").terms.agreed_on, "customer called it off")
    for act in (
        lambda: approve(desk, "sue", ("PLAN-1", 1)),
        lambda: desk_renegotiates(desk, new),
        lambda: desk_cancels(desk, new),
    ):
        with pytest.raises(Refused, match="withdrawn on 2026-03-02: customer called it off"):
            act()


def desk_renegotiates(desk, new):
    with desk.as_("cara") as tx:
        commitments.renegotiate(tx, "PLAN-1", new("PLAN-1", installment_count=9).terms, "again")


def desk_cancels(desk, new):
    with desk.as_("cara") as tx:
        commitments.cancel(tx, "PLAN-1", new("x").terms.agreed_on, "twice")


# round the services ------------------------------------------------------------------------------------------------

_APPROVAL = (
    "insert into ptp.approval (org_id, commitment_id, version, decision, reason, terms_digest, decided_by, decided_role, auth, channel,"
    " policy_version, decided_at) select org_id, commitment_id, version, 'approve', 'sure', terms_digest, 'sue', 'supervisor',"
    " 'token', 'cli', 1, now()"
    " from ptp.commitment_version where commitment_id = 'PLAN-1'"
)
_MERGE = (
    "merge into ptp.approval a using ptp.commitment_version v on a.commitment_id = v.commitment_id when not matched then"
    " insert (org_id, commitment_id, version) values (v.org_id, v.commitment_id, v.version)"
)
_CLOSE = (
    "insert into ptp.commitment_event (org_id, commitment_id, kind, effective_on, reason)"
    " values (ptp.current_org(), 'PLAN-1', 'close', '2026-03-02', 'x')"
)
_ITEMS = json.dumps([{"commitment_id": "PLAN-1", "version": 1}])


@pytest.mark.parametrize(
    "statement",
    [
        _APPROVAL,
        _APPROVAL.replace("'sue', 'supervisor'", "'policy', 'policy'"),
        "update ptp.commitment_version set kind = 'promise'",
        "update ptp.commitment_version set logged_by = 'someone'",
        "delete from ptp.commitment_version",
        "update ptp.app_user set role = 'supervisor' where user_name = 'cara'",
        "insert into ptp.app_user select org_id, 'eve', 'supervisor', '', true, '', '', '', now() from ptp.org",
        "insert into ptp.sign_in select org_id, encode(sha256('x'), 'hex'), 'sue', 'token', '', now(), now() from ptp.org",
        "select * from ptp.sign_in",
        "select secret_sha256 from ptp.user_token",
        "select password_verifier from ptp.app_user",
        "insert into ptp.user_token select org_id, 'x', 'sue', encode(sha256('x'), 'hex'), now(), '', now() from ptp.org",
        "insert into ptp.approval_code select * from ptp.approval_code",
        "insert into ptp.policy_version select org_id, 2, '0001-01-01', '{\"approval\": {\"kinds\": []}}', '', '', now() from ptp.org",
        "select ptp.add_user(null, 'eve', 'supervisor', '', '', '')",
        "select ptp.add_token(null, 'sue', 'x', encode(sha256('x'), 'hex'), now() + interval '1 hour')",
        "select ptp.set_password(null, 'sue', '', encode(sha256('x'), 'hex'))",
        "select ptp.change_policy(null, '{}', 'lax', '0001-01-01')",
        "select ptp.open_sign_in('sue', 'token', now() + interval '1 hour', null)",
        "select ptp.record('approval.approved', 'commitment', 'PLAN-1', '', null, null)",
        f"select ptp.decide(null, '{_ITEMS}', 'approve', 'sure', 'cli')",
        f"select ptp.decide('guess', '{_ITEMS}', 'approve', 'sure', 'cli')",
        "set role ptp_owner",
        "set session authorization ptp_owner",
        "set session_replication_role = replica",
        "alter table ptp.approval disable trigger gate",
        "alter table ptp.commitment_version disable row level security",
        "drop trigger gate on ptp.approval",
        "create or replace function ptp.check_approval() returns trigger language plpgsql as 'begin return new; end'",
        f"grant insert on ptp.approval to ptp_app; {_APPROVAL}",
        "delete from ptp.promise_claim",
        "update ptp.approval set decision = 'approve'",
        "delete from ptp.approval",
        "truncate ptp.approval",
        "truncate ptp.commitment_version, ptp.approval, ptp.approval_code cascade",
        _MERGE,
        "copy ptp.approval from stdin",
        "copy ptp.approval from program 'true'",
        "set role ptp_ops",
        "set role postgres",
        "set session authorization default; set role ptp_owner",
        "alter role ptp_app superuser",
        "grant ptp_owner to ptp_app",
        "alter table ptp.approval owner to ptp_app",
        "alter table ptp.approval drop constraint a_person_approves_a_schedule",
        "alter function ptp.check_approval() owner to ptp_app",
        "alter function ptp.policy_grants set search_path = pg_temp",
        "create function ptp.person() returns setof ptp.visit language sql as 'select * from ptp.visit'",
        "create schema mine",
        "create function public.lower(text) returns text language sql as $$ select 'nobody' $$",
        "create trigger late after insert on ptp.commitment_version for each row execute function ptp.settle_versions()",
        "create rule round as on insert to ptp.commitment_version do instead nothing",
        "create policy open on ptp.approval using (true)",
        "do $$ begin execute 'set local session_replication_role = replica'; end $$",
        "select set_config('session_replication_role', 'replica', true)",
        "update pg_catalog.pg_trigger set tgenabled = 'D'",
        "insert into ptp.visit default values",
        "update ptp.visit set actor = 'sue', role = 'supervisor', is_person = true",
        "select ptp.show_person('sue', 'supervisor', 'token', array['approve'], '')",
        "select ptp.check_approval()",
        "select ptp.settle_versions()",
        "select ptp.renew_claims('PLAN-1')",
        f"select ptp.issue_code('guess', '{_ITEMS}', encode(sha256('x'), 'hex'), now() + interval '1 hour')",
        "update ptp.approval_code set user_name = 'sue'",
        "select ptp.note('approval.approved', 'commitment', array['PLAN-1'], '', null, array[null::jsonb])",
        "select ptp.note('commitment.closed', 'commitment', array['PLAN-1'], '', null, array[null::jsonb])",
        _CLOSE,
        "lock table ptp.approval in access exclusive mode",
        "alter database postgres set session_replication_role = replica",
    ],
)
def test_the_app_roles_own_sql_does_not_get_round_the_gate(desk, statement):
    desk.log("PLAN-1")
    with desk.raw(actor="sue") as con, pytest.raises(psycopg.Error) as error:
        con.execute(sql.SQL(statement))
    assert error.value.sqlstate[:2] in ("42", "PT", "25")
    assert error.value.sqlstate not in ("42601", "42P01", "42883", "42703", "42704")  # it was refused, not mistyped
    assert desk.status("PLAN-1") == "pending_approval"


def test_shadowing_the_ledgers_tables_with_temporary_ones_changes_nothing(desk):
    desk.log("PLAN-1")
    with desk.raw(actor="sue") as con:
        con.execute("set search_path = pg_temp, ptp")
        con.execute(
            "create temp table app_user as select org_id, user_name, 'supervisor' as role, email, true as is_active from ptp.app_user"
        )
        con.execute("create temp table sign_in (org_id text, proof_sha256 text, user_name text, auth text, expires_at timestamptz)")
        with pytest.raises(psycopg.Error, match="signed in"):
            con.execute("select ptp.decide('x', %s, 'approve', 'sure', 'cli')", [_ITEMS])


def test_temporary_functions_and_operators_do_not_get_between_the_gate_and_its_own(desk):
    desk.log("PLAN-1", who="sue")
    shown = {**json.loads(_ITEMS)[0], "schedule": desk.schedules(("PLAN-1", 1))["PLAN-1", 1]}
    with desk.raw(actor="sue") as con:
        con.execute("create function pg_temp.lower(text) returns text language sql as $$ select 'nobody' $$")
        con.execute(
            "create function pg_temp.cap_exceeded(ptp.commitment_version, jsonb, text, numeric, numeric) returns text"
            " language sql as 'select null'"
        )
        con.execute("create temp view commitment_version as select * from ptp.commitment_version where false")
        con.execute("create temp table approval as select * from ptp.approval")
        con.execute("set search_path = pg_temp, ptp, pg_catalog")
        with pytest.raises(psycopg.Error, match="sue logged version 1 of PLAN-1"):
            con.execute("select ptp.decide(%s, %s, 'approve', 'sure', 'cli')", [desk.people["sue"].proof, json.dumps([shown], default=str)])


def test_what_another_transaction_has_not_committed_is_waited_for(desk, new):
    """The gate sees the world under the org's lock: an approval waits for a renegotiation that is under way, and then is for old terms."""
    from concurrent.futures import ThreadPoolExecutor

    desk.log("PLAN-1")
    shown = desk.schedules(("PLAN-1", 1))

    def approve_old():
        with desk.as_("sue") as tx:
            return approvals.decide(tx, [("PLAN-1", 1)], "approve", "fine", "cli", shown)

    with ThreadPoolExecutor(1) as pool:
        with desk.as_("cara") as tx:
            commitments.renegotiate(tx, "PLAN-1", new("PLAN-1", installment_count=9).terms, "better offer")
            deciding = pool.submit(approve_old)
            with pytest.raises(TimeoutError):
                deciding.result(timeout=1)
        with pytest.raises(Refused, match="not its latest"):
            deciding.result(timeout=60)
    assert (desk.status("PLAN-1", 1), desk.status("PLAN-1", 2)) == ("superseded", "pending_approval")


def test_approving_and_renegotiating_at_once_never_leaves_old_terms_approved_beside_newer_waiting_unseen(desk, new):
    from concurrent.futures import ThreadPoolExecutor

    for n in range(4):
        plan = f"PLAN-{n}"
        desk.log(plan)

        def renegotiate(plan=plan):
            try:
                with desk.as_("cara") as tx:
                    commitments.renegotiate(tx, plan, new(plan, agreed_on="2026-03-03", installment_count=9).terms, "better offer")
            except Refused as refusal:
                return refusal.message
            return "renegotiated"

        def approve_it(plan=plan):
            try:
                return desk.decide("sue", (plan, 1))[0].decision
            except Refused as refusal:
                return refusal.message

        with ThreadPoolExecutor(2) as pool:
            first, second = pool.submit(renegotiate), pool.submit(approve_it)
            answers = (first.result(timeout=60), second.result(timeout=60))
        assert answers[0] == "renegotiated"
        late = "not its latest" in answers[1]
        assert (desk.status(plan, 1), desk.status(plan, 2)) == ("superseded" if late else "active", "pending_approval"), answers


def test_a_plan_is_never_approved_by_policy_whatever_the_policy_says(desk):
    lax = '{"approval": {"kinds": [], "caps": {}}, "timezone": "UTC"}'
    with pytest.raises(Refused, match="always needs a supervisor"), desk.operator() as tx:
        tx.execute("select ptp.change_policy(null, %s, 'nothing needs anybody', '0001-01-01')", [lax])
    with psycopg.connect(**desk.ledger._admin) as con:  # nor if such a policy had come in some other way
        con.execute("alter table ptp.policy_version disable trigger check_policy")
        con.execute(
            "insert into ptp.policy_version values (%s, 2, '0001-01-01', %s, 'nothing needs anybody', 'nobody', now())", [desk.org, lax]
        )
        con.execute("alter table ptp.policy_version enable trigger check_policy")
    with desk.raw(signed_in="cara") as con:
        con.execute(
            "insert into ptp.commitment (org_id, commitment_id, kind, customer_id, currency, source)"
            " values (%s, 'PLAN-1', 'plan', 'C', 'USD', 'cli')",
            [desk.org],
        )
        con.execute(
            "insert into ptp.commitment_version (org_id, commitment_id, version, kind, customer_id, currency, agreed_on,"
            " amount_minor, total_minor,"
            " discount_minor, down_payment_minor, frequency, installment_count, first_due_date, overpayment_rule, invoice_ids,"
            " reason, terms_digest,"
            " logged_by, logged_at) values (%s, 'PLAN-1', 1, 'plan', 'C', 'USD', '2026-01-01', 100, 100, 0, 0, 'once', 1,"
            " '2026-01-02', 'next', '{}',"
            " '', 'forged', 'sam', '2001-01-01')",
            [desk.org],
        )
        digest, logged_by, year = con.execute(
            "select terms_digest, logged_by, extract(year from logged_at) from ptp.commitment_version"
        ).fetchone()
    assert desk.status("PLAN-1") == "pending_approval"
    assert (len(digest), logged_by, year > 2001) == (64, "cara", True)
    with psycopg.connect(**desk.ledger._admin) as con:  # a policy nobody can read would be in the way of tests that list orgs
        con.execute("set session_replication_role = replica")
        assert con.execute("delete from ptp.policy_version where org_id = %s and version = 2", [desk.org]).rowcount == 1


def test_a_sign_in_of_another_org_is_worth_nothing_here(desk, ledger):
    from uuid import uuid4

    from ptp_pipeline.ledger import orgs

    other = f"org{uuid4().hex[:10]}"
    orgs.create_org(ledger, other, Actor("operator", "operator", "operator", "cli"))
    neighbour = type(desk)(ledger, other)
    stranger = neighbour.hire("sue", "supervisor")
    desk.log("PLAN-1")
    with pytest.raises(Refused, match="signed in"):
        approve(desk, stranger, ("PLAN-1", 1))


def test_two_supervisors_deciding_at_once_leave_one_decision(desk):
    from concurrent.futures import ThreadPoolExecutor

    desk.log("PLAN-1")

    def decide(who_and_what):
        who, what = who_and_what
        try:
            approve(desk, who, ("PLAN-1", 1), decision=what)
        except Refused as refusal:
            return str(refusal)
        return "done"

    with ThreadPoolExecutor(2) as pool:
        answers = sorted(pool.map(decide, [("sue", "approve"), ("sam", "reject")]))
    assert answers[1] == "done"
    assert "already decided" in answers[0]


def test_every_decision_leaves_one_audit_event_naming_the_terms_decided_on(desk):
    desk.log("PLAN-1")
    desk.log("PLAN-2")
    decisions = approve(desk, "sue", ("PLAN-1", 1), ("PLAN-2", 1))
    with desk.as_("sue") as tx:
        events = audit.show(tx, object_id="PLAN-2", action="approval.")
    assert [(e.actor, e.role, e.auth, e.origin, e.action, e.reason) for e in events] == [
        ("sue", "supervisor", "token", "cli", "approval.approved", "talked it through")
    ]
    assert {item["terms_digest"] for item in events[0].after["items"]} == {d.terms_digest for d in decisions}


# one-time codes ----------------------------------------------------------------------------------------------------


@pytest.fixture
def code(desk):
    desk.log("PLAN-1")
    with desk.as_("sue") as tx:
        return approvals.issue_code(tx, [("PLAN-1", 1)], schedules=desk.schedules(("PLAN-1", 1)))


def with_code(desk, who, code, *items):
    schedules = desk.schedules(*items)
    return approvals.decide_with_code(desk.ledger, desk.org, who, code, list(items), "approve", "fits", "dagster", schedules)


def test_a_code_decides_once(desk, code):
    (decision,) = with_code(desk, "sue", code.lower(), ("PLAN-1", 1))
    assert (decision.decided_by, desk.status("PLAN-1")) == ("sue", "active")
    with pytest.raises(Refused, match="already used"):
        with_code(desk, "sue", code, ("PLAN-1", 1))


def test_a_code_is_its_owners_alone_and_used_up_when_another_presents_it(desk, code):
    with pytest.raises(Refused, match="not valid for this person"):
        with_code(desk, "sam", code, ("PLAN-1", 1))
    with pytest.raises(Refused, match="already used"):
        with_code(desk, "sue", code, ("PLAN-1", 1))


def test_a_code_is_for_its_items_alone_and_a_refused_decision_uses_it_up(desk, code):
    desk.log("PLAN-2")
    with pytest.raises(Refused, match="not for version 1 of PLAN-2"):
        with_code(desk, "sue", code, ("PLAN-2", 1))
    with pytest.raises(Refused, match="already used"):
        with_code(desk, "sue", code, ("PLAN-1", 1))
    assert desk.status("PLAN-1") == "pending_approval"


def test_a_code_that_stands_in_a_run_config_is_used_up_by_a_slip_of_the_pen_too(desk, code):
    with pytest.raises(UsageError, match="needs a reason"):
        approvals.decide_with_code(desk.ledger, desk.org, "sue", code, [("PLAN-1", 1)], "reject", "  ", "dagster")
    with pytest.raises(Refused, match="already used"):
        with_code(desk, "sue", code, ("PLAN-1", 1))
    assert desk.status("PLAN-1") == "pending_approval"


def test_a_slip_of_the_pen_at_a_terminal_leaves_the_code_good(desk, code):
    with pytest.raises(UsageError, match="needs a reason"):
        approvals.decide_with_code(desk.ledger, desk.org, "sue", code, [("PLAN-1", 1)], "approve", "  ", "cli")
    with_code(desk, "sue", code, ("PLAN-1", 1))


def test_a_code_is_good_for_deciding_and_nothing_else(desk, code, new):
    proof = approvals.present_code(desk.ledger, desk.org, "sue", code, "cli")
    sue = users.SignedIn("sue", "supervisor", "code", "cli", proof)
    for act in (
        lambda tx: users.issue_token(tx, "sue"),
        lambda tx: users.set_password(tx, "sue", "correct horse battery"),
        lambda tx: approvals.issue_code(tx, [("PLAN-1", 1)]),
        lambda tx: commitments.log(tx, new("PLAN-2")),
        lambda tx: commitments.cancel(tx, "PLAN-1", dt.date(2026, 3, 2), "why not"),
    ):
        with pytest.raises(Refused, match="for deciding and nothing else"), desk.as_(sue) as tx:
            act(tx)


def test_a_code_dies_when_the_terms_change(desk, code, new):
    with desk.as_("cara") as tx:
        commitments.renegotiate(tx, "PLAN-1", new("PLAN-1", installment_count=9).terms, "other terms")
    for version, why in ((1, "terms changed"), (2, "already used")):
        with pytest.raises(Refused, match=why):
            with_code(desk, "sue", code, ("PLAN-1", version))


def test_a_code_expires(desk):
    desk.log("PLAN-1")
    with desk.as_("sue") as tx:
        tx.execute(
            "select ptp.issue_code(%s, %s, encode(sha256('AAAA'), 'hex'), now() - interval '1 second')", [desk.people["sue"].proof, _ITEMS]
        )
    with pytest.raises(Refused, match="has expired"):
        with_code(desk, "sue", "AAAA", ("PLAN-1", 1))


def test_a_code_is_stored_hashed_and_refused_tries_are_recorded(desk, code):
    with pytest.raises(Refused):
        with_code(desk, "sue", "WRONG", ("PLAN-1", 1))
    with desk.as_("sue") as tx:
        everything = json.dumps([e.after for e in audit.show(tx)], default=str)
        assert [e.object_id for e in audit.show(tx, action="code.refused")] == ["sue"]
    assert code not in everything
    assert code.replace("-", "") not in everything


def test_only_approvers_get_codes(desk):
    desk.log("PLAN-1")
    with desk.as_("cara") as tx, pytest.raises(psycopg.Error, match="codes are for supervisors"):
        approvals.issue_code(tx, [("PLAN-1", 1)])


def test_a_redeemed_code_is_good_for_a_minute(desk, code):
    approvals.present_code(desk.ledger, desk.org, "sue", code, "cli")
    with psycopg.connect(**desk.ledger._admin) as con:
        left = con.execute(
            "select expires_at - now() <= interval '1 minute' from ptp.sign_in where auth = 'code' and org_id = %s", [desk.org]
        )
        assert left.fetchall() == [(True,)]


# policy twice: in words beforehand, in SQL at the gate ----------------------------------------------------------------


@hypothesis_settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.fixed_dictionaries(
        {
            "kind": st.sampled_from(["promise", "repeating_promise", "plan"]),
            "currency": st.sampled_from(["USD", "JPY", "KWD"]),
            "amount_minor": st.integers(1, 10_000_000),
            "frequency": st.sampled_from(rules.FREQUENCIES[:-1]),
            "installment_count": st.integers(1, 40),
            "discount_minor": st.sampled_from([0, 0, 5_000]),
            "first_due_date": st.dates(min_value=dt.date(2026, 3, 2), max_value=dt.date(2026, 3, 31)),
        }
    ),
    st.fixed_dictionaries(
        {
            "amount": st.sampled_from([None, "500", "20000.5"]),
            "days": st.sampled_from([None, 30, 400]),
            "installments": st.sampled_from([None, 3]),
            "discount_percent": st.sampled_from([None, "5"]),
            "balance_percent": st.sampled_from([None, "80"]),
            "exposure": st.sampled_from([None, "700", "30000"]),
        }
    ),
    st.builds(
        rules.Standing,
        st.integers(0, 50_000),
        st.just(0),
        st.integers(0, 50_000),
        st.one_of(st.none(), st.integers(0, 10_000_000)),
        logged_on=st.dates(min_value=dt.date(2026, 2, 20), max_value=dt.date(2026, 3, 10)),
    ),
    st.fixed_dictionaries(
        {
            "promise_amount": st.sampled_from([None, "500", "0.5"]),
            "rationale": st.sets(st.sampled_from(["plan", "promise", "discount", "new_terms"])),
            "rationale_amount": st.sampled_from([None, "500"]),
        }
    ),
    st.integers(1, 2),
    st.sampled_from(["", "as agreed"]),
)
def test_the_gate_and_the_guardrails_say_the_same(desk, drawn, caps, standing, approval, version, reason):
    values = {"agreed_on": "2026-03-02", **drawn}
    if rules.problems(values):
        return
    made = rules.Terms(**values)
    policy = Policy.model_validate({"approval": {"kinds": ["plan"], "caps": {"supervisor": caps}, **approval}})
    row = {**made.model_dump(mode="json"), "version": version, "invoice_ids": [], "custom_schedule": None, "reason": reason}
    row["logged_at"] = f"{standing.logged_on}T23:30:00Z"
    facts = {"b": standing.balance_minor, "e": standing.used_minor + standing.earlier_minor}
    with psycopg.connect(**desk.ledger._admin) as con:
        grants, exceeded, role, missing = con.execute(
            "select ptp.policy_grants(v, %(p)s, %(e)s), ptp.cap_exceeded(v, %(p)s, 'supervisor', %(b)s, %(e)s),"
            " ptp.role_for(v, %(p)s, %(b)s, %(e)s), ptp.rationale_missing(v, '', %(p)s) from"
            " jsonb_populate_record(null::ptp.commitment_version, %(v)s) as v",
            {"p": json.dumps(policy.as_json()), "v": json.dumps(row), **facts},
        ).fetchone()
    assert grants == (version == 1 and not rules.needs_approval(made, policy, standing))
    said = rules.caps_exceeded(made, policy.approval.caps["supervisor"], standing)
    assert (exceeded, role) == (said[0] if said else None, rules.required_role(made, policy, standing))
    assert (missing or "") == rules.rationale_missing(made, policy, reason, is_new_terms=version > 1)


@pytest.mark.parametrize(
    ("agreed_on", "due", "said"),
    [
        ("2026-11-02", "2026-11-20", "Promise is more than 7 days out by the limits its author did not change"),
        ("2026-11-02", "2026-11-08", ""),
        ("2199-01-01", "2199-01-02", "Promise is more than 60 days out"),  # agreed ahead: the wait counts from the day it is logged
    ],
)
def test_a_promise_gets_at_the_gate_what_the_guardrails_say_to_its_author(desk, new, agreed_on, due, said):
    with desk.as_("con") as tx:
        policies.change(tx, {"approval.promise_days": 60}, "we trust them")
    wanted = new("PR-1", kind="promise", agreed_on=agreed_on, first_due_date=due)
    with desk.as_("con") as tx:
        before = rules.guardrails(
            wanted.terms, policies.current(tx), commitments.customer_standing(tx, "C-1", "USD"), by_others=policies.by_others(tx, "con")
        )
        logged = commitments.log(tx, wanted)
        waiting = [item.guardrails for item in commitments.pending(tx)]
    expected = [f"{said}: Supervisor approval required"] if said else []
    assert (before, logged.status) == (expected, "pending_approval" if said else "active")
    assert (logged.rule_message, waiting) == ("; ".join(expected), [expected] if said else [])


def test_the_database_knows_the_same_exponents(desk):
    from ptp_pipeline.domain.money import EXPONENTS, format_amount

    with desk.as_("cara") as tx:
        rows = tx.all("select code, ptp.exponent(code) as exponent from unnest(%s::text[]) as code", [list(EXPONENTS)])
        said = tx.one(
            "select ptp.format_money(123456789, 'USD') as usd, ptp.format_money(5, 'JPY') as jpy, ptp.format_money(5, 'KWD') as kwd"
        )
    assert {row["code"]: row["exponent"] for row in rows} == dict(EXPONENTS)
    assert list(said.values()) == [format_amount(123456789, "USD"), format_amount(5, "JPY"), format_amount(5, "KWD")]


def test_a_policy_change_moves_the_gate_at_once_and_needs_authority(desk):
    with pytest.raises(PtpError, match="signed in"), desk.as_(Actor("con", "controller", "token", "cli")) as tx:
        policies.change(tx, {"approval.promise_days": 60}, "we trust them")
    with pytest.raises(Refused, match="sue is a supervisor"), desk.as_("sue") as tx:
        policies.change(tx, {"approval.promise_days": 60}, "we trust them")
    with desk.as_("con") as tx:
        policies.change(tx, {"approval.promise_days": 60}, "we trust them")
    assert desk.log("PR-1", kind="promise", first_due_date="2026-04-20").status == "active"
