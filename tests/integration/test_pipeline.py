"""The whole graph on a real ledger and an ephemeral Dagster instance: what a book says after files, approvals and runs."""

from datetime import date
from decimal import Decimal

import dagster as dg
import pytest

from ptp_pipeline.errors import Refused
from ptp_pipeline.ledger import approvals, commitments, run_lock
from ptp_pipeline.ledger.connection import Ledger
from ptp_pipeline.run import _errors
from ptp_pipeline.settings import Settings
from tests.integration.pipeline_book import COMMITMENTS, PAYMENTS, Book


@pytest.fixture
def book(settings: Settings, ledger: Ledger, org: str) -> Book:
    """An org with a collector and a supervisor, its files waiting in the inbox."""
    made = Book(settings, ledger, org)
    made.hire("maria", "collector")
    made.hire("sam", "supervisor")
    made.drop_all()
    return made


@pytest.fixture
def approved(book: Book) -> Book:
    """The same after a first run and the supervisor's approval."""
    book.run("2026-03-31")
    assert len(book.approve_all("sam")) == 1
    return book


def test_a_plan_nobody_approved_has_no_installments_and_takes_no_money(book: Book) -> None:
    book.run("2026-03-31")
    assert book.query("select status from commitments where commitment_id = 'PLAN-1'") == [("pending_approval",)]
    assert book.query("select count(*) from installments where commitment_id = 'PLAN-1'") == [(0,)]
    assert book.query("select allocated_amount, match_status from payments where payment_id = 'PAY-1'") == [(Decimal(0), "unmatched")]


def test_a_promise_within_policy_is_active_at_once_by_an_approval_of_policy(book: Book) -> None:
    book.run("2026-03-31")
    assert book.query("select status, approved_by from commitments where commitment_id = 'PROM-1'")[0][1] == "policy"


def test_after_approval_the_schedule_builds_itself_and_money_finds_its_installments(approved: Book) -> None:
    approved.run("2026-04-20")
    rows = approved.query(
        "select sequence, due_date, amount, paid_amount, verdict, status from installments where commitment_id = 'PLAN-1' order by sequence"
    )
    assert (
        rows
        == [
            (1, date(2026, 3, 16), Decimal(250), Decimal(250), "kept", "kept"),
            (2, date(2026, 4, 16), Decimal(250), Decimal(250), "kept", "kept"),
            (3, date(2026, 5, 16), Decimal(250), Decimal(50), "open", "scheduled"),
            (4, date(2026, 6, 16), Decimal(250), Decimal(0), "open", "scheduled"),
        ]
        or rows[2][4] is None
    )


def test_what_did_not_arrive_is_broken_the_same_morning_with_words_and_figures(approved: Book) -> None:
    approved.run("2026-05-19")
    broken = approved.query(
        "select sequence, broken_on, outstanding_amount, owner, reason from broken_promises where commitment_id = 'PLAN-1'"
    )
    assert [(row[0], row[2], row[3]) for row in broken] == [(3, Decimal(200), "maria")]
    assert "200.00" in broken[0][4]


def test_a_payment_that_bounces_turns_the_verdict_and_the_first_verdict_stays(approved: Book) -> None:
    approved.run("2026-03-10")
    assert approved.query("select verdict, first_verdict from installments where commitment_id = 'PROM-1'") == [("kept", "kept")]
    approved.run("2026-03-31")
    assert approved.query("select verdict, first_verdict from installments where commitment_id = 'PROM-1'") == [("broken", "kept")]


def test_any_day_can_be_asked_for_again_and_gives_the_same_tables_bit_for_bit(approved: Book) -> None:
    approved.run("2026-03-10")
    then = approved.digest()
    approved.run("2026-05-19")
    now = approved.digest()
    assert then != now
    approved.run("2026-03-10", make_current=True)
    assert approved.digest() == then
    approved.run("2026-05-19")
    assert approved.digest() == now


def test_a_run_for_a_past_day_does_not_replace_what_is_current(approved: Book) -> None:
    approved.run("2026-05-19")
    approved.run("2026-03-10")
    assert approved.query("select as_of from run_info") == [(date(2026, 5, 19),)]


def test_transitions_are_appended_once_however_often_a_day_is_run(approved: Book) -> None:
    for _ in range(2):
        approved.run("2026-05-19")
    with approved.ledger.transaction(approved.org, approved.people["sam"]) as tx:
        rows = tx.all("select commitment_id, sequence, to_state, count(*) as n from ptp.transition group by all")
    assert rows
    assert {row["n"] for row in rows} == {1}


def test_the_order_in_which_files_arrive_does_not_show_in_the_result(settings: Settings, ledger: Ledger, approved: Book) -> None:
    from uuid import uuid4

    from ptp_pipeline.ledger import orgs
    from tests.integration.pipeline_book import OPERATOR

    approved.run("2026-05-19")
    other = Book(settings, ledger, f"org{uuid4().hex[:10]}")
    orgs.create_org(ledger, other.org, OPERATOR)
    other.hire("maria", "collector")
    other.hire("sam", "supervisor")
    header, *rows = PAYMENTS.splitlines()
    for number, row in enumerate(reversed(rows)):
        other.drop("payments", f"{header}\n{row}\n", f"late-{number}.csv")
        other.run("2026-03-31")
    other.drop_all()
    other.run("2026-03-31")
    other.approve_all("sam")
    other.run("2026-05-19")
    assert other.facts() == approved.facts()


def test_a_second_run_of_the_same_org_is_told_who_holds_the_lock(book: Book) -> None:
    with run_lock.hold(book.ledger, book.org, "run 1234 on testhost"):
        result = book.try_run("2026-03-31")
    assert not result.success
    assert any("run 1234 on testhost" in error for error in _errors(result))


def test_the_same_file_again_is_rejected_with_a_reason_and_changes_nothing(approved: Book) -> None:
    approved.run("2026-04-20")
    before = approved.digest()
    approved.drop("payments", PAYMENTS, "again.csv")
    header, *rows = PAYMENTS.splitlines()
    approved.drop("payments", "\r\n".join([header, *reversed(rows)]) + "\r\n", "shuffled.csv")
    approved.run("2026-04-20")
    rejected = sorted(path.name for path in approved.settings.rejected(approved.org).iterdir())
    assert rejected == ["again.csv", "again.csv.reason.txt", "shuffled.csv", "shuffled.csv.reason.txt"]
    assert approved.digest() == before


def test_bad_rows_are_quarantined_with_their_place_and_the_good_ones_go_on(approved: Book) -> None:
    approved.drop(
        "payments",
        PAYMENTS.splitlines()[0] + "\nPAY-8,C-1,2026-02-31,10.00,USD,payment,,,,\nPAY-9,C-1,2026-04-11,10.00,USD,payment,,,,\n",
        "b.csv",
    )
    approved.run("2026-04-20")
    assert approved.query("select line_number, column_name, value from quarantine") == [(2, "received_date", "2026-02-31")]
    assert approved.query("select allocated_amount from payments where payment_id = 'PAY-9'") == [(Decimal(10),)]


def test_two_orgs_never_see_each_other(settings: Settings, ledger: Ledger, approved: Book) -> None:
    from uuid import uuid4

    from ptp_pipeline.ledger import orgs
    from tests.integration.pipeline_book import OPERATOR

    other = Book(settings, ledger, f"org{uuid4().hex[:10]}")
    orgs.create_org(ledger, other.org, OPERATOR)
    other.drop("payments", PAYMENTS)
    other.run("2026-04-20")
    approved.run("2026-04-20")
    assert other.query("select count(*) from commitments") == [(0,)]
    reasons = [row[0] for row in other.query("select reason from unmatched_payments where kind = 'payment'")]
    assert len(reasons) == 3
    assert all("no invoices or commitments in this book" in reason for reason in reasons)


def _approve_in_ui(book: Book, **form: object) -> dg.ExecuteInProcessResult:
    from ptp_pipeline.assets.approvals import approval_decisions, approval_form
    from ptp_pipeline.resources import Ptp

    with dg.DagsterInstance.ephemeral() as instance:
        instance.add_dynamic_partitions("org", [book.org])
        return dg.materialize(
            [approval_form, approval_decisions],
            instance=instance,
            partition_key=book.org,
            resources={"ptp": Ptp(book.settings, ledger=book.ledger)},
            raise_on_error=False,
            run_config={
                "ops": {"approval_decisions": {"config": form}},
                "loggers": {"console": {"config": {"log_level": "CRITICAL"}}},
            },
        )


def test_a_supervisor_approves_from_the_dagster_ui_with_a_code_that_works_once(book: Book) -> None:
    book.run("2026-03-31")
    with book.ledger.transaction(book.org, book.people["sam"]) as tx:
        code = approvals.issue_code(tx, [("PLAN-1", 1)])
    form = {"items": ["PLAN-1"], "decision": "APPROVE", "reason": "agreed by phone", "supervisor": "sam", "approval_code": code}
    first = _approve_in_ui(book, **form)
    assert first.success
    metadata = next(e for e in first.get_asset_materialization_events() if e.asset_key.path[-1] == "approval_form").materialization.metadata
    assert "PLAN-1" in str(metadata["form"].value)
    assert "2026-03-16" in str(metadata["form"].value)
    second = _approve_in_ui(book, **form)
    assert not second.success
    with book.ledger.transaction(book.org, book.people["sam"]) as tx:
        assert commitments.pending(tx) == []


def test_the_code_of_one_supervisor_is_of_no_use_to_another(book: Book) -> None:
    book.hire("tina", "supervisor")
    book.run("2026-03-31")
    with book.ledger.transaction(book.org, book.people["sam"]) as tx:
        code = approvals.issue_code(tx, [("PLAN-1", 1)])
    result = _approve_in_ui(book, items=["PLAN-1"], decision="APPROVE", reason="r", supervisor="tina", approval_code=code)
    assert not result.success


def test_the_collector_who_logged_a_plan_cannot_approve_it(book: Book) -> None:
    book.drop("commitments", COMMITMENTS.replace(",maria", ",sam"))
    book.run("2026-03-31")
    with pytest.raises(Refused, match="sam"):
        book.approve_all("sam")
