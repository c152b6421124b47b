"""Dropping files: what is taken, what is refused and why, and that nothing is ever lost or taken twice."""

import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from ptp_pipeline.errors import UsageError, WorkFailed
from ptp_pipeline.feeds import archive
from ptp_pipeline.feeds.build import write_feed_stage
from ptp_pipeline.feeds.intake import safe_name, take_in
from ptp_pipeline.ledger import orgs, policies
from ptp_pipeline.ledger.connection import Actor
from ptp_pipeline.warehouse.models import Warehouse

OPERATOR = Actor(name="operator", role="operator", auth="operator", origin="cli")
GOOD = "P1,C1,2026-01-05,10.00,payment,,"


def statuses(results):
    return [(r.file_name, r.status) for r in results]


def test_a_good_file_is_archived_registered_and_leaves_the_inbox(desk):
    path = desk.drop("payments", "june.csv", GOOD, "P2,C1,2026-01-05,abc,payment,,")
    data = path.read_bytes()
    (result,) = desk.take()
    assert (result.status, result.rows_in, result.rows_quarantined, result.file_sequence) == ("accepted", 2, 1, 1)
    assert desk.is_archived(data)
    assert desk.inbox() == []
    assert [(f.file_name, f.status, f.row_count) for f in desk.registered()] == [("june.csv", "accepted", 2)]
    assert desk.audited("file") == [("file.accepted", "")]


def test_the_same_bytes_again_are_rejected_naming_the_first_file_and_when_it_came(desk):
    data = desk.drop("payments", "june.csv", GOOD).read_bytes()
    desk.take()
    desk.drop_bytes("payments", "june (1).csv", data)
    (result,) = desk.take()
    first = desk.registered()[0]
    when = f"{first.received_at:%Y-%m-%d %H:%M} UTC"
    assert result.status == "rejected"
    assert result.reason == f"june (1).csv is the same file as june.csv, received {when}."
    assert result.reason in desk.rejected()["june (1).csv"]
    assert [action for action, _ in desk.audited("file")] == ["file.accepted", "file.rejected"]
    assert desk.inbox() == []


def test_the_same_rows_in_another_order_and_delimiter_are_rejected_too(desk):
    desk.drop("payments", "june.csv", GOOD, "P2,C1,2026-01-06,5.00,payment,,")
    desk.drop(
        "payments",
        "again.csv",
        *(r.replace(",", ";") for r in ("P2,C1,2026-01-06,5,,,", GOOD)),
        header="payment_id;customer_id;received_date;amount;kind;reverses_payment_id;reference",
    )
    results = desk.take()
    assert statuses(results) == [("again.csv", "accepted"), ("june.csv", "rejected")]
    assert "june.csv holds the same rows as again.csv, received" in results[1].reason


def test_the_same_rows_are_known_in_any_form(desk):
    rows = [GOOD.replace("P1", "P\u00e9"), "P2,C1,2026-01-06,5.00,payment,,", "P3,C1,2026-01-06,abc,payment,,", ",C1,2026-01-05,1.00,,,"]
    first = desk.drop("payments", "0.csv", *rows).read_text()
    header, *lines = first.splitlines()
    turned = [",".join(line.split(",")[::-1]) for line in (header, *lines)]
    forms = {
        "bom.csv": first.encode("utf-8-sig"),
        "crlf.csv": first.replace("\n", "\r\n").encode(),
        "order.csv": "\n".join([header, *lines[::-1]]).encode(),
        "quoted.csv": "\n".join('"' + line.replace(",", '","') + '"' for line in (header, *lines)).encode(),
        "semicolon.csv": first.replace(",", ";").encode(),
        "tabs.csv": first.replace(",", "\t").encode("utf-16"),
        "turned.csv": "\n\n".join(turned).encode(),
    }
    for name, data in forms.items():
        desk.drop_bytes("payments", name, data)
    accepted, *others = desk.take()
    assert statuses([accepted]) == [("0.csv", "accepted")]
    assert statuses(others) == [(name, "rejected") for name in forms]
    assert all(f"{other.file_name} holds the same rows as 0.csv, received" in other.reason for other in others)
    desk.build()
    assert desk.files() == [("0.csv", 4, 3, 1, 0)]


def test_two_machines_that_share_only_the_ledger_take_the_same_rows_once(desk, tmp_path):
    both = [desk.with_settings(home=tmp_path / name) for name in ("one", "two")]
    for machine, end in zip(both, ("\n", "\r\n"), strict=True):
        machine.drop_bytes("payments", "june.csv", f"payment_id,customer_id,received_date,amount{end}P1,C1,2026-01-05,1{end}".encode())
    with ThreadPoolExecutor(2) as pool:
        results = [result for taken in pool.map(lambda machine: machine.take(), both) for result in taken]
    assert sorted(result.status for result in results) == ["accepted", "rejected"]
    assert "june.csv holds the same rows as june.csv, received" in next(r.reason for r in results if r.status == "rejected")


def test_a_file_sent_again_with_one_more_row_adds_only_that_row(desk):
    desk.drop("payments", "1.csv", GOOD, ",C1,2026-01-05,1.00,,,", ",C1,2026-01-05,1.00,,,")
    desk.drop("payments", "2.csv", GOOD, ",C1,2026-01-05,1.00,,,", ",C1,2026-01-05,1.00,,,", "P9,C1,2026-01-07,3.00,,,")
    desk.run()
    assert desk.files() == [("1.csv", 3, 3, 0, 0), ("2.csv", 4, 1, 0, 3)]
    assert desk.rows("select file_name, duplicate_of from raw.files order by all") == [("1.csv", None), ("2.csv", "1.csv")]
    assert desk.rows("select count(*), sum(amount_minor) from raw.payments") == [(4, 1000 + 100 + 100 + 300)]


@pytest.mark.parametrize(
    ("name", "data", "words"),
    [
        ("empty.csv", b"", "empty (0 bytes)"),
        (
            "latin.csv",
            "payment_id,customer_id,received_date,amount\nP1,Müller,2026-01-05,1\n".encode("latin-1"),
            "Line 2 holds a byte (0xFC",
        ),
        ("no-date.csv", b"payment_id,customer_id,amount\nP1,C1,1\n", "lacks the column received_date"),
        ("book.csv", b"PK\x03\x04 a workbook", "Excel workbook"),
        ("book.xlsx", b"whatever", "Only .csv files"),
        ("words.csv", b"hello", "lacks the columns customer_id, received_date, amount"),
    ],
)
def test_an_unreadable_file_is_rejected_in_words_and_its_bytes_are_kept(desk, name, data, words):
    desk.drop_bytes("payments", name, data)
    (result,) = desk.take()
    assert result.status == "rejected"
    assert words in result.reason
    reason = desk.rejected()[name]
    assert words in reason
    assert "What to do: " in reason
    assert (desk.settings.rejected(desk.org) / name).read_bytes() == data
    assert desk.is_archived(data)
    assert desk.audited("file") == [("file.rejected", result.reason)]


def test_a_header_without_rows_is_accepted_with_no_rows(desk):
    desk.drop("payments", "none.csv")
    desk.run()
    assert desk.files() == [("none.csv", 0, 0, 0, 0)]


def test_a_rejected_file_does_not_stand_in_the_way_of_its_correction(desk):
    bad = b"payment_id,customer_id,day,amount\nP1,C1,2026-01-05,1\n"
    for _ in range(2):
        desk.drop_bytes("payments", "june.csv", bad)
        desk.take()
    assert sorted(desk.rejected()) == ["june-2.csv", "june.csv"]
    with desk.ledger.operator(OPERATOR, desk.org) as tx:
        policies.change(tx, {"feed_mappings": {"payments": {"columns": {"day": "received_date"}}}}, "their header")
    archive.restore(desk.settings, desk.registered()[0].content_sha256, desk.settings.inbox(desk.org, "payments") / "june.csv")
    assert statuses(desk.take()) == [("june.csv", "accepted")]


def test_a_file_larger_than_the_limit_is_rejected_and_kept(desk):
    small = desk.with_settings(max_file_mb=1)
    path = small.drop("payments", "big.csv", *[GOOD] * 40_000)
    data = path.read_bytes()
    (result,) = small.take()
    assert (result.status, "the most is 1" in result.reason) == ("rejected", True)
    assert desk.is_archived(data)


def test_what_is_no_file_of_ours_is_left_alone_and_reported(desk):
    folder = desk.drop("payments", "ok.csv", GOOD).parent
    secret = desk.settings.home / "secret.csv"
    secret.write_text("payment_id,customer_id,received_date,amount\nS1,C1,2026-01-05,1\n")
    (folder / "link.csv").symlink_to(secret)
    (folder / "old").mkdir()
    os.mkfifo(folder / "pipe.csv")
    (folder / "upload.csv.part").write_text("half")
    (folder / ".hidden.csv").write_text("half")
    (desk.settings.inbox(desk.org) / "payment").mkdir()
    (desk.settings.inbox(desk.org) / "stray.csv").write_text("x")
    left = {r.file_name: r.reason for r in desk.take() if r.status == "left"}
    assert left.keys() == {"link.csv", "old", "pipe.csv", "payment", "stray.csv"}
    assert "links out of the inbox are not followed" in left["link.csv"]
    assert "did you mean payments?" in left["payment"]
    assert desk.inbox() == [f"payments/{name}" for name in (".hidden.csv", "link.csv", "old", "pipe.csv", "upload.csv.part")]
    assert not desk.is_archived(secret.read_bytes())
    assert [f.file_name for f in desk.registered()] == ["ok.csv"]


def test_a_feed_folder_that_is_a_link_is_not_followed(desk):
    elsewhere = desk.settings.home / f"elsewhere-{desk.org}"
    elsewhere.mkdir()
    (elsewhere / "a.csv").write_text("x")
    (desk.settings.inbox(desk.org) / "payments").symlink_to(elsewhere)
    (result,) = desk.take()
    assert (result.status, result.reason.startswith("the feed folder is a link")) == ("left", True)


def test_a_file_still_being_written_is_left_until_it_rests(desk):
    slow = desk.with_settings(settle_seconds=1)
    path = slow.drop("payments", "slow.csv", GOOD)
    with ThreadPoolExecutor(1) as pool:
        taking = pool.submit(slow.take)
        for _ in range(16):  # a writer that keeps writing while the intake waits for it
            time.sleep(0.1)
            with path.open("a") as file:
                file.write("P2,C1,2026-01-05,1.00,payment,,\n")
        (result,) = taking.result()
    assert (result.status, "still being written" in result.reason) == ("left", True)
    assert slow.inbox() == ["payments/slow.csv"]
    (result,) = slow.take()
    assert (result.status, result.rows_in) == ("accepted", 17)


def test_odd_names_are_stored_safely(desk):
    folder = desk.drop("payments", "a.csv", GOOD).parent
    (folder / "a.csv").rename(folder / os.fsdecode(b"\xff\n" + b"x" * 230 + b".csv"))
    (result,) = desk.take()
    assert result.status == "accepted"
    (name,) = [f.file_name for f in desk.registered()]
    assert name.isprintable()
    assert len(name) <= 150
    assert name.endswith(".csv")
    assert safe_name("é" * 200 + ".csv").endswith("é.csv")


def test_only_the_named_files_are_taken_and_only_from_the_inbox(desk):
    one, _ = desk.drop("payments", "1.csv", GOOD), desk.drop("payments", "2.csv", GOOD.replace("P1", "P2"))
    actor = Actor(name="pipeline", role="pipeline", auth="pipeline", origin="dagster")
    assert statuses(take_in(desk.settings, desk.ledger, desk.org, actor, [one])) == [("1.csv", "accepted")]
    with pytest.raises(UsageError, match="not in the inbox"):
        take_in(desk.settings, desk.ledger, desk.org, actor, [Path("/etc/hostname")])


def test_the_same_file_may_be_taken_by_two_orgs(desk, ledger, settings):
    from dataclasses import replace

    other = replace(desk, org=f"{desk.org}b")
    orgs.create_org(ledger, other.org, OPERATOR)
    for one in (desk, other):
        one.drop("payments", "same.csv", GOOD)
        assert statuses(one.take()) == [("same.csv", "accepted")]


def test_many_takers_at_once_take_every_file_once(desk):
    for i in range(12):
        desk.drop("payments", f"{i:02}.csv", GOOD.replace("P1", f"P{i}"))
    with ThreadPoolExecutor(4) as pool:
        results = [r for taken in pool.map(lambda _: desk.take(), range(4)) for r in taken]
    assert sorted(statuses(results)) == [(f"{i:02}.csv", "accepted") for i in range(12)]
    assert len(desk.registered()) == 12
    assert desk.inbox() == []


def test_a_file_is_read_under_the_policy_of_the_day_it_came(desk):
    desk.drop("payments", "june.csv", GOOD)
    desk.run()
    with desk.ledger.operator(OPERATOR, desk.org) as tx:
        (row,) = tx.all("select ptp.org_today() + 1 as tomorrow")
        policies.change(tx, {"feed_mappings": {"payments": {"date_format": "DD/MM/YYYY"}}}, "new bank", row["tomorrow"])
    desk.build()
    assert desk.files() == [("june.csv", 1, 1, 0, 0)]
    with desk.ledger.operator(OPERATOR, desk.org) as tx:
        policies.change(tx, {"feed_mappings.payments.date_format": "DD/MM/YYYY"}, "it always was", row["tomorrow"].replace(year=2000))
    desk.build()
    assert desk.rows("select rule from raw.quarantine") == [("date",)]


def test_a_mapping_changed_for_the_past_that_makes_an_accepted_file_unreadable_is_told(desk):
    desk.drop("payments", "june.csv", GOOD)
    desk.run()
    with desk.ledger.operator(OPERATOR, desk.org) as tx:
        policies.change(tx, {"feed_mappings": {"payments": {"encoding": "utf-16-le"}}}, "wrong", None)
    with pytest.raises(WorkFailed, match=r"june.csv, accepted on .* cannot be read"):
        desk.build()


def test_a_damaged_archive_stops_the_build_and_names_the_file(desk):
    desk.drop("payments", "june.csv", GOOD)
    desk.take()
    kept = archive.location(desk.settings, desk.registered()[0].content_sha256)
    kept.chmod(0o644)
    kept.write_text("tampered")
    import shutil

    shutil.rmtree(desk.settings.warehouse(desk.org) / "feed_cache")
    with pytest.raises(archive.DamagedArchiveError, match="damaged"):
        desk.build()
    kept.unlink()


def test_a_kill_at_any_moment_loses_nothing_and_takes_nothing_twice(desk):
    """A child is killed at its 1st, 2nd, 3rd … change to the disk; another intake follows, and everything is where it belongs."""
    done = subprocess.run(
        [sys.executable, str(Path(__file__).with_name("killed_intake.py")), str(desk.settings.home), desk.org],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
        cwd=Path(__file__).parents[3],
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert int(done.stdout.split()[0]) > 25, done.stdout


def test_a_file_of_a_million_rows_is_taken_whole_and_its_bad_rows_are_told_apart(desk, settings):
    bad = {250_000: "31/02/2026", 999_999: "2026-13-01"}
    rows = (f"P{n},C{n % 5000},{bad.get(n, '2026-01-05')},10.{n % 100:02d},payment,," for n in range(1_000_000))
    desk.drop("payments", "million.csv", *rows)
    (result,) = desk.take()
    assert (result.status, result.rows_in, result.rows_quarantined) == ("accepted", 1_000_000, 2)
    write_feed_stage(settings, desk.ledger, desk.org)
    with Warehouse(settings, desk.org).connect(["feed"]) as con:
        assert con.execute("select count(*), sum(amount_minor) from feed.payments").fetchall() == [
            (999_998, sum(1000 + n % 100 for n in range(1_000_000) if n not in bad))
        ]
        assert con.execute("select line_number, value from feed.quarantine order by 1").fetchall() == [
            (250_002, "31/02/2026"),
            (1_000_001, "2026-13-01"),
        ]
