"""From accepted files to the raw stage: typed tables, rows across files, the conservation law, and rebuilding it all."""

import shutil

from ptp_pipeline.feeds import schemas
from ptp_pipeline.feeds.build import FEED_TABLES, table_columns
from ptp_pipeline.warehouse.models import Warehouse

GOOD = "P1,C1,2026-01-05,10.00,payment,,"
INVOICE = "I1,C1,Acme,2026-01-01,2026-01-31,100.00,{}"


def test_an_org_without_files_has_all_tables_empty_and_typed(desk):
    assert desk.build() == {"loaded": 0, "duplicate": 0, "quarantined": 0}
    stats = Warehouse(desk.settings, desk.org).stats("feed")
    assert stats.keys() == FEED_TABLES.keys()
    for feed in schemas.FEEDS.values():
        assert stats[feed.name].rows == 0
        assert dict(stats[feed.name].columns) == table_columns(feed)


def test_tables_have_the_same_types_with_rows_as_without(desk):
    desk.drop("payments", "p.csv", GOOD)
    desk.drop("invoices", "i.csv", INVOICE.format(""))
    desk.drop("contacts", "k.csv", "K1,C1,2026-01-05T10:00,call,out")
    desk.drop("commitments", "c.csv", "A,plan,C1,2026-01-01,100,2026-02-01,custom,,I1;I2")
    desk.drop("installments", "s.csv", "A,1,2026-02-01,100")
    desk.run()
    stats = Warehouse(desk.settings, desk.org).stats("feed")
    for feed in schemas.FEEDS.values():
        assert stats[feed.name].rows == 1
        assert dict(stats[feed.name].columns) == table_columns(feed)
    assert desk.rows("select invoice_ids from feed.commitments") == [(["I1", "I2"],)]


def test_a_payment_row_repeated_in_another_file_is_a_duplicate_and_another_content_is_a_conflict(desk):
    desk.drop("payments", "1.csv", GOOD)
    desk.run()
    desk.drop("payments", "2.csv", GOOD.replace("payment", ""), GOOD.replace("10.00", "11.00"), "P2,C1,2026-01-05,1.00,,,")
    desk.run()
    assert desk.files() == [("1.csv", 1, 1, 0, 0), ("2.csv", 3, 1, 1, 1)]
    assert desk.quarantine() == [("payments", 3, "payment_id", "P1", "payment_id_conflict")]
    assert desk.rows("select message from raw.quarantine") == [
        ("payment_id P1 came before with other content, on line 2 of 1.csv; that one counts.",)
    ]
    assert desk.rows("select payment_id, amount_minor, file_sequence from raw.payments order by 1") == [("P1", 1000, 1), ("P2", 100, 2)]


def test_a_later_file_updates_an_invoice_and_history_is_kept(desk):
    desk.drop("invoices", "1.csv", INVOICE.format("100"))
    desk.drop("invoices", "2.csv", INVOICE.format("40"), INVOICE.replace("I1", "I2").format("5"))
    desk.drop("invoices", "3.csv", INVOICE.format("40.00"), INVOICE.replace("I1", "I3").format("5"))
    desk.run()
    assert desk.rows("select invoice_id, open_amount_minor, file_sequence from raw.invoices order by 1") == [
        ("I1", 4000, 3),
        ("I2", 500, 2),
        ("I3", 500, 3),
    ]
    assert desk.files() == [("1.csv", 1, 1, 0, 0), ("2.csv", 2, 2, 0, 0), ("3.csv", 2, 1, 0, 1)]
    assert desk.rows("select count(*) from feed.invoices") == [(5,)]


def test_contacts_are_kept_once(desk):
    desk.drop("contacts", "1.csv", "K1,C1,2026-01-05,call,out", "K1,C1,2026-01-05T00:00,call,out", "K1,C1,2026-01-06,call,out")
    desk.run()
    assert desk.files() == [("1.csv", 3, 1, 1, 1)]


def test_reversals_of_unknown_payments_and_payments_of_unknown_customers_are_loaded_for_matching_to_judge(desk):
    desk.drop("payments", "1.csv", "R1,C1,2026-01-05,10.00,reversal,NOBODY,", "P1,CUSTOMER-OF-ANOTHER-ORG,2026-01-05,1.00,,,")
    desk.run()
    assert desk.files() == [("1.csv", 2, 2, 0, 0)]


def test_every_messy_row_is_accounted_for(desk):
    desk.drop_bytes(
        "payments",
        "messy.csv",
        b"\xef\xbb\xbfpayment_id;customer_id;received_date;amount;reference\r\n"
        b"P1;C1;2026-01-05;10.00;ok\r\n\r\n"
        b"P2;C1;31/02/2026;10.00;bad date\r\n"
        b"P3;C1;2026-01-05;1.234,56;bad amount\r\n"
        b"P4;C1;2026-01-05;-1.00;negative\r\n"
        b'P5;C1;2026-01-05;1.00;"two\r\nlines"\r\n'
        b"P6;C1;2026-01-05;1.00;one;field too many\r\n"
        b"P1;C1;2026-01-05;10.00;ok\r\n"
        b"P7;C1;2026-0",
    )
    desk.run()
    assert desk.files() == [("messy.csv", 8, 2, 5, 1)]
    assert [(line, rule) for _, line, _, _, rule in desk.quarantine()] == [
        (4, "date"),
        (5, "amount_format"),
        (6, "amount_negative"),
        (9, "field_count"),
        (11, "field_count"),
    ]


def test_the_same_ledger_and_archive_build_the_same_tables_after_the_warehouse_is_deleted(desk):
    desk.drop("payments", "1.csv", GOOD, "P2,C1,2026-01-05,abc,,,", ",C1,2026-01-05,3.00,,,")
    desk.drop("commitments", "c.csv", "A,promise,C1,2026-01-01,5.00,2026-01-05,,,", "B,promise,C1,2026-01-01,5.00,2026-01-05,,,")
    desk.drop("installments", "i.csv", "A,1,2026-02-01,100")
    desk.run()
    tables = ["payments", "quarantine", "files", "invoices", "contacts"]
    before = [desk.rows(f"select * from raw.{table} order by all") for table in tables]
    shutil.rmtree(desk.settings.warehouse(desk.org))
    desk.build()
    assert [desk.rows(f"select * from raw.{table} order by all") for table in tables] == before


def test_the_cache_holds_only_what_accepted_files_need(desk):
    desk.drop("payments", "1.csv", GOOD)
    desk.take()
    stale = desk.settings.warehouse(desk.org) / "feed_cache" / f"payments-{'0' * 64}-x-0"
    stale.mkdir()
    desk.build()
    assert len(list(stale.parent.iterdir())) == 1
    assert not stale.exists()


def test_another_file_leaves_the_rows_of_those_before_where_they_are(desk):
    desk.drop("payments", "1.csv", GOOD, "P2,C1,2026-01-05,1.00,,,")
    desk.run()
    stage = Warehouse(desk.settings, desk.org).stage_dir("feed")
    (before,) = [path.stat().st_ino for path in stage.glob("payments/*/*.parquet")]
    desk.drop("payments", "2.csv", "P3,C1,2026-01-05,1.00,,,", "P2,C1,2026-01-05,1.00,,,", "P3,C2,2026-01-05,2.00,,,")
    desk.run()
    kept = {path.parent.name: path.stat().st_ino for path in stage.glob("payments/*/*.parquet")}
    assert kept.keys() == {"file_sequence=1", "file_sequence=2"}
    assert kept["file_sequence=1"] == before
    assert desk.files() == [("1.csv", 2, 2, 0, 0), ("2.csv", 3, 1, 1, 1)]
    assert desk.rows("select payment_id, customer_id, file_sequence from raw.payments order by 1") == [
        ("P1", "C1", 1),
        ("P2", "C1", 1),
        ("P3", "C1", 2),
    ]
    assert not list(Warehouse(desk.settings, desk.org).stage_dir("raw").glob("payments.parquet"))
