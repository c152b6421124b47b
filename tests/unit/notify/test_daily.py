"""The daily mail, composed from a small published file with the public tables of the design.

`PTP_UPDATE_GOLDEN=1` rewrites the golden mails; read the diff before you commit it.
"""

import csv
import io
import os
from datetime import date
from pathlib import Path
from types import SimpleNamespace

import duckdb
import pytest

from ptp_pipeline.errors import WorkFailed
from ptp_pipeline.notify.daily import LINES_PER_LIST, compose_broken_promises
from ptp_pipeline.settings import Settings
from ptp_pipeline.warehouse.models import MODELS, parse_model

GOLDEN = Path(__file__).with_name("golden")
DAY = date(2026, 11, 20)
POLICY = SimpleNamespace(alert_recipients=("ana@example.com", "ben@example.com"), due_soon_days=3, automatic_promises=True)
BY_HAND = SimpleNamespace(**{**vars(POLICY), "automatic_promises": False})

TABLES = """
create table run_info (as_of date, built_at timestamp, ledger_position bigint, version varchar);
create table commitments (
    commitment_id varchar, version integer, kind varchar, customer_id varchar, customer_name varchar, owner varchar, currency varchar,
    invoice_ids varchar, is_paused boolean
);
create table installments (
    commitment_id varchar, version integer, sequence integer, due_date date, deadline date,
    outstanding_amount decimal(18, 3), status varchar
);
create table broken_promises (
    commitment_id varchar, version integer, sequence integer, kind varchar, customer_id varchar, customer_name varchar, owner varchar,
    currency varchar, due_date date, broken_on date, broken_since date, days_late integer, amount decimal(18, 3),
    paid_amount decimal(18, 3), outstanding_amount decimal(18, 3), invoice_ids varchar, reason varchar, is_paused boolean
);
"""


class Book:
    """A published file in the making."""

    def __init__(self, home: Path, as_of: date = DAY) -> None:
        self.settings = Settings(home=home)
        folder = home / "published" / "acme" / "build-1"
        folder.mkdir(parents=True)
        (folder.parent / "current").symlink_to(folder.name)
        self._path = folder / "ptp.duckdb"
        with duckdb.connect(str(self._path)) as con:
            con.execute(TABLES)
            con.execute("insert into run_info values (?, ?, 7, '0.1.0')", [as_of, "2026-11-21 05:00:00"])

    def broken(self, commitment_id: str, amount: str, broken_on: date = DAY, **over: object) -> "Book":
        who = {"customer_id": "C-1", "customer_name": "Baker & Sons", "owner": "ana", "invoice_ids": "INV-1;INV-2"}
        what = {"commitment_id": commitment_id, "version": 1, "sequence": 1, "kind": "promise", "currency": "USD"}
        when = {"due_date": date(2026, 11, 19), "broken_on": broken_on, "broken_since": broken_on, "days_late": 1}
        why = {"reason": "Nothing arrived by 19 Nov 2026.", "is_paused": False}
        how_much = {"amount": amount, "paid_amount": "0", "outstanding_amount": amount}
        return self._insert("broken_promises", who | what | when | why | how_much | over)

    def due(self, commitment_id: str, amount: str, due_date: date, status: str, **over: object) -> "Book":
        who = {"customer_id": f"of-{commitment_id}", "customer_name": f"Customer of {commitment_id}", "owner": "ana", "is_paused": False}
        deadline = over.pop("deadline", due_date)
        self._insert("commitments", {"commitment_id": commitment_id, "version": 1, "kind": "plan", "currency": "USD"} | who | over)
        installment = {"commitment_id": commitment_id, "version": 1, "sequence": 2, "due_date": due_date, "deadline": deadline}
        return self._insert("installments", installment | {"outstanding_amount": amount, "status": status})

    def _insert(self, table: str, row: dict[str, object]) -> "Book":
        with duckdb.connect(str(self._path)) as con:
            con.execute(f"insert into {table} ({', '.join(row)}) values ({', '.join('?' * len(row))})", list(row.values()))
        return self

    def mail(self, as_of: date = DAY, policy: SimpleNamespace = POLICY):
        return compose_broken_promises(self.settings, "acme", policy, as_of)


@pytest.fixture
def book(tmp_path):
    return Book(tmp_path)


def matches_golden(name: str, actual: str) -> bool:
    path = GOLDEN / name
    if os.environ.get("PTP_UPDATE_GOLDEN"):
        path.write_text(actual, encoding="utf-8")
    return actual == path.read_text(encoding="utf-8")


def attached_rows(message) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(message.attachments[0].content.decode("utf-8-sig"))))


def test_a_full_day_reads_as_agreed(book):
    book.broken("P-1", "1200.500").broken("P-2", "80", owner="ben", currency="EUR", customer_id="C-2", customer_name="Müller GmbH")
    partly = {"paid_amount": "100", "outstanding_amount": "200", "reason": "Only 100.00 USD of 300.00 USD arrived by 1 Nov 2026."}
    book.broken("L-9", "300", date(2026, 11, 2), kind="plan", sequence=3, due_date=date(2026, 11, 1), **partly)
    nobody = {"owner": None, "invoice_ids": None, "reason": None}
    book.broken("P-3", "5000", date(2026, 10, 1), currency="JPY", due_date=date(2026, 9, 30), **nobody)
    book.due("L-4", "250", date(2026, 11, 21), "due_soon").due("L-5", "10", DAY, "due_today", owner="ben", is_paused=True)
    book.due("L-6", "12.345", date(2026, 11, 18), "in_grace", owner="ben", currency="KWD", deadline=date(2026, 11, 23))
    message = book.mail()
    assert message.subject == "[acme] 2 installments broke today, 2 still open from before, 20 Nov 2026"
    assert matches_golden("full_day.html", message.html)
    assert matches_golden("full_day.txt", message.text)
    assert matches_golden("full_day.csv", message.attachments[0].content.decode("utf-8-sig").replace("\r\n", "\n"))


def test_a_day_with_nothing_broken_still_sends_a_short_mail(book):
    message = book.mail()
    assert message.subject == "[acme] Nothing broke, 20 Nov 2026"
    assert message.attachments == ()
    assert matches_golden("nothing_broke.html", message.html)
    assert matches_golden("nothing_broke.txt", message.text)


def test_the_mail_is_one_per_org_and_day(book):
    message = book.mail()
    assert (message.kind, message.business_date, message.send_key) == ("broken_promises", DAY, "acme:broken_promises:2026-11-20")
    assert message.recipients == ("ana@example.com", "ben@example.com")


def test_the_same_file_gives_the_same_mail(book):
    book.broken("P-1", "10").broken("P-2", "20")
    assert book.mail() == book.mail()


def test_figures_of_another_day_are_refused_in_words(tmp_path):
    book = Book(tmp_path, as_of=date(2026, 11, 19))
    with pytest.raises(WorkFailed, match=r"mail for 20 Nov 2026 was not written.*acme are as of 19 Nov 2026"):
        book.mail()


def test_an_org_without_a_build_is_refused_in_words(tmp_path):
    with pytest.raises(WorkFailed, match="Nothing has been published for acme yet"):
        compose_broken_promises(Settings(home=tmp_path), "acme", POLICY, DAY)


def test_a_file_that_cannot_be_read_is_refused_in_words(book):
    book.settings.current_build("acme").joinpath("ptp.duckdb").write_bytes(b"torn")
    with pytest.raises(WorkFailed, match="published file of acme cannot be read"):
        book.mail()


def test_a_payment_that_came_back_today_breaks_its_promise_today(book):
    book.broken("P-1", "10", date(2026, 11, 2), broken_since=DAY, reason="The payment of 1 Nov 2026 was returned on 20 Nov 2026.")
    message = book.mail()
    assert message.subject == "[acme] 1 installment broke today, 20 Nov 2026"
    assert attached_rows(message)[0]["broke_today"] == "yes"


def test_every_column_the_mail_reads_is_published():
    with duckdb.connect() as con:
        con.execute(TABLES)
        read = con.execute(
            "select table_name, column_name from duckdb_columns() where not internal and table_name <> 'run_info'"
        ).fetchall()
    missing = [f"{t}.{c}" for t, c in read if c not in parse_model(MODELS / "published" / f"{t}.sql").columns]
    assert missing == []


def test_currencies_are_never_added_together(book):
    book.broken("P-1", "100").broken("P-2", "50", currency="EUR").broken("P-3", "25")
    text = book.mail().text
    assert "50.00 EUR and 125.00 USD open" in text
    assert "175.00" not in text


def test_what_is_due_later_than_the_policy_says_or_already_paid_is_left_out(book):
    book.due("L-1", "10", date(2026, 11, 24), "due_soon").due("L-2", "0", date(2026, 11, 21), "due_soon").due("L-3", "9", DAY, "kept")
    assert book.mail().subject == "[acme] Nothing broke, 20 Nov 2026"
    assert "L-" not in book.mail().text


def test_a_hostile_name_is_shown_and_not_obeyed(book):
    book.broken(
        "P-1",
        "10",
        customer_name="<img src=x onerror=alert(1)>\n\nALL OWNERS\n- Fake: 1,000,000.00 USD",
        owner="<b>ana</b>",
        reason="{{ 7 * 7 }}",
    )
    message = book.mail()
    assert "<img" not in message.html
    assert "&lt;img src=x onerror=alert(1)&gt;" in message.html
    assert "<b>ana" not in message.html
    assert "{{ 7 * 7 }}" in message.text
    assert message.text.count("\nALL OWNERS") == 1
    assert "\n- Fake" not in message.text


def test_a_name_cannot_turn_the_reading_direction(book):
    book.broken("P-1", "10", customer_name="Acme \u202egpj.exe\u2066")
    assert not set("\u202e\u2066") & set(book.mail().html + book.mail().text)


def test_the_attached_file_runs_no_formula_in_a_spreadsheet(book):
    book.broken("P-1", "-5.5", customer_name='=HYPERLINK("http://evil.example";"x")', owner="@ana", reason="+1")
    row = attached_rows(book.mail())[0]
    assert row["customer_name"] == '\'=HYPERLINK("http://evil.example";"x")'
    assert (row["owner"], row["reason"]) == ("'@ana", "'+1")
    assert row["amount"] == "-5.50"


def test_a_long_list_is_cut_in_the_mail_but_complete_in_the_file_and_the_totals(book):
    for number in range(LINES_PER_LIST + 2):
        book.broken(f"P-{number:03}", "1")
    message = book.mail()
    assert "and 2 more, in the attached file" in message.text
    assert f"Total in USD: {LINES_PER_LIST + 2}.00 USD" in message.text
    assert len(attached_rows(message)) == LINES_PER_LIST + 2


def test_the_mail_does_not_block_or_change_the_published_file(book):
    book.broken("P-1", "10")
    path = book.settings.current_build("acme") / "ptp.duckdb"
    before = path.read_bytes()
    book.mail()
    assert path.read_bytes() == before
    assert [file.name for file in path.parent.iterdir()] == ["ptp.duckdb"]


def test_where_promises_are_followed_by_hand_the_mail_is_about_plans_and_says_so(book):
    book.broken("P-1", "100.00").broken("PL-1", "70.00", kind="plan")
    book.due("R-1", "30.00", DAY, "due_today", kind="repeating_promise")
    mail = book.mail(policy=BY_HAND)
    assert mail.subject.startswith("[acme] 1 installment broke today (plans only)")
    for body in (mail.text, mail.html):
        assert "PL-1" in body
        assert "Promises are followed by hand: 2 installments of promises not listed." in body
        assert "P-1," not in body.replace("PL-1,", "")
        assert "R-1" not in body
    (attached,) = mail.attachments
    assert b"P-1" not in attached.content


def test_where_promises_are_followed_by_hand_broken_ones_are_not_said_to_have_arrived(book):
    mail = book.broken("P-1", "100.00").mail(policy=BY_HAND)
    assert "Nothing broke (plans only)" in mail.subject
    assert "Nothing of a plan is missing, and none falls due in the next 3 days." in mail.text
    assert "1 installment of promises not listed" in mail.text
    assert mail.attachments == ()
