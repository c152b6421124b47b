"""Logging, changing and deciding, through the same gate as everywhere else."""

import csv
import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ptp_pipeline.domain.terms import NewCommitment, make_terms
from ptp_pipeline.ledger import commitments, files
from ptp_pipeline.ledger.connection import Ledger
from ptp_pipeline.resources import PIPELINE
from tests.integration.cli.conftest import Answer, Cli

Token = Callable[[str], str]
PLAN = ("--amount", "1200", "--count", "3", "--first-due", "2027-02-01", "--agreed-on", "2026-01-05")


def logged(answer: Answer) -> dict[str, Any]:
    assert answer.code == 0, answer.err
    return answer.document


@pytest.fixture
def plan(cli: Cli, org: str, token: Token) -> str:
    """Id of a plan that waits for approval."""
    words = ("log", "plan", "--org", org, "--customer", "C-1", *PLAN, "--json")
    return str(logged(cli(*words, token=token("collector")))["commitment_id"])


def test_a_plan_waits_for_approval_and_shows_its_schedule(cli: Cli, org: str, token: Token) -> None:
    words = ("--down-payment", "200", "--discount", "100")
    made = logged(cli("log", "plan", "--org", org, "--customer", "C-1", *PLAN, *words, "--json", token=token("collector")))
    assert made["status"] == "pending_approval"
    assert [i["amount"] for i in made["schedule"]] == ["200.00", "300.00", "300.00", "300.00"]
    assert [i["due_date"] for i in made["schedule"]] == ["2026-01-05", "2027-02-01", "2027-03-01", "2027-04-01"]
    assert made["guardrails"]


def test_a_near_promise_is_active_at_once_and_the_same_one_twice_is_refused(cli: Cli, org: str, token: Token) -> None:
    words = ("log", "promise", "--org", org, "--customer", "C-1", "--amount", "99.50", "--due", "2026-02-06", "--agreed-on", "2026-02-03")
    assert logged(cli(*words, "--json", token=token("collector")))["status"] == "active"
    again = cli(*words, "--yes", token=token("collector"))
    assert again.code == 3
    assert "is the same as" in again.err


def test_a_repeating_promise_takes_its_debt_from_the_count(cli: Cli, org: str, token: Token) -> None:
    words = ("--amount", "50", "--due", "2026-02-06", "--agreed-on", "2026-02-03", "--every", "monthly", "--count", "3")
    made = logged(cli("log", "promise", "--org", org, "--customer", "C-1", *words, "--json", token=token("collector")))
    assert [i["amount"] for i in made["schedule"]] == ["50.00", "50.00", "50.00"]


def test_a_schedule_of_ones_own_must_add_up(cli: Cli, org: str, token: Token) -> None:
    words = (
        "log",
        "plan",
        "--org",
        org,
        "--customer",
        "C-1",
        "--amount",
        "900",
        "--agreed-on",
        "2026-01-05",
        "--installment",
        "2026-02-02=400",
    )
    short = cli(*words, "--installment", "2026-03-02=400", "--yes", token=token("collector"))
    assert short.code == 2
    assert "add up" in short.err
    made = logged(cli(*words, "--installment", "2026-03-02=500", "--json", token=token("collector")))
    assert [(i["due_date"], i["amount"]) for i in made["schedule"]] == [("2026-02-02", "400.00"), ("2026-03-02", "500.00")]


def test_logging_without_a_token_is_wrong_usage_and_with_a_wrong_one_refused(cli: Cli, org: str) -> None:
    words = ("log", "plan", "--org", org, "--customer", "C-1", *PLAN, "--yes")
    assert cli(*words).code == 2
    answer = cli(*words, token="ptp_000000000000_nonsense")
    assert answer.code == 3
    assert "token" in answer.err


def test_nothing_is_logged_unasked_where_nobody_can_confirm(cli: Cli, org: str, token: Token) -> None:
    answer = cli("log", "plan", "--org", org, "--customer", "C-1", *PLAN, token=token("collector"))
    assert answer.code == 2
    assert "--yes" in answer.err
    assert cli("pending", "--org", org, "--json").document == []


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--amount", "ten", "--due", "2026-02-06"), "not an amount"),
        (("--amount", "1.234", "--due", "2026-02-06"), "finer"),
        (("--amount", "10", "--due", "31/02/2026"), "YYYY-MM-DD"),
        (("--amount", "10", "--due", "2026-02-06", "--agreed-on", "2099-01-01"), "has not come yet"),
        (("--amount", "10", "--due", "2026-02-01", "--agreed-on", "2026-02-03"), "before the agreement"),
        (("--amount", "10", "--due", "2026-02-06", "--currency", "XXX"), "currency"),
        (("--amount", "10", "--due", "2026-02-06", "--count", "3"), "--every"),
    ],
)
def test_terms_that_cannot_be_are_wrong_usage_in_words(cli: Cli, org: str, token: Token, words: tuple[str, ...], said: str) -> None:
    answer = cli("log", "promise", "--org", org, "--customer", "C-1", *words, "--yes", token=token("collector"))
    assert answer.code == 2
    assert said in answer.err


def test_pending_shows_terms_schedule_and_guardrails(cli: Cli, org: str, plan: str) -> None:
    (item,) = cli("pending", "--org", org, "--json").document
    assert (item["commitment_id"], item["version"], item["customer_id"], item["logged_by"]) == (plan, 1, "C-1", "collector")
    assert item["terms"]["total_minor"] == 120000
    assert [i["amount"] for i in item["schedule"]] == ["400.00", "400.00", "400.00"]
    assert item["guardrails"]
    text = cli("pending", "--org", org).out
    assert "1,200.00 USD, 3 monthly installments from 2027-02-01" in text


def test_a_supervisor_approves_and_a_second_decision_is_refused(cli: Cli, org: str, token: Token, plan: str) -> None:
    answer = cli("approve", plan, "--org", org, "--reason", "as discussed", "--json", token=token("supervisor"))
    assert answer.code == 0, answer.err
    assert [(d["commitment_id"], d["decided_by"], d["decision"]) for d in answer.document["decided"]] == [(plan, "supervisor", "approve")]
    again = cli("reject", plan, "--org", org, "--reason", "changed my mind", token=token("supervisor"))
    assert again.code == 3
    assert plan in again.err


def test_a_collector_cannot_approve_by_name_nor_by_pending(cli: Cli, org: str, token: Token, plan: str) -> None:
    by_name = cli("approve", plan, "--org", org, "--reason", "mine", token=token("collector"))
    assert by_name.code == 3
    assert "only a supervisor" in by_name.err
    all_of_them = cli("approve", "--pending", "--org", org, "--reason", "mine", "--yes", token=token("collector"))
    assert all_of_them.code == 3
    assert len(cli("pending", "--org", org, "--json").document) == 1


@pytest.mark.parametrize(
    ("caps", "said"),
    [
        ([], "A controller decides: "),
        (["approval.caps.controller.amount=60000"], "Legal decides: "),
        (["approval.caps.controller.amount=60000", "approval.caps.legal.amount=70000"], "Nobody may approve it as it is."),
    ],
)
def test_what_is_beyond_a_supervisor_names_who_decides(cli: Cli, org: str, token: Token, caps: list[str], said: str) -> None:
    if caps:
        assert cli("org", "set", org, *caps, "--reason", "limits").code == 0
    words = ("--amount", "90000", "--count", "3", "--first-due", "2026-02-02", "--agreed-on", "2026-01-05", "--yes")
    answer = cli("log", "plan", "--org", org, "--customer", "C-2", *words, token=token("collector"))
    assert said in answer.out
    assert "A supervisor decides" not in answer.out


def test_pending_in_one_go_leaves_what_is_beyond_a_supervisor_to_others(cli: Cli, org: str, token: Token, plan: str) -> None:
    words = ("--amount", "90000", "--count", "3", "--first-due", "2026-02-02", "--agreed-on", "2026-01-05", "--json")
    large = logged(cli("log", "plan", "--org", org, "--customer", "C-2", *words, token=token("collector")))["commitment_id"]
    unasked = cli("approve", "--pending", "--org", org, "--reason", "weekly review", token=token("supervisor"))
    assert unasked.code == 2
    assert "--yes" in unasked.err
    answer = cli("approve", "--pending", "--org", org, "--reason", "weekly review", "--yes", "--json", token=token("supervisor"))
    assert [d["commitment_id"] for d in answer.document["decided"]] == [plan]
    assert [(i["commitment_id"], "exceeds" in i["why"]) for i in answer.document["left"]] == [(large, True)]
    assert cli("approve", large, "--org", org, "--reason", "checked", token=token("supervisor")).code == 3
    assert cli("approve", large, "--org", org, "--reason", "checked", token=token("controller")).code == 0


def test_pending_in_one_go_leaves_what_the_gate_knows_to_be_ones_own(cli: Cli, org: str, token: Token, plan: str, ledger: Ledger) -> None:
    """By the address of the owner in a file, and by the limit one loosened oneself: else all of them would be refused."""
    controller = token("controller")
    assert cli("user", "email", "controller", "con@example.com", "--org", org).code == 0
    sha, terms = "f" * 64, {"kind": "plan", "currency": "USD", "agreed_on": "2026-01-05", "frequency": "monthly", "installment_count": 3}
    row = NewCommitment(
        commitment_id="OWN", customer_id="C-3", owner="Con@Example.com", file_sha256=sha, line_number=2,
        terms=make_terms(**terms, amount_minor=90_000, first_due_date="2027-02-02"),
    )  # fmt: skip
    with ledger.transaction(org, PIPELINE) as tx:
        files.register(tx, files.FileFacts("commitments", "c.csv", 10, sha, "rows", 1, "accepted"))
        assert commitments.log_many(tx, [row])[0].outcome == "loaded"
    words = ("--amount", "900000", "--count", "3", "--first-due", "2026-02-02", "--agreed-on", "2026-01-05", "--json")
    large = logged(cli("log", "plan", "--org", org, "--customer", "C-2", *words, token=token("collector")))["commitment_id"]
    assert cli("org", "set", org, "approval.caps.controller.amount=250000", "--reason", "limits").code == 0
    looser = ("org", "set", org, "approval.caps.controller.amount=9000000", "--reason", "more room")
    assert cli(*looser, token=controller).code == 0
    answer = cli("approve", "--pending", "--org", org, "--reason", "weekly review", "--yes", "--json", token=controller)
    assert answer.code == 0, answer.err
    assert [d["commitment_id"] for d in answer.document["decided"]] == [plan]
    assert [(i["commitment_id"], i["why"]) for i in answer.document["left"]] == [
        ("OWN", "controller owns OWN, which came from a file"), (large, "Plan exceeds 250,000 USD")
    ]  # fmt: skip


def test_a_code_decides_once_on_exactly_its_items(cli: Cli, org: str, token: Token, plan: str) -> None:
    issued = cli("approval-code", plan, "--org", org, "--json", token=token("supervisor")).document
    assert issued["items"] == [f"{plan}@1"]
    words = ("approve", plan, "--org", org, "--reason", "by phone", "--code", issued["code"])
    assert cli(*words).code == 2
    assert cli(*words, "--user", "nobody").code == 3
    assert cli(*words, "--user", "supervisor").code == 0
    assert cli("approval-code", plan, "--org", org, token=token("supervisor")).code == 3


def test_a_code_is_not_for_collectors(cli: Cli, org: str, token: Token, plan: str) -> None:
    answer = cli("approval-code", plan, "--org", org, token=token("collector"))
    assert answer.code == 3
    assert "supervisors" in answer.err


def test_new_terms_need_a_new_approval(cli: Cli, org: str, token: Token, plan: str) -> None:
    cli("approve", plan, "--org", org, "--reason", "as discussed", token=token("supervisor"))
    words = ("change", "renegotiate", plan, "--org", org, "--reason", "smaller steps", "--agreed-on", "2026-03-02")
    answer = cli(*words, "--amount", "800", "--count", "4", "--json", token=token("collector"))
    assert answer.code == 0, answer.err
    assert (answer.document["version"], answer.document["status"]) == (2, "pending_approval")
    told = ["amount 1,200.00 USD → 800.00 USD", "installments 3 → 4"]
    schedule = ["~ 2027-02-01 400.00 USD → 200.00 USD", "~ 2027-03-01 400.00 USD → 200.00 USD", "~ 2027-04-01 400.00 USD → 200.00 USD"]
    assert answer.document["changes"] == [*told, *schedule, "+ 2027-05-03 200.00 USD"]
    (item,) = cli("pending", "--org", org, "--json").document
    assert [i["amount"] for i in item["schedule"]] == ["200.00"] * 4
    assert item["changes"] == answer.document["changes"]
    assert f"Changes the terms in force: {told[0]}; {told[1]}; {schedule[0]}" in " ".join(cli("pending", "--org", org).out.split())
    (event,) = [e for e in cli("audit", "show", "--org", org, "--json").document if e["action"] == "commitment.renegotiated"]
    assert (event["before"]["installment_count"], event["after"]["installment_count"]) == (3, 4)
    assert item["schedule"][0]["due_date"] == "2027-02-01"
    assert cli(*words, token=token("collector")).code == 2


def test_author_and_approver_read_the_same_of_new_terms_that_replace_waiting_ones(cli: Cli, org: str, token: Token, plan: str) -> None:
    cli("approve", plan, "--org", org, "--reason", "as discussed", token=token("supervisor"))
    words = ("change", "renegotiate", plan, "--org", org, "--reason", "smaller steps", "--agreed-on", "2026-03-02", "--yes")
    assert cli(*words, "--amount", "800", "--count", "4", token=token("collector")).code == 0
    alone = cli(*words, token=token("collector"))
    assert alone.code == 2
    assert f"A reason alone makes no new version: version 2 of {plan} waits with these terms." in " ".join(alone.err.split())
    told = "Changes the terms in force: amount 1,200.00 USD → 800.00 USD; ~ 2027-02-01 400.00 USD → 266.66 USD;"
    replaced = "Takes the place of version 2, which nobody has decided on"
    author = " ".join(cli(*words, "--count", "3", token=token("collector")).out.split())
    approver = " ".join(cli("pending", "--org", org).out.split())
    for said in (author, approver):
        assert told in said
        assert replaced in said
    (item,) = cli("pending", "--org", org, "--json").document
    assert (item["version"], item["replaces_version"]) == (3, 2)


def test_a_commitment_is_paused_resumed_and_cancelled_once(cli: Cli, org: str, token: Token, plan: str) -> None:
    cli("approve", plan, "--org", org, "--reason", "as discussed", token=token("supervisor"))
    for verb, role in (("pause", "collector"), ("resume", "collector"), ("cancel", "supervisor")):
        answer = cli("change", verb, plan, "--org", org, "--reason", "dispute", "--on", "2026-03-02", token=token(role))
        assert answer.code == 0, answer.err
    again = cli("change", "cancel", plan, "--org", org, "--reason", "dispute", token=token("supervisor"))
    assert again.code == 3
    unknown = cli("change", "cancel", "PL-NONE", "--org", org, "--reason", "dispute", token=token("supervisor"))
    assert unknown.code == 3


def test_terms_are_sent_back_and_come_again_with_an_answer(cli: Cli, org: str, token: Token, plan: str) -> None:
    back = cli("send-back", plan, "--org", org, "--reason", "which invoices?", token=token("supervisor"))
    assert f"{plan} version 1 sent back by supervisor, after 0 business hours." in back.out
    assert cli("pending", "--org", org, "--json").document == []
    again = ("change", "renegotiate", plan, "--org", org, "--reason", "those of May", "--json")
    assert cli(*again, token=token("collector")).document["status"] == "pending_approval"
    assert cli(*again, token=token("collector")).code == 2
    assert "Why: those of May" in cli("pending", "--org", org).out
    answer = cli("approve", f"{plan}@2", "--org", org, "--reason", "fine", "--json", token=token("supervisor"))
    assert answer.document["decided"][0]["business_hours"] == 0
    assert "Turnaround of 2 decisions in the last 30 days: median 0 business hours" in cli("pending", "--org", org).out


def test_what_lacks_a_rationale_is_sent_back_by_policy_and_says_what_to_do(cli: Cli, org: str, token: Token) -> None:
    assert cli("org", "set", org, 'approval.rationale=["plan"]', "--reason", "too many bare plans").code == 0
    words = ("log", "plan", "--org", org, "--customer", "C-1", *PLAN)
    answer = cli(*words, "--yes", token=token("collector"))
    assert "! A rationale is missing: policy asks why for every plan: it would be sent back" in answer.out
    assert "Sent back by policy. A rationale is missing: policy asks why for every plan." in answer.out
    assert logged(cli(*words, "--first-due", "2027-03-01", "--note", "new CFO", "--json", token=token("collector")))["rule"]


def test_exposure_is_shown_as_available_in_process_and_used(cli: Cli, org: str, token: Token, plan: str) -> None:
    assert cli("org", "set", org, "approval.caps.supervisor.exposure=5000", "--reason", "limit").code == 0
    cli("approve", plan, "--org", org, "--reason", "fine", token=token("supervisor"))
    words = ("--amount", "700", "--count", "2", "--first-due", "2027-02-02", "--agreed-on", "2026-01-05", "--json")
    logged(cli("log", "plan", "--org", org, "--customer", "C-1", *words, token=token("collector")))
    (item,) = cli("pending", "--org", org, "--json").document
    assert item["exposure"] == {"used": "1200.00", "in_process": "700.00", "cap": "5000.00", "available": "3100.00"}
    said = "Exposure of C-1: 3,100.00 USD available, 700.00 USD in process, 1,200.00 USD used; a supervisor's cap is 5,000.00 USD"
    assert said in " ".join(cli("pending", "--org", org).out.split())


def test_a_commitment_is_withdrawn_before_approval_and_closed_after_it(cli: Cli, org: str, token: Token, plan: str) -> None:
    words = ("--org", org, "--reason", "written off", "--on", "2026-03-02")
    early = cli("change", "close", plan, *words, token=token("supervisor"))
    assert (early.code, "is not active" in early.err) == (3, True)
    cli("approve", plan, "--org", org, "--reason", "fine", token=token("supervisor"))
    late = cli("change", "withdraw", plan, *words, token=token("collector"))
    assert (late.code, "Cancel or close it instead" in late.err) == (3, True)
    assert cli("change", "close", plan, *words, token=token("collector")).code == 3
    assert f"{plan} is closed from 2026-03-02" in cli("change", "close", plan, *words, token=token("supervisor")).out
    again = cli("change", "pause", plan, *words, token=token("collector"))
    assert "was closed on 2026-03-02: written off" in again.err


def test_a_payment_logged_by_hand_lies_in_the_inbox_whole(cli: Cli, org: str, home: Path, token: Token) -> None:
    words = ("--customer", "C-1", "--amount", "55.50", "--received", "2026-03-02", "--reference", "check 4411")
    answer = cli("log", "payment", "--org", org, *words, "--json", token=token("collector"))
    assert answer.code == 0, answer.err
    folder = home / "inbox" / org / "payments"
    (file,) = folder.iterdir()
    assert str(file) == answer.document["file"]
    (row,) = csv.DictReader(io.StringIO(file.read_text()))
    assert (row["customer_id"], row["amount"], row["received_date"], row["reference"]) == ("C-1", "55.50", "2026-03-02", "check 4411")
    (event,) = [e for e in cli("audit", "show", "--org", org, "--json").document if e["action"] == "payment.logged"]
    assert (event["actor"], event["reason"]) == ("collector", "55.50 USD from C-1 on 2026-03-02")


def test_the_very_same_payment_by_hand_is_refused_until_something_tells_it_apart(cli: Cli, org: str, home: Path, token: Token) -> None:
    words = ("log", "payment", "--org", org, "--customer", "C-1", "--amount", "55.50", "--received", "2026-03-02", "--yes")
    first = cli(*words, "--json", token=token("collector"))
    again = cli(*words, token=token("supervisor"))
    assert again.code == 3
    assert "55.50 USD from C-1 on 2026-03-02" in again.err
    assert Path(first.document["file"]).name in again.err
    assert "--reference" in again.err
    assert "--id" in again.err
    folder = home / "inbox" / org / "payments"
    assert [p.name for p in folder.iterdir()] == [Path(first.document["file"]).name]
    assert sum(e["action"] == "payment.logged" for e in cli("audit", "show", "--org", org, "--json").document) == 1
    for difference in (("--reference", "second check"), ("--id", "CHECK-2")):
        assert cli(*words, *difference, token=token("collector")).code == 0
    assert len(list(folder.iterdir())) == 3


def test_a_payment_is_assigned_to_one_place_and_only_if_it_is_known(cli: Cli, org: str, home: Path, token: Token, plan: str) -> None:
    (home / "inbox" / org).mkdir(parents=True)
    words = ("--org", org, "--reason", "named on the check")
    assert cli("match", "assign", "PAY-1", *words, token=token("collector")).code == 2
    for decision in (("assign", "PAY-1", plan), ("aside", "PAY-1"), ("split", "PAY-1", f"{plan}=1", "aside=2"), ("accept", "PAY-1")):
        unpublished = cli("match", *decision, *words, token=token("collector"))
        assert unpublished.code == 1
        assert "ptp run" in unpublished.err


def test_a_payment_without_customer_or_amount_is_wrong_usage(cli: Cli, org: str, token: Token) -> None:
    assert cli("log", "payment", "--org", org, "--amount", "5", "--yes", token=token("collector")).code == 2
    assert cli("log", "payment", "--org", org, "--customer", "C-1", "--yes", token=token("collector")).code == 2


def test_a_contact_is_logged_with_its_moment(cli: Cli, org: str, home: Path, token: Token) -> None:
    words = ("--customer", "C-1", "--outcome", "will pay Friday", "--at", "2026-03-02T15:30")
    assert cli("log", "contact", "--org", org, *words, token=token("collector")).code == 0
    (file,) = (home / "inbox" / org / "contacts").iterdir()
    (row,) = csv.DictReader(io.StringIO(file.read_text()))
    assert (row["at"], row["owner"], row["direction"]) == ("2026-03-02T15:30:00+00:00", "collector", "out")
