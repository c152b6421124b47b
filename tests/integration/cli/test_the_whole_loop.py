"""A small book through `ptp run`, and what the reading commands say about it."""

import csv
import io
import json
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

import pytest
from typer.testing import CliRunner

from ptp_pipeline.cli.app import app
from ptp_pipeline.ledger.connection import Ledger
from ptp_pipeline.settings import Settings
from tests.integration.cli.conftest import PASSWORD, Answer

AS_OF = "2026-06-30"
FILES = {
    "invoices/june.csv": "invoice_id,customer_id,customer_name,invoice_date,due_date,amount,open_amount\n"
    "INV-1,C-1,Alder Foods,2026-04-01,2026-05-01,400.00,400.00\n"
    "INV-2,C-2,=HYPERLINK(0),2026-05-01,2026-05-31,80.00,80.00\n",
    "commitments/june.csv": "commitment_id,kind,customer_id,agreed_on,amount,first_due_date,invoice_ids,frequency,installment_count,owner\n"
    "P-1,promise,C-1,2026-06-22,100.00,2026-06-29,INV-1,,,mia\n"
    "P-2,promise,C-2,2026-06-10,80.00,2026-06-12,INV-2,,,mia\n"
    "PL-1,plan,C-1,2026-04-20,300.00,2026-05-01,INV-1,monthly,3,mia\n",
    "payments/june.csv": "payment_id,customer_id,received_date,amount,commitment_id,reference\n"
    "PAY-1,C-2,2026-06-12,80.00,P-2,\n"
    "PAY-2,C-1,2026-05-01,100.00,PL-1,\n"
    "PAY-3,C-1,2026-06-01,abc,PL-1,\n"
    "PAY-4,C-2,2026-06-20,25.00,,a surprise\n",
    "payments/june-copy.csv": "payment_id,customer_id,received_date,amount,commitment_id,reference\n"
    "PAY-1,C-2,2026-06-12,80.00,P-2,\n"
    "PAY-2,C-1,2026-05-01,100.00,PL-1,\n"
    "PAY-3,C-1,2026-06-01,abc,PL-1,\n"
    "PAY-4,C-2,2026-06-20,25.00,,a surprise\n",
}


class Book:
    """An org with a small book, run once."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.org = f"org{uuid4().hex[:10]}"
        self.mia = ""
        self.first = self.approved = self.second = Answer(-1, "", "")
        self.environment = {"PTP_HOME": str(home), "PTP_ORG": self.org, "PTP_SETTLE_SECONDS": "0", "PTP_TOKEN": ""}

    def ptp(self, *words: str, token: str = "", stdin: str | None = None) -> Answer:
        result = CliRunner().invoke(app, list(words), input=stdin, env={**self.environment, "PTP_TOKEN": token})
        if result.exception and not isinstance(result.exception, SystemExit):
            raise result.exception
        return Answer(result.exit_code, result.stdout, result.stderr)


@pytest.fixture(scope="module")
def book(home: Path, ledger: Ledger, settings: Settings) -> Book:
    made = Book(home)
    assert made.ptp("org", "add", made.org, "alert_recipients=team@example.com", "calendar=none").code == 0
    for name, text in FILES.items():
        (settings.inbox(made.org) / name).write_text(text, encoding="utf-8")
    assert made.ptp("user", "add", "sue", "--role", "supervisor", "--password-stdin", stdin=f"{PASSWORD}\n").code == 0
    assert made.ptp("user", "add", "mia", "--role", "collector", "--password-stdin", stdin=f"{PASSWORD}\n").code == 0
    made.first = made.ptp("run", "--as-of", AS_OF, "--json")
    sue = made.ptp("user", "token", "sue", "--json").document["token"]
    made.mia = made.ptp("user", "token", "mia", "--json").document["token"]
    made.approved = made.ptp("approve", "--pending", "--reason", "review", "--yes", "--json", token=sue)
    made.second = made.ptp("run", "--as-of", AS_OF, "--json")
    return made


def test_a_run_says_what_became_of_every_file(book: Book) -> None:
    assert book.first.code == 0, book.first.out + book.first.err
    files = {f["file_name"]: f for f in book.first.document["files"]}
    assert files.keys() == {"june.csv", "june-copy.csv"}
    assert book.first.document["as_of"] == AS_OF
    rejected = [f for f in book.first.document["files"] if f["status"] == "rejected"]
    assert len(rejected) == 1
    assert "same" in rejected[0]["reason"]


def test_what_the_feed_brought_waits_and_is_approved(book: Book) -> None:
    assert [d["commitment_id"] for d in book.approved.document["decided"]] == ["PL-1"]
    assert book.second.code == 0, book.second.out + book.second.err
    assert book.second.document["files"] == []
    assert Path(book.second.document["build"]).is_dir()


def test_a_run_for_a_day_to_come_is_refused(book: Book) -> None:
    answer = book.ptp("run", "--as-of", "2099-01-01")
    assert answer.code == 3
    assert "has not come yet" in answer.err
    assert book.ptp("run", "--as-of", "tomorrow").code == 2


def test_status_says_what_broke_today_and_why(book: Book) -> None:
    found = book.ptp("status", "--json").document
    assert (found["org"], found["as_of"]) == (book.org, AS_OF)
    (broken,) = found["broken_today"]
    assert (broken["commitment_id"], broken["owner"], broken["currency"], float(broken["outstanding_amount"])) == (
        "P-1",
        "mia",
        "USD",
        100.0,
    )
    assert broken["reason"]
    assert found["counts"]["unmatched_payments"] == 1
    assert found["counts"]["quarantined"] == 1
    assert {r["status"]: r["commitments"] for r in found["by_status"]}["completed"] == 1
    text = book.ptp("status").out
    assert "Alder Foods" in text
    assert "100.00 USD" in text


def test_status_works_without_the_ledger(book: Book) -> None:
    nowhere = {**book.environment, "PTP_DATABASE_URL": "postgresql://nobody@127.0.0.1:1/none"}
    assert CliRunner().invoke(app, ["status"], env=nowhere).exit_code == 0


def test_status_before_the_first_run_says_what_to_do(book: Book) -> None:
    (book.home / "inbox" / "orgnew").mkdir(exist_ok=True)
    before = book.ptp("status", "--org", "orgnew")
    assert before.code == 1
    assert "ptp run --org orgnew" in before.err
    nobody = book.ptp("status", "--org", "nobody")
    assert nobody.code == 2
    assert book.org in nobody.err


def test_show_explains_a_commitment(book: Book) -> None:
    found = book.ptp("show", "PL-1", "--json").document
    assert found["kind"] == "commitment"
    assert [(i["sequence"], i["status"]) for i in found["installments"]] == [(1, "kept"), (2, "broken"), (3, "due_soon")]
    assert [a["payment_id"] for a in found["allocations"]] == ["PAY-2"]
    assert found["allocations"][0]["explanation"]
    assert found["versions"][0]["approved_by"] == "sue"
    assert found["transitions"]
    assert "300.00 USD" in book.ptp("show", "PL-1").out


@pytest.mark.parametrize(("object_id", "kind"), [("P-1", "commitment"), ("PAY-4", "payment"), ("INV-1", "invoice"), ("C-1", "customer")])
def test_show_finds_whatever_has_the_id(book: Book, object_id: str, kind: str) -> None:
    assert book.ptp("show", object_id, "--json").document["kind"] == kind
    assert object_id in book.ptp("show", object_id).out


def test_show_of_nothing_is_wrong_usage(book: Book) -> None:
    assert book.ptp("show", "P-404").code == 2


def test_an_export_to_csv_disarms_formulas(book: Book, tmp_path: Path) -> None:
    target = tmp_path / "invoices.csv"
    answer = book.ptp("export", "--table", "invoices", "--out", str(target), "--json")
    assert answer.code == 0, answer.err
    assert (answer.document["rows"], answer.document["file"]) == (2, str(target))
    names = {row["invoice_id"]: row["customer_name"] for row in csv.DictReader(io.StringIO(target.read_text()))}
    assert names == {"INV-1": "Alder Foods", "INV-2": "'=HYPERLINK(0)"}
    assert book.ptp("export", "--table", "invoices", "--out", "-").out == target.read_text()


def test_an_export_to_a_spreadsheet_holds_text_and_no_formula(book: Book, tmp_path: Path) -> None:
    import zipfile

    target = tmp_path / "invoices.xlsx"
    assert book.ptp("export", "--table", "invoices", "--format", "xlsx", "--out", str(target)).code == 0
    with zipfile.ZipFile(target) as sheet:
        cells = sheet.read("xl/worksheets/sheet1.xml").decode()
    assert "<f>" not in cells


def test_an_export_to_parquet_has_every_row(book: Book, tmp_path: Path) -> None:
    import polars as pl

    target = tmp_path / "payments.parquet"
    assert book.ptp("export", "--table", "payments", "--format", "parquet", "--out", str(target)).code == 0
    assert sorted(pl.read_parquet(target)["payment_id"]) == ["PAY-1", "PAY-2", "PAY-4"]


def test_a_report_is_exported_as_it_was_published(book: Book, tmp_path: Path) -> None:
    target = tmp_path / "plans.xlsx"
    assert book.ptp("export", "--report", "plan_status", "--format", "xlsx", "--out", str(target)).code == 0
    assert target.read_bytes()[:2] == b"PK"
    assert [p.name for p in tmp_path.iterdir()] == ["plans.xlsx"]


@pytest.mark.parametrize(
    "words", [(), ("--table", "x", "--report", "y"), ("--table", "secrets"), ("--report", "nothing"), ("--table", "a; drop")]
)
def test_an_export_of_nothing_known_is_wrong_usage_and_leaves_no_file(book: Book, tmp_path: Path, words: tuple[str, ...]) -> None:
    answer = book.ptp("export", *words, "--out", str(tmp_path / "x.csv"))
    assert answer.code == 2
    assert list(tmp_path.iterdir()) == []


def test_files_are_listed_shown_and_put_back(book: Book, settings: Settings) -> None:
    listed = book.ptp("files", "list", "--json").document
    assert sorted(f["status"] for f in listed) == ["accepted", "accepted", "accepted", "rejected"]
    accepted = next(f for f in listed if f["feed"] == "payments" and f["status"] == "accepted")
    shown = book.ptp("files", "show", str(accepted["file_sequence"]), "--json").document
    assert Path(shown["archived"]).is_file()
    assert [(q["column_name"], q["value"]) for q in shown["quarantine"]] == [("amount", "abc")]
    assert book.ptp("files", "show", "june.csv").code == 2
    refused = book.ptp("files", "reprocess", str(accepted["file_sequence"]))
    assert refused.code == 3
    assert "every run reads it again" in refused.err
    day = accepted["received_at"][:10]  # the org is in UTC
    assert f"policy of {day}" in refused.err
    assert f"ptp org set {book.org} feed_mappings.payments.KEY=VALUE --from {day}" in refused.err
    rejected = next(f for f in listed if f["status"] == "rejected")
    again = book.ptp("files", "reprocess", str(rejected["file_sequence"]))
    assert again.code == 0, again.err
    back = settings.inbox(book.org, "payments") / rejected["file_name"]
    assert back.read_text() == FILES[f"payments/{rejected['file_name']}"]
    back.unlink()


def test_the_mail_is_previewed_and_sent_once(book: Book, tmp_path: Path) -> None:
    seen = book.ptp("email", "preview", "--json").document
    assert seen["recipients"] == ["team@example.com"]
    assert "P-1" in seen["text"]
    html = tmp_path / "mail.html"
    assert book.ptp("email", "preview", "--out", str(html)).code == 0
    assert "P-1" in html.read_text()
    first, second = book.ptp("email", "send", "--json"), book.ptp("email", "send", "--json")
    assert (first.code, first.document["newly_queued"], first.document["sent"]) == (0, True, 1)
    assert (second.code, second.document["newly_queued"], second.document["sent"]) == (0, False, 0)
    assert [p.suffix for p in (book.home / "outbox").rglob("*.eml") if book.org in p.read_text(errors="replace")] == [".eml"]


WHY = ("--reason", "phoned the customer")


@dataclass(frozen=True)
class Acts:
    """What mia did before one more run: she logged a payment of a promise, and assigned one to a plan of somebody else."""

    logged: Answer
    row: str
    assigned: Answer


@pytest.fixture(scope="module")
def acts(book: Book) -> Acts:
    logged = book.ptp("log", "payment", "--commitment", "P-1", "--received", AS_OF, "--json", token=book.mia)
    assert logged.code == 0, logged.err
    assigned = book.ptp("match", "assign", "PAY-4", "PL-1", *WHY, "--json", token=book.mia)
    done = Acts(logged, Path(logged.document["file"]).read_text(), assigned)
    assert book.ptp("run", "--as-of", AS_OF).code == 0
    return done


def test_a_payment_by_hand_is_prefilled_with_what_is_promised_and_closes_the_promise(book: Book, acts: Acts) -> None:
    (row,) = csv.DictReader(io.StringIO(acts.row))
    assert (row["customer_id"], row["amount"], row["commitment_id"]) == ("C-1", "100.00", "P-1")
    (installment,) = book.ptp("show", "P-1", "--json").document["installments"]
    assert installment["status"] == "recovered"
    words = ("log", "payment", "--commitment", "P-1", "--amount", "100.00", "--received", AS_OF, "--json")
    again = book.ptp(*words, token=book.mia)
    assert again.code == 3
    assert f"{Path(acts.logged.document['file']).name}, received" in again.err
    second = book.ptp(*words, "--reference", "second check", token=book.mia)
    assert second.code == 0, second.err
    Path(second.document["file"]).unlink()


def test_a_person_decides_where_a_payment_belongs(book: Book, acts: Acts) -> None:
    sent = acts.assigned
    assert (sent.document["payment_id"], sent.document["commitment_id"]) == ("PAY-4", "PL-1")
    assert "PL-1 is of customer C-1 in USD, the payment of C-2" in sent.document["warnings"][0]
    refused = book.ptp("show", "PAY-4", "--json").document["payment"]
    assert refused["match_status"] == "unmatched"
    assert "another customer" in str(refused["reason"])
    assert book.ptp("match", "aside", "PAY-4", *WHY, token=book.mia).code == 0
    assert book.ptp("run", "--as-of", AS_OF).code == 0
    assert book.ptp("show", "PAY-4", "--json").document["payment"]["match_status"] == "set_aside"
    assert book.ptp("match", "assign", "PAY-404", "P-2", *WHY, token=book.mia).code == 2
    assert book.ptp("match", "assign", "PAY-4", "P-404", *WHY, token=book.mia).code == 3


def test_a_rebuild_makes_the_same_tables_again(book: Book, settings: Settings) -> None:
    before = json.loads((settings.current_build(book.org) / "build.json").read_text())["digest"]
    answer = book.ptp("rebuild", "--as-of", AS_OF, "--json")
    assert answer.code == 0, answer.err
    assert json.loads((Path(answer.document["build"]) / "build.json").read_text())["digest"] == before


def test_a_run_is_refused_while_another_one_holds_the_org(book: Book, ledger: Ledger) -> None:
    from ptp_pipeline.ledger import run_lock

    with run_lock.hold(ledger, book.org, "somebody else"):
        answer = book.ptp("rebuild", "--as-of", AS_OF)
    assert answer.code == 3
    assert "somebody else" in answer.err


def test_a_run_says_that_its_build_is_current_also_when_the_home_is_named_from_here(book: Book, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(book.home.parent)
    monkeypatch.setitem(book.environment, "PTP_HOME", book.home.name)
    said = book.ptp("run", "--as-of", AS_OF).out
    assert "Look at it: " in said
    assert "stays current" not in said
