"""Which terms count from when to when, what the calendar says, and who the customers are, on the built core stage."""

import datetime as dt

import pytest

from ptp_pipeline.warehouse.models import stage_models

VERSIONS = "select version, effective_from::varchar, effective_to::varchar, end_kind from core.versions order by version"


def test_a_version_is_in_force_from_the_day_it_was_agreed(book) -> None:
    book.commitment()
    book.version(agreed_on="2026-01-05")
    assert book.build().rows(VERSIONS) == [(1, "2026-01-05", None, None)]


@pytest.mark.parametrize("decision", [None, "reject", "send_back"])
def test_terms_nobody_approved_do_not_exist(book, decision) -> None:
    book.commitment()
    book.version(decision=decision)
    core = book.build()
    assert core.rows(VERSIONS) == []
    assert core.rows("from core.installments") == []


def test_the_next_approved_version_supersedes_on_the_day_it_was_agreed(book) -> None:
    book.commitment()
    book.version(version=1, agreed_on="2026-01-05")
    book.version(version=2, agreed_on="2026-02-01", decision="reject")
    book.version(version=3, agreed_on="2026-03-01")
    assert book.build().rows(VERSIONS) == [(1, "2026-01-05", "2026-03-01", "superseded"), (3, "2026-03-01", None, None)]


def test_what_is_agreed_or_cancelled_after_as_of_is_not_known(book) -> None:
    book.commitment()
    book.version(version=1, agreed_on="2026-01-05", cancelled_on="2026-05-01", cancel_reason="sold")
    book.version(version=2, agreed_on="2026-03-01", cancelled_on="2026-05-01", cancel_reason="sold")
    assert book.build(as_of="2026-02-28").rows(VERSIONS) == [(1, "2026-01-05", None, None)]
    assert book.build(as_of="2026-03-01").rows(VERSIONS)[1] == (2, "2026-03-01", None, None)
    assert book.build(as_of="2026-04-30").rows("select distinct cancelled_on, cancel_reason from core.versions") == [(None, None)]
    assert book.build(as_of="2026-05-01").rows(VERSIONS) == [
        (1, "2026-01-05", "2026-03-01", "superseded"),
        (2, "2026-03-01", "2026-05-01", "cancelled"),
    ]


def test_a_cancellation_before_the_next_version_ends_the_first_one(book) -> None:
    book.commitment()
    book.version(version=1, agreed_on="2026-01-05", cancelled_on="2026-02-01")
    book.version(version=2, agreed_on="2026-03-01")
    assert book.build().rows(VERSIONS) == [(1, "2026-01-05", "2026-02-01", "cancelled"), (2, "2026-03-01", None, None)]


def test_a_version_agreed_earlier_than_the_one_before_it_replaces_it_altogether(book) -> None:
    book.commitment()
    book.version(version=1, agreed_on="2026-01-05")
    book.version(version=2, agreed_on="2026-04-01")
    book.version(version=3, agreed_on="2026-02-01")
    core = book.build()
    assert core.rows(VERSIONS) == [
        (1, "2026-01-05", "2026-02-01", "superseded"),
        (2, "2026-04-01", "2026-04-01", "superseded"),
        (3, "2026-02-01", None, None),
    ]
    assert core.offending() == {}


def test_a_whole_book_holds_every_core_check(book) -> None:
    for i, frequency in enumerate(["once", "weekly", "biweekly", "semimonthly", "monthly", "quarterly"]):
        book.commitment(f"C{i}")
        book.version(f"C{i}", frequency=frequency, amount_minor=100_003, discount_minor=500, down_payment_minor=777, installment_count=7)
    book.commitment("R", kind="repeating_promise")
    book.version("R", frequency="weekly", amount_minor=700, total_minor=100_003, installment_count=None)
    book.commitment("X")
    listed = [{"sequence": i, "due_date": dt.date(2026, i, 1), "amount_minor": 10_000, "grace_days": None} for i in (1, 2, 3)]
    book.version("X", frequency="custom", custom_schedule=listed, installment_count=None)
    core = book.build()
    assert core.offending() == {}
    assert core.rows("select count(*) from core.installments") == [(2 + 5 * 8 + 143 + 3,)]


def test_checks_name_what_offends(book) -> None:
    book.commitment("X")
    listed = [{"sequence": 2, "due_date": dt.date(2026, 2, 1), "amount_minor": 29_999, "grace_days": None}]
    book.version("X", frequency="custom", custom_schedule=listed)
    book.commitment("EMPTY")
    book.version("EMPTY", frequency="custom", custom_schedule=[])
    found = book.build().offending()
    assert sorted(found["core_schedule_adds_up"]) == [("EMPTY", 1, 30_000, 0), ("X", 1, 30_000, 29_999)]
    assert sorted(found["core_sequences_have_no_gaps"], key=str) == [("EMPTY", 1, []), ("X", 1, [2])]


def test_two_versions_in_force_at_once_would_be_found(book) -> None:
    book.commitment()
    book.version(version=1, agreed_on="2026-01-05")
    book.version(version=2, agreed_on="2026-03-01")
    core = book.build()
    core.con.execute("create temp table broken as select * replace (null::date as effective_to) from core.versions")
    core.con.execute("create or replace view core.versions as from broken")
    assert [row[:2] for row in core.offending()["core_one_version_in_force"]] == [("C1", 1)]


def test_business_days_between_two_dates_are_a_subtraction(book) -> None:
    book.commitment()
    book.version()
    book.add("ledger.holidays", date="2026-01-19", name="Martin Luther King Jr. Day")
    core = book.build()
    (numbers,) = core.rows("select list(business_day_number order by date) from core.calendar where date in ('2026-01-16', '2026-01-23')")
    assert numbers[0][1] - numbers[0][0] == 4
    assert core.rows(
        "select is_business_day, following_business_day::varchar, preceding_business_day::varchar "
        "from core.calendar where date = '2026-01-18'"
    ) == [(False, "2026-01-20", "2026-01-16")]


def test_the_calendar_covers_the_whole_book_with_room_on_both_sides(book) -> None:
    book.commitment()
    book.version(agreed_on="2026-01-05", first_due_date="2026-01-31", frequency="quarterly", installment_count=20)
    book.add("feed.payments", payment_id="P", customer_id="CUST", received_date="2025-12-01", amount_minor=1)
    core = book.build()
    assert core.rows("select min(date)::varchar from core.calendar") == [("2025-10-02",)]
    assert core.rows(
        "select max(c.date) >= (select max(due_date) + 400 from core.installments), count(*) = max(date) - min(date) + 1 "
        "from core.calendar c"
    ) == [(True, True)]


def test_an_org_without_any_facts_has_empty_tables_and_a_calendar(book) -> None:
    core = book.build()
    assert core.rows("select count(*) from core.installments") == [(0,)]
    assert core.rows("select count(*) from core.customers") == [(0,)]
    assert core.rows("select count(*) from core.calendar where date = '2026-06-30'") == [(1,)]


def test_an_invoice_covered_twice_is_listed_once(book) -> None:
    book.commitment()
    book.version(invoice_ids=["I1", "I2", "I1"])
    assert book.build().rows("select invoice_id from core.commitment_invoices order by all") == [("I1",), ("I2",)]


def test_invoices_dated_after_as_of_are_not_there_and_later_settlements_not_known(book) -> None:
    book.invoice("I1", invoice_date="2026-01-01", settled_date="2026-03-01")
    book.invoice("I2", invoice_date="2026-02-01")
    invoices = "select invoice_id, settled_date::varchar from core.invoices order by all"
    assert book.build(as_of="2026-01-31").rows(invoices) == [("I1", None)]
    assert book.build(as_of="2026-03-01").rows(invoices) == [("I1", "2026-03-01"), ("I2", None)]


def test_a_customer_is_described_by_the_last_row_that_says_something(book) -> None:
    book.invoice("I1", line_number=2, customer_name="Old name", owner="ana", segment="retail")
    book.invoice("I2", line_number=3, customer_name="New name", owner=None, segment="")
    book.commitment(owner="ben")
    book.version()
    assert book.build().rows("select * exclude customer_email from core.customers") == [("CUST", "New name", "retail", "ana")]


def test_customers_known_only_from_commitments_or_payments_are_there_too(book) -> None:
    book.commitment("C1", customer_id="PROMISED", owner="ben")
    book.version("C1", decision=None)
    book.add("feed.payments", payment_id="P", customer_id="PAID", received_date="2026-01-01", amount_minor=1)
    assert book.build().rows("select customer_id, customer_name, owner from core.customers order by all") == [
        ("PAID", "PAID", None),
        ("PROMISED", "PROMISED", "ben"),
    ]


def test_helper_tables_are_not_written(book) -> None:
    book.build()
    written = {path.stem for path in book.warehouse.stage_dir("core").glob("*.parquet")}
    assert written == {m.table for m in stage_models("core")} - {"schedule_terms", "calendar_range"}


# what was approved --------------------------------------------------------------------------------------------------------

APPROVED = '[["2026-01-31", "2026-02-02", 10000, 3], ["2026-02-28", "2026-03-02", 10000, 3], ["2026-03-31", "2026-03-31", 10000, 3]]'
SCHEDULE = (
    "select sequence, nominal_due_date::varchar, due_date::varchar, grace_days, amount_minor from core.installments order by sequence"
)


def test_an_approved_schedule_stays_as_it_was_approved_whatever_policy_says_now(book) -> None:
    book.commitment()
    book.version(schedule=APPROVED)
    core = book.build(business_day_rule="preceding", grace_days=9)
    assert core.rows(SCHEDULE) == [
        (1, "2026-01-31", "2026-02-02", 3, 10000),
        (2, "2026-02-28", "2026-03-02", 3, 10000),
        (3, "2026-03-31", "2026-03-31", 3, 10000),
    ]
    assert core.rows("select distinct is_down_payment from core.installments") == [(False,)]
    assert core.offending() == {}


def test_the_first_line_of_an_approved_schedule_with_a_down_payment_is_the_down_payment(book) -> None:
    book.commitment()
    lines = '[["2026-01-05", "2026-01-05", 6000, 0], ["2026-01-31", "2026-02-02", 12000, 0], ["2026-02-28", "2026-03-02", 12000, 0]]'
    book.version(schedule=lines, down_payment_minor=6000, installment_count=2)
    core = book.build()
    assert core.rows("select sequence from core.installments where is_down_payment") == [(1,)]
    assert core.offending() == {}


def test_what_policy_approved_has_the_schedule_its_terms_make(book) -> None:
    book.commitment()
    book.version(schedule=None)
    core = book.build()
    assert core.rows("from core.installments order by sequence") == core.rows("from core.scheduled order by sequence")


@pytest.mark.parametrize(
    ("old", "new"), [('"2026-02-28"', '"2026-02-27"'), ("10000, 3], [", "10001, 3], ["), (', ["2026-03-31", "2026-03-31", 10000, 3]', "")]
)
def test_a_cent_or_a_date_that_the_terms_do_not_make_stops_the_run(book, old, new) -> None:
    book.commitment()
    book.version(schedule=APPROVED.replace(old, new))
    assert "core_approved_schedule_fits_terms" in book.build().offending()


def test_an_approval_that_does_not_fit_stops_the_run_and_is_named(book) -> None:
    book.commitment()
    book.version(approval_fits=False, decided_by="sam")
    assert [row[:3] for row in book.build().offending()["core_approval_fits"]] == [("C1", 1, "sam")]


def test_a_closed_commitment_ends_like_a_cancelled_one_and_says_so(book) -> None:
    book.commitment()
    book.version(cancelled_on="2026-03-01", cancel_reason="written off", ended_by="close")
    ends = "select effective_to::varchar, end_kind, is_closed, cancel_reason from core.versions"
    assert book.build().rows(ends) == [("2026-03-01", "cancelled", True, "written off")]
    assert book.build(as_of="2026-02-28").rows(ends) == [(None, None, False, None)]
