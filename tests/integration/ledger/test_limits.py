"""Caps on the customer (share of the balance, exposure), rationale, authors, turnaround: at the gate and in words."""

import datetime as dt
from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest

from ptp_pipeline import previews
from ptp_pipeline.domain.terms import Standing
from ptp_pipeline.errors import Refused
from ptp_pipeline.ledger import approvals, audit, commitments, policies
from tests.integration.ledger.conftest import PIPELINE


def set_policy(desk, **changes):
    with desk.operator() as tx:
        policies.change(tx, {f"approval.{key.replace('__', '.')}": value for key, value in changes.items()}, "for the test")


def owes(desk, amount_minor, customer="C-1"):
    """What the last run found the customer to owe."""
    with desk.as_(PIPELINE) as tx:
        tx.execute(
            "insert into ptp.invoice_position (org_id, invoice_id, customer_id, currency, amount_minor, open_minor)"
            " values (%s, %s, %s, 'USD', %s, %s)",
            [desk.org, f"OLD-{customer}", customer, amount_minor, amount_minor],
        )


def pending(desk):
    with desk.as_("sue") as tx:
        return {i.commitment_id: i for i in commitments.pending(tx)}


# share of the balance -----------------------------------------------------------------------------------------------------


def test_a_plan_over_too_much_of_the_balance_goes_to_the_controller(desk):
    set_policy(desk, caps__supervisor__balance_percent="80")
    owes(desk, 112_400)
    said = "Plan covers more than 80 % of the customer's balance: Controller approval required"
    assert desk.log("PLAN-1").rule_message == said
    with pytest.raises(Refused, match=said):
        desk.decide("sue", ("PLAN-1", 1))
    desk.decide("con", ("PLAN-1", 1))


def test_a_plan_over_little_enough_of_the_balance_is_the_supervisors(desk):
    set_policy(desk, caps__supervisor__balance_percent="80")
    owes(desk, 112_500)
    desk.log("PLAN-1")
    desk.decide("sue", ("PLAN-1", 1))


def test_plans_of_one_customer_share_the_balance(desk):
    set_policy(desk, caps__supervisor__balance_percent="80")
    owes(desk, 250_000)
    desk.log("PLAN-1")
    desk.log("PLAN-2")
    desk.decide("sue", ("PLAN-1", 1))
    desk.decide("sue", ("PLAN-2", 1))
    said = "Plan covers more than 80 % of the customer's balance together with what is promised already: Controller approval required"
    assert desk.log("PLAN-3").rule_message == said
    with pytest.raises(Refused, match=f"{said} for PLAN-3"):
        desk.decide("sue", ("PLAN-3", 1))
    assert desk.log("PLAN-4", customer_id="C-2", discount_minor=1).rule_message.startswith("Plan cannot be held")
    desk.decide("con", ("PLAN-3", 1))


def test_plans_decided_together_share_the_balance_too(desk):
    owes(desk, 250_000)
    for n in (1, 2, 3):
        desk.log(f"PLAN-{n}")
    set_policy(desk, caps__supervisor__balance_percent="80")
    with pytest.raises(Refused, match="together with what is promised already: Controller approval required for PLAN-3"):
        desk.decide("sue", ("PLAN-3", 1), ("PLAN-2", 1), ("PLAN-1", 1))
    desk.decide("sue", ("PLAN-2", 1), ("PLAN-1", 1))


def test_where_no_balance_is_known_the_share_cannot_be_and_the_next_role_decides(desk):
    set_policy(desk, caps__supervisor__balance_percent="80")
    assert "of which nothing is known: Controller approval required" in desk.log("PLAN-1").rule_message
    with pytest.raises(Refused, match="nothing is known"):
        desk.decide("sue", ("PLAN-1", 1))


# exposure -----------------------------------------------------------------------------------------------------------------


def test_exposure_moves_from_in_process_to_used_as_items_are_submitted_and_decided(desk):
    set_policy(desk, caps__supervisor__exposure="2000")
    desk.log("PLAN-1")
    desk.log("PLAN-2")
    items = pending(desk)
    assert items["PLAN-1"].standing == Standing(0, 90_000, 0, None)
    assert items["PLAN-2"].standing == Standing(0, 90_000, 90_000, None)
    desk.decide("sue", ("PLAN-1", 1))
    assert pending(desk)["PLAN-2"].standing == Standing(90_000, 0, 0, None)
    assert "exposure beyond 2,000 USD: Controller approval required" in desk.log("PLAN-3").rule_message
    desk.decide("sue", ("PLAN-2", 1), decision="reject")
    assert pending(desk)["PLAN-3"].guardrails == ["Plan terms: Supervisor approval required"]
    desk.decide("sue", ("PLAN-3", 1))


def test_beyond_the_exposure_the_controller_decides_and_other_customers_and_currencies_do_not_count(desk):
    set_policy(desk, caps__supervisor__exposure="1000")
    for plan, facts in {"PLAN-1": {}, "PLAN-2": {"customer_id": "C-2"}, "PLAN-3": {"currency": "EUR"}}.items():
        desk.log(plan, **facts)
        desk.decide("sue", (plan, 1))
    desk.log("PLAN-4")
    with pytest.raises(Refused, match="Plan takes the customer's exposure beyond 1,000 USD: Controller approval required for PLAN-4"):
        desk.decide("sue", ("PLAN-4", 1))
    desk.decide("con", ("PLAN-4", 1))


def test_what_has_been_paid_or_has_ended_is_not_exposed(desk):
    set_policy(desk, caps__supervisor__exposure="1000")
    desk.log("PLAN-1")
    desk.decide("sue", ("PLAN-1", 1))
    with desk.as_(PIPELINE) as tx:
        tx.execute("insert into ptp.commitment_position values (%s, 'PLAN-1', 1, 60000, 30000, 'active')", [desk.org])
    desk.log("PLAN-2", amount_minor=70_000)
    desk.decide("sue", ("PLAN-2", 1))
    assert "exposure beyond" in desk.log("PLAN-3", amount_minor=3).rule_message
    with desk.as_("sue") as tx:
        commitments.close(tx, "PLAN-2", dt.date(2026, 3, 9), "written off")
    desk.decide("sue", ("PLAN-3", 1))


def test_new_terms_count_instead_of_the_old_ones_not_on_top(desk, new):
    set_policy(desk, caps__supervisor__exposure="1000")
    desk.log("PLAN-1")
    desk.decide("sue", ("PLAN-1", 1))
    with desk.as_("cara") as tx:
        commitments.renegotiate(tx, "PLAN-1", new("PLAN-1", agreed_on="2026-03-03", amount_minor=95_000).terms, "interest")
    item = pending(desk)["PLAN-1"]
    assert (item.standing, item.guardrails) == (Standing(own_minor=90_000), ["New terms: Supervisor approval required"])
    desk.decide("sue", ("PLAN-1", 2))


def test_the_exposure_an_approver_is_shown_is_what_the_gate_counts(desk, new):
    set_policy(desk, caps__supervisor__exposure="1000")
    desk.log("PLAN-1")
    desk.decide("sue", ("PLAN-1", 1))
    with desk.as_(PIPELINE) as tx:
        tx.execute("insert into ptp.commitment_position values (%s, 'PLAN-1', 1, 60000, 30000, 'active')", [desk.org])
    with desk.as_("cara") as tx:
        commitments.renegotiate(tx, "PLAN-1", new("PLAN-1", agreed_on="2026-03-03", amount_minor=80_000).terms, "longer")
    with desk.as_("sue") as tx:
        items, policy = commitments.pending(tx), policies.current(tx)
        counted = tx.one("select used_minor, in_process_minor from ptp.commitment_exposure where commitment_id = 'PLAN-1'")
    (shown,) = previews.previews(desk.ledger.settings, items, policy)
    assert shown.exposure == previews.Exposure(used=30_000, in_process=50_000, cap=100_000, available=20_000)
    assert counted == {"used_minor": shown.exposure.used, "in_process_minor": shown.exposure.in_process}


def test_policy_grants_no_promise_beyond_a_supervisors_exposure(desk):
    set_policy(desk, caps__supervisor__exposure="1000")
    assert desk.log("PR-1", kind="promise").status == "active"
    assert desk.log("PR-2", kind="promise").status == "pending_approval"


def test_promises_submitted_at_once_cannot_exceed_the_exposure_between_them(desk):
    set_policy(desk, caps__supervisor__exposure="1000")
    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(lambda n: desk.log(f"PR-{n}", kind="promise", amount_minor=40_000), range(4)))
    assert sorted(a.status for a in answers) == ["active", "active", "pending_approval", "pending_approval"]


def test_decisions_at_once_cannot_exceed_the_exposure_between_them(desk):
    for n in range(4):
        desk.log(f"PLAN-{n}", amount_minor=40_000)
    set_policy(desk, caps__supervisor__exposure="1000")

    def decide(n):
        try:
            return desk.decide(("sue", "sam")[n % 2], (f"PLAN-{n}", 1))[0].decision
        except Refused as refusal:
            return "beyond" if "exposure beyond" in refusal.message else refusal.message

    with ThreadPoolExecutor(4) as pool:
        assert sorted(pool.map(decide, [3, 2, 1, 0])) == ["approve", "approve", "beyond", "beyond"]
    with desk.as_("sue") as tx:
        used = tx.one("select sum(used_minor) as used from ptp.commitment_exposure")
    assert used == {"used": 80_000}


# authors ------------------------------------------------------------------------------------------------------------------


def test_neither_the_author_nor_the_last_editor_decides(desk, new):
    desk.log("PLAN-1", who="sue")
    desk.decide("sam", ("PLAN-1", 1), decision="send_back", reason="four months, please")
    with desk.as_("con") as tx:
        commitments.renegotiate(tx, "PLAN-1", new("PLAN-1", installment_count=4).terms, "four months")
    with pytest.raises(Refused, match="sue logged version 1 of PLAN-1, which version 2 grew out of, and cannot decide"):
        desk.decide("sue", ("PLAN-1", 2))
    with pytest.raises(Refused, match="con logged version 2 of PLAN-1 and cannot decide"):
        desk.decide("con", ("PLAN-1", 2))
    assert set(pending(desk)["PLAN-1"].barred) == {"con", "sue"}
    desk.decide("sam", ("PLAN-1", 2))


def test_who_wrote_terms_that_were_approved_since_may_decide_on_somebody_elses_new_ones(desk, new):
    desk.log("PLAN-1", who="sue")
    desk.decide("sam", ("PLAN-1", 1))
    with desk.as_("cara") as tx:
        commitments.renegotiate(tx, "PLAN-1", new("PLAN-1", agreed_on="2026-03-03", installment_count=4).terms, "four months")
    assert set(pending(desk)["PLAN-1"].barred) == {"cara"}
    desk.decide("sue", ("PLAN-1", 2))


# rationale ----------------------------------------------------------------------------------------------------------------


def test_terms_without_the_rationale_policy_asks_for_are_sent_back_by_the_gate_and_come_again_with_it(desk, new):
    set_policy(desk, rationale=["plan"])
    logged = desk.log("PLAN-1")
    assert (logged.status, logged.rule_message) == ("draft", "A rationale is missing: policy asks why for every plan.")
    assert (desk.status("PLAN-1"), pending(desk)) == ("draft", {})
    with desk.as_("sue") as tx:
        (event,) = audit.show(tx, object_id="PLAN-1", action="approval.")
        row = tx.one("select decision, decided_by, reason from ptp.approval")
    assert (event.action, event.after["by"]) == ("approval.sent_back", "policy")
    assert row == {"decision": "send_back", "decided_by": "policy", "reason": logged.rule_message}
    with desk.as_("cara") as tx:
        again = commitments.renegotiate(tx, "PLAN-1", new("PLAN-1").terms, "lost his main customer, pays by May")
    assert (again.version, again.status) == (2, "pending_approval")
    desk.decide("sue", ("PLAN-1", 2))


def test_what_was_sent_back_and_then_withdrawn_is_no_draft_any_more(desk):
    set_policy(desk, rationale=["plan"])
    assert desk.log("PLAN-1").status == "draft"
    with desk.as_("cara") as tx:
        commitments.withdraw(tx, "PLAN-1", dt.date(2026, 3, 9), "customer called it off")
    assert desk.status("PLAN-1") == "cancelled"


def test_a_note_is_a_rationale_and_a_granted_promise_needs_none(desk):
    set_policy(desk, rationale=["plan", "promise"])
    assert desk.log("PLAN-1", note="as agreed with their CFO").status == "pending_approval"
    assert desk.log("PR-1", kind="promise").status == "active"


def test_a_file_of_many_lines_is_sent_back_line_by_line(desk, new):
    set_policy(desk, rationale=["plan"])
    desk.receive()
    rows = [new(f"P-{n}", file_sha256="f" * 64, line_number=n, note="why" if n % 2 else "") for n in range(2, 8)]
    with desk.as_(PIPELINE) as tx:
        outcomes = commitments.log_many(tx, rows)
    assert [o.status for o in outcomes] == ["draft", "pending_approval"] * 3


def test_policy_sends_nothing_back_that_lacks_nothing(desk):
    desk.log("PLAN-1")
    forged = (
        "insert into ptp.approval (org_id, commitment_id, version, decision, reason, terms_digest, decided_by, decided_role, auth, channel,"
        " policy_version, decided_at) select org_id, commitment_id, version, 'send_back', 'x', terms_digest, 'policy', '', '', '', 1,"
        " now() from ptp.commitment_version where org_id = %s"
    )
    with psycopg.connect(**desk.ledger._admin) as con:
        con.execute("set session authorization ptp_ops")
        con.execute("select ptp.enter(%s, 'operator', 'operator', 'operator', 'psql', '', '', null)", [desk.org])
        con.execute("reset session authorization")
        with pytest.raises(psycopg.Error, match="Policy does not grant PLAN-1"):
            con.execute(forged, [desk.org])


# turnaround ---------------------------------------------------------------------------------------------------------------


def test_turnaround_is_measured_in_the_orgs_business_hours(desk):
    desk.log("PLAN-1")
    (decision,) = desk.decide("sue", ("PLAN-1", 1))
    assert decision.business_hours in (0, 0.1)
    with psycopg.connect(**desk.ledger._admin) as con:
        con.execute("set session_replication_role = replica")
        con.execute("update ptp.commitment_version set logged_at = now() - interval '28 days' where org_id = %s", [desk.org])
        con.execute("update ptp.approval set decided_at = now() where org_id = %s", [desk.org])
    with desk.as_("sue") as tx:
        measured = approvals.turnaround(tx)
    assert (measured.decisions, measured.median_hours, measured.late, measured.day_hours) == (1, 160.0, 1, 8.0)
