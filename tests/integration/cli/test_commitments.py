"""Logging, changing and deciding, through the same gate as everywhere else."""

import csv
import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

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
    assert answer.document == {"commitment_id": plan, "version": 2, "status": "pending_approval"}
    (item,) = cli("pending", "--org", org, "--json").document
    assert [i["amount"] for i in item["schedule"]] == ["200.00"] * 4
    assert item["schedule"][0]["due_date"] == "2027-02-01"
    assert cli(*words, token=token("collector")).code == 2


def test_a_commitment_is_paused_resumed_and_cancelled_once(cli: Cli, org: str, token: Token, plan: str) -> None:
    cli("approve", plan, "--org", org, "--reason", "as discussed", token=token("supervisor"))
    for verb, role in (("pause", "collector"), ("resume", "collector"), ("cancel", "supervisor")):
        answer = cli("change", verb, plan, "--org", org, "--reason", "dispute", "--on", "2026-03-02", token=token(role))
        assert answer.code == 0, answer.err
    again = cli("change", "cancel", plan, "--org", org, "--reason", "dispute", token=token("supervisor"))
    assert again.code == 3
    unknown = cli("change", "cancel", "PL-NONE", "--org", org, "--reason", "dispute", token=token("supervisor"))
    assert unknown.code == 3


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
