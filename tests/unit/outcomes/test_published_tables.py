"""What analysts see: exact money, both kept rates, lists of what is broken and unmatched."""

from datetime import date
from decimal import Decimal

from ptp_pipeline.warehouse.models import stage_models
from ptp_pipeline.warehouse.publish import order_of, table_digest
from tests.unit.outcomes.books import Book, rows_of

BOTH = ("outcomes", "published")


def busy_book() -> Book:
    book = Book(grace_days=1, tolerance_amount="0.50").commits(
        "PLAN-1", ("2026-01-15", 30000), ("2026-02-15", 30000), ("2026-03-15", 30000), invoice_ids=("INV-2", "INV-1"), owner="ann"
    )
    book.pays("PLAN-1", "2026-01-15", 30000).pays("PLAN-1", "2026-02-20", 15000)
    book.commits("YEN-1", ("2026-02-01", 70000), kind="promise", currency="JPY", customer="C-2", owner="bob")
    book.pays("YEN-1", "2026-02-01", 70000, currency="JPY", customer="C-2").pays(None, "2026-02-02", 123, customer="C-9")
    return book.commits("WAITS", ("2026-05-01", 100), decision=None, customer="C-3")


def test_money_is_published_in_major_units_of_its_currency() -> None:
    con = busy_book().outcomes("2026-03-01", BOTH)
    rows = rows_of(con, "select currency, amount from published.installments order by commitment_id, sequence")
    assert [(r["currency"], r["amount"]) for r in rows] == [("USD", Decimal(300))] * 3 + [("JPY", Decimal(70000))]
    kinds = con.execute(
        "select distinct data_type from duckdb_columns()"
        " where schema_name = 'published' and column_name like '%amount%' and column_name not like '%rate%'"
    )
    assert kinds.fetchall() == [("DECIMAL(18,3)",)]


def test_the_scorecard_has_the_kept_rate_by_count_and_by_amount() -> None:
    (row,) = rows_of(busy_book().outcomes("2026-03-01", BOTH), "from published.scorecard_customer where customer_id = 'C-1'")
    assert (row["judged_count"], row["kept_count"], row["broken_count"], row["recovered_count"]) == (2, 1, 1, 0)
    assert (row["kept_rate_by_count"], row["kept_rate_by_amount"]) == (Decimal("0.5000"), Decimal("0.5000"))
    assert (row["overdue_amount"], row["outstanding_amount"]) == (Decimal(150), Decimal(450))


def test_money_within_the_window_counts_by_amount_even_when_the_promise_was_not_kept() -> None:
    book = Book().commits("A", ("2026-01-15", 30000)).pays("A", "2026-01-15", 10000).pays("A", "2026-01-20", 20000)
    (row,) = rows_of(book.outcomes("2026-03-01", BOTH), "from published.scorecard_owner")
    assert (row["kept_rate_by_count"], row["kept_rate_by_amount"], row["recovered_count"]) == (Decimal(0), Decimal("0.3333"), 1)


def test_the_last_90_days_leave_out_what_was_paid_but_is_not_due_yet() -> None:
    book = Book().commits("A", ("2026-05-15", 100), ("2026-06-15", 100), ("2026-07-15", 100)).pays("A", "2026-05-01", 300)
    (row,) = rows_of(book.outcomes("2026-05-15", BOTH), "from published.scorecard_customer")
    assert (row["judged_count"], row["judged_count_90_days"], row["kept_count_90_days"]) == (3, 1, 1)
    assert (row["promised_amount_90_days"], row["paid_by_deadline_amount_90_days"]) == (Decimal(1), Decimal(1))


def test_the_last_90_days_count_only_what_fell_due_in_them() -> None:
    book = Book(default_after_broken=9).commits("A", ("2026-01-15", 100), ("2026-05-15", 100)).pays("A", "2026-05-01", 200)
    (row,) = rows_of(book.outcomes("2026-06-01", BOTH), "from published.scorecard_customer")
    assert (row["judged_count"], row["judged_count_90_days"], row["kept_rate_by_count"], row["kept_rate_by_count_90_days"]) == (
        2, 1, Decimal("0.5000"), Decimal(1),
    )  # fmt: skip


def test_totals_never_mix_currencies() -> None:
    book = busy_book().commits("EUR-1", ("2026-02-01", 500), currency="EUR", owner="ann")
    rows = rows_of(book.outcomes("2026-03-01", BOTH), "from published.scorecard_owner")
    assert [(r["owner"], r["currency"]) for r in rows] == [("ann", "EUR"), ("ann", "USD"), ("bob", "JPY")]


def test_commitments_without_an_owner_have_a_scorecard_row_too() -> None:
    book = Book().commits("A", ("2026-02-01", 500), owner=None)
    (row,) = rows_of(book.outcomes("2026-03-01", BOTH), "from published.scorecard_owner")
    assert (row["owner"], row["broken_now_count"]) == (None, 1)


def test_broken_promises_say_who_what_since_when_how_much_and_why() -> None:
    (row,) = rows_of(busy_book().outcomes("2026-03-01", BOTH), "from published.broken_promises")
    assert (row["customer_name"], row["owner"], row["commitment_id"], row["sequence"]) == ("Customer C-1", "ann", "PLAN-1", 2)
    assert (row["broken_on"], row["broken_since"], row["days_late"]) == (date(2026, 2, 17), date(2026, 2, 17), 14)
    assert (row["amount"], row["paid_amount"], row["outstanding_amount"]) == (Decimal(300), Decimal(150), Decimal(150))
    assert row["invoice_ids"] == "INV-1;INV-2"
    assert row["reason"] == (
        "Nothing of 300.00 USD due 15 February 2026 arrived by 16 February 2026; 150.00 came later; 150.00 is missing."
    )


def test_a_returned_payment_is_broken_since_the_day_it_came_back() -> None:
    book = Book().commits("A", ("2026-01-15", 100)).pays("A", "2026-01-15", 100, bounced_on="2026-02-03")
    (row,) = rows_of(book.outcomes("2026-02-03", BOTH), "from published.broken_promises")
    assert (row["broken_on"], row["broken_since"]) == (date(2026, 1, 16), date(2026, 2, 3))


def test_what_newer_terms_replaced_is_not_on_the_list_of_broken_promises() -> None:
    book = Book().commits("A", ("2026-01-15", 100)).commits("A", ("2026-04-15", 100), agreed_on="2026-02-01")
    con = book.outcomes("2026-03-01", BOTH)
    assert rows_of(con, "from published.broken_promises") == []
    assert [r["status"] for r in rows_of(con, "from published.installments")] == ["broken", "scheduled"]


def test_unmatched_payments_wait_with_their_days() -> None:
    (row,) = rows_of(busy_book().outcomes("2026-03-01", BOTH), "from published.unmatched_payments")
    assert (row["customer_id"], row["unapplied_amount"], row["days_waiting"], row["match_status"]) == (
        "C-9",
        Decimal("1.230"),
        27,
        "unmatched",
    )


def test_plan_status_has_one_row_per_plan_with_what_is_next_and_what_is_wrong() -> None:
    rows = rows_of(busy_book().outcomes("2026-03-01", BOTH), "from published.plan_status")
    assert [r["commitment_id"] for r in rows] == ["PLAN-1", "WAITS"]
    plan = rows[0]
    assert (plan["status"], plan["escalation_stage"], plan["progress"]) == ("active", "stage_1", Decimal("0.5000"))
    assert (plan["next_due_date"], plan["next_due_amount"], plan["overdue_amount"]) == (date(2026, 3, 15), Decimal(300), Decimal(150))
    assert (plan["last_due_date"], plan["days_late"]) == (date(2026, 3, 15), 14)
    assert (rows[1]["status"], rows[1]["outstanding_amount"]) == ("pending_approval", Decimal(0))


def test_an_invoice_names_the_commitments_in_force_that_cover_it() -> None:
    rows = rows_of(busy_book().outcomes("2026-03-01", BOTH), "from published.invoices")
    assert [(r["invoice_id"], r["commitment_ids"]) for r in rows] == [("INV-1", "PLAN-1"), ("INV-2", "PLAN-1")]


def test_an_empty_book_gives_every_table_empty() -> None:
    con = Book().outcomes("2026-03-01", BOTH)
    assert {m.table: con.execute(f"select count(*) from {m.name}").fetchall()[0][0] for m in stage_models("published") if m.is_kept} == {
        m.table: 0 for m in stage_models("published") if m.is_kept
    }


def test_published_rows_have_a_total_order() -> None:
    con = busy_book().outcomes("2026-03-01", BOTH)
    for model in stage_models("published"):
        if model.is_kept:
            keys = order_of(model)
            assert con.execute(f"select count(*) from (select {keys} from {model.name} group by all having count(*) > 1)").fetchall() == [
                (0,)
            ]


def test_the_digest_sees_one_cent_and_not_the_order_of_rows() -> None:
    con = busy_book().outcomes("2026-03-01", BOTH)
    digest = table_digest(con, "installments", "published.installments")
    con.execute("create table turned as from published.installments order by sequence desc")
    assert table_digest(con, "installments", "turned") == digest
    con.execute("update turned set paid_amount = paid_amount + 0.01 where sequence = 3")
    assert table_digest(con, "installments", "turned") != digest


def test_a_digest_can_be_brought_up_to_date_by_adding_rows_and_taking_rows_away() -> None:
    con = busy_book().outcomes("2026-03-01", BOTH)
    con.execute("create table turned as from published.installments")
    whole = table_digest(con, "installments", "turned")
    part = table_digest(con, "installments", "turned", "sequence = 2")
    con.execute("delete from turned where sequence = 2")
    rest = table_digest(con, "installments", "turned")
    assert (whole - part, rest + part) == (rest, whole)
    con.execute("insert into turned from turned")
    assert table_digest(con, "installments", "turned") != rest
