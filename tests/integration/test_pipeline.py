"""The whole graph on a real ledger and an ephemeral Dagster instance: what a book says after files, approvals and runs."""

import subprocess
import sys
from collections.abc import Callable
from datetime import date
from decimal import Decimal
from pathlib import Path

import dagster as dg
import pytest

from ptp_pipeline import previews
from ptp_pipeline.errors import Refused
from ptp_pipeline.ledger import approvals, commitments, policies, run_lock
from ptp_pipeline.ledger.connection import Ledger
from ptp_pipeline.resources import Ptp
from ptp_pipeline.run import failure_words
from ptp_pipeline.settings import CHECKOUT, Settings
from tests.integration.pipeline_book import COMMITMENTS, INVOICES, PAYMENTS, Book, new_book

PLAN = "commitment_id = 'PLAN-1'"


@pytest.fixture
def book(settings: Settings, ledger: Ledger) -> Book:
    """An org with a collector and a supervisor, its files waiting in the inbox."""
    return new_book(settings, ledger)


class Story:
    """One org through a spring: each run's build, by name. Runs cost seconds, so the tests below share them."""

    def __init__(self, book: Book) -> None:
        self.book = book
        self.builds: dict[str, Path] = {}
        self.tell("before approval", "2026-03-31")
        book.approve_all("sam")
        self.tell("10 March", "2026-03-10", make_current=True)
        self.tell("31 March", "2026-03-31")
        self.tell("20 April", "2026-04-20")
        self.tell("19 May", "2026-05-19")
        book.drop("payments", PAYMENTS, "again.csv")
        header, *rows = PAYMENTS.splitlines()
        book.drop("payments", "\r\n".join([header, *reversed(rows)]) + "\r\n", "shuffled.csv")
        self.tell("19 May again", "2026-05-19")
        self.tell("10 March again", "2026-03-10")

    def tell(self, name: str, as_of: str, **config: object) -> None:
        self.builds[name] = self.book.run(as_of, **config)

    def at(self, name: str, sql: str) -> list[tuple[object, ...]]:
        return self.book.query(sql, self.builds[name])


@pytest.fixture(scope="module")
def story(settings: Settings, ledger: Ledger) -> Story:
    return Story(new_book(settings, ledger))


def test_a_plan_nobody_approved_has_no_installments_and_takes_no_money(story: Story) -> None:
    assert story.at("before approval", f"select status from commitments where {PLAN}") == [("pending_approval",)]
    assert story.at("before approval", f"select count(*) from installments where {PLAN}") == [(0,)]
    assert story.at("before approval", "select allocated_amount, match_status from payments where payment_id = 'PAY-1'") == [
        (Decimal(0), "unmatched")
    ]


def test_a_promise_within_policy_is_active_at_once_by_an_approval_of_policy(story: Story) -> None:
    assert story.at("before approval", "select approved_by from commitments where commitment_id = 'PROM-1'") == [("policy",)]


def test_after_approval_the_schedule_builds_itself_and_money_finds_its_installments(story: Story) -> None:
    rows = story.at(
        "20 April",
        f"select sequence, due_date, amount, paid_amount, verdict, status from installments where {PLAN} order by sequence",
    )
    assert rows == [
        (1, date(2026, 3, 16), Decimal(250), Decimal(250), "kept", "kept"),
        (2, date(2026, 4, 16), Decimal(250), Decimal(250), "kept", "kept"),
        (3, date(2026, 5, 18), Decimal(250), Decimal(50), "open", "scheduled"),  # 16 May is a Saturday
        (4, date(2026, 6, 16), Decimal(250), Decimal(0), "open", "scheduled"),
    ]


def test_every_route_is_explained_in_a_sentence_for_the_customer(story: Story) -> None:
    rows = story.at("20 April", "select payment_id, matched_by, explanation from allocations order by payment_id, sequence")
    assert [(row[0], row[1]) for row in rows] == [("PAY-1", "commitment_id"), ("PAY-2", "invoice_id"), ("PAY-2", "invoice_id")]
    assert "50.00 USD" in str(rows[2][2])


def test_what_did_not_arrive_is_broken_the_same_morning_with_words_and_figures(story: Story) -> None:
    broken = story.at("19 May", f"select sequence, outstanding_amount, owner, reason from broken_promises where {PLAN}")
    assert [row[:3] for row in broken] == [(3, Decimal(200), "maria")]
    assert "200.00" in str(broken[0][3])


def test_a_payment_that_bounces_turns_the_verdict_and_the_first_verdict_stays(story: Story) -> None:
    sql = "select verdict, first_verdict from installments where commitment_id = 'PROM-1'"
    assert story.at("10 March", sql) == [("kept", "kept")]
    assert story.at("31 March", sql) == [("broken", "kept")]


def test_any_day_can_be_asked_for_again_and_gives_the_same_tables_bit_for_bit(story: Story) -> None:
    """Later runs, later files and rejected duplicates in between change nothing about a day."""
    sql = "select digest from run_info"
    assert story.at("10 March", sql) == story.at("10 March again", sql)
    assert story.at("19 May", sql) == story.at("19 May again", sql)
    assert story.at("10 March", sql) != story.at("19 May", sql)


def test_a_run_for_a_past_day_does_not_replace_what_is_current(story: Story) -> None:
    assert story.book.query("select as_of from run_info") == [(date(2026, 5, 19),)]


def test_transitions_are_appended_once_however_often_a_day_is_run(story: Story) -> None:
    with story.book.ledger.transaction(story.book.org, story.book.people["sam"]) as tx:
        rows = tx.all(
            "select commitment_id, version, sequence, to_state, effective_on, count(*) as n from ptp.transition group by 1, 2, 3, 4, 5"
        )
    assert ("PLAN-1", 3, "broken") in {(row["commitment_id"], row["sequence"], row["to_state"]) for row in rows}
    assert {row["n"] for row in rows} == {1}


def test_the_same_file_or_the_same_rows_again_are_rejected_with_a_reason(story: Story) -> None:
    rejected = story.book.settings.rejected(story.book.org)
    assert sorted(path.name for path in rejected.iterdir()) == [
        "again.csv",
        "again.csv.reason.txt",
        "shuffled.csv",
        "shuffled.csv.reason.txt",
    ]
    assert "file.csv" in (rejected / "again.csv.reason.txt").read_text()


class LateStory:
    """The same book in another org: rows one by one in another order, payments before what they pay, stages one by one."""

    def __init__(self, book: Book) -> None:
        self.book = book
        header, *rows = PAYMENTS.splitlines()
        for number, row in enumerate(reversed(rows)):
            book.drop("payments", f"{header}\n{row}\n", f"late-{number}.csv")
        book.drop("payments", f"{header}\nPAY-8,C-1,2026-02-31,10.00,USD,payment,,,,\n", "a-bad-row.csv")
        book.run("2026-03-10")
        assert book.try_run("2026-04-20", stages=["ledger"]).success
        self.published_alone = book.try_run("2026-04-20", stages=["published"])
        self.current = book.query("select as_of from run_info")
        assert book.try_run("2026-04-20", stages=["core", "matching", "outcomes", "published"]).success
        self.payments_only = book.settings.current_build(book.org).resolve()
        book.drop("invoices", INVOICES)
        book.drop("commitments", COMMITMENTS)
        book.run("2026-04-20")
        book.approve_all("sam")
        book.run("2026-05-19")


@pytest.fixture(scope="module")
def late(settings: Settings, ledger: Ledger) -> LateStory:
    return LateStory(new_book(settings, ledger, drop=False))


def test_bad_rows_are_quarantined_with_their_place_and_the_order_of_arrival_does_not_show(late: LateStory, story: Story) -> None:
    assert late.book.query("select file_name, line_number, column_name, value from quarantine") == [
        ("a-bad-row.csv", 2, "received_date", "2026-02-31")
    ]
    assert late.book.facts() == story.book.facts(story.builds["19 May"])


def test_an_org_sees_nothing_of_another_with_the_same_customers(late: LateStory, story: Story) -> None:
    assert story.book.query("select count(*) from commitments") == [(2,)]
    assert late.book.query("select count(*) from commitments", late.payments_only) == [(0,)]
    reasons = late.book.query("select reason from unmatched_payments where kind = 'payment'", late.payments_only)
    assert len(reasons) == 2
    assert all("no invoices or commitments in this book" in str(reason) for (reason,) in reasons)


def test_stages_of_two_snapshots_are_never_published_together(late: LateStory) -> None:
    assert not late.published_alone.success
    assert any("were made before the ledger tables" in error for error in failure_words(late.published_alone.all_events))
    assert late.current == [(date(2026, 3, 10),)]
    assert late.book.query("select as_of from run_info", late.payments_only) == [(date(2026, 4, 20),)]


# The moments of a run, by its renames and links, at which it is killed.
FIRST_RUN, LATER_RUN = ("2", "5", "8", "11"), ("7", "16", "23")


def killed_runs(book: Book, as_of: str, *moments: str) -> str:
    """A process of its own: a killed one must not take the tests with it."""
    words = [sys.executable, "-m", "tests.integration.killed_run", str(book.settings.home), book.org, as_of, *moments]
    done = subprocess.run(words, cwd=CHECKOUT, check=False, capture_output=True, text=True)
    return done.stdout + done.stderr[-2000:] if done.returncode else done.stdout


def test_a_run_killed_anywhere_and_run_again_publishes_the_same_tables(book: Book, story: Story) -> None:
    """What was dropped is neither lost nor taken twice."""
    assert killed_runs(book, "2026-03-31", *FIRST_RUN) == "4 killed"
    book.run("2026-03-31")
    book.approve_all("sam")
    assert killed_runs(book, "2026-05-19", *LATER_RUN) == "3 killed"
    book.run("2026-05-19")
    assert book.facts() == story.book.facts(story.builds["19 May"])
    with book.ledger.transaction(book.org, book.people["sam"]) as tx:
        assert [row["status"] for row in tx.all("select feed, status from ptp.received_file")] == ["accepted"] * 3


def test_a_second_run_of_the_same_org_is_told_who_holds_the_lock(book: Book) -> None:
    with run_lock.hold(book.ledger, book.org, "run 1234 on testhost"):
        result = book.try_run("2026-03-31")
    assert not result.success
    assert any("run 1234 on testhost" in error for error in failure_words(result.all_events))


def test_a_day_that_has_not_come_is_refused_in_the_ui_too(book: Book) -> None:
    result = book.try_run("2199-01-01")
    assert any("has not come yet" in error for error in failure_words(result.all_events))


@pytest.fixture
def approve_in_ui(book: Book) -> Callable[..., dg.ExecuteInProcessResult]:
    """Materializes the form and the decisions, as the launchpad does. The book has one plan pending."""
    book.take_in()

    def submit(code: str, supervisor: str = "sam", decision: str = "APPROVE") -> dg.ExecuteInProcessResult:
        form = {"items": ["PLAN-1"], "decision": decision, "reason": "agreed by phone", "supervisor": supervisor, "approval_code": code}
        from ptp_pipeline.assets.approvals import approval_decisions, approval_form

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

    return submit


def test_a_supervisor_approves_from_the_dagster_ui_with_a_code_that_is_theirs_and_works_once(
    book: Book, approve_in_ui: Callable[..., dg.ExecuteInProcessResult]
) -> None:
    book.hire("tina", "supervisor")
    with book.ledger.transaction(book.org, book.people["sam"]) as tx:
        shown = previews.to_approve(book.settings, commitments.pending(tx), policies.current(tx))
        code, other = (approvals.issue_code(tx, list(shown), schedules=shown) for _ in range(2))
    assert not approve_in_ui(other, supervisor="tina").success
    first = approve_in_ui(code)
    assert first.success
    form = next(e for e in first.get_asset_materialization_events() if e.asset_key.path[-1] == "approval_form").materialization.metadata
    assert "PLAN-1" in str(form["form"].value)
    assert "2026-03-16" in str(form["form"].value)
    assert not approve_in_ui(code).success
    with book.ledger.transaction(book.org, book.people["sam"]) as tx:
        assert commitments.pending(tx) == []


def test_the_collector_who_owns_a_plan_from_a_file_cannot_approve_it(book: Book) -> None:
    book.drop("commitments", COMMITMENTS.replace(",maria", ",sam"))
    book.take_in()
    with pytest.raises(Refused, match="sam"):
        book.approve_all("sam")
