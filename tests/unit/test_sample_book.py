"""The committed sample book is what its generator writes, and holds every messy case its README promises."""

import csv
import importlib.util
import io
import json
import re
import sys
from collections import Counter
from pathlib import Path
from types import ModuleType

import pytest

SAMPLE = Path(__file__).resolve().parents[2] / "data" / "sample"


def generator() -> ModuleType:
    spec = importlib.util.spec_from_file_location("sample_generate", SAMPLE / "generate.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up by name
    spec.loader.exec_module(module)
    return module


def written(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.suffix in (".csv", ".json")}


def lines(feed: str, name: str) -> list[str]:
    return (SAMPLE / feed / name).read_text(encoding="utf-8").splitlines()


def read(path: Path) -> list[dict[str, str]]:
    text = "\n".join(line for line in path.read_text(encoding="utf-8-sig").splitlines() if line.strip())
    return list(csv.DictReader(io.StringIO(text)))


def rows(feed: str) -> list[dict[str, str]]:
    """Every row of a feed but those of the files that are sent twice."""
    paths = [p for p in sorted((SAMPLE / feed).glob("*.csv")) if not p.stem.endswith(("copy", "reordered"))]
    return [row for path in paths for row in read(path)]


@pytest.fixture(scope="module")
def payments() -> list[dict[str, str]]:
    return rows("payments")


@pytest.fixture(scope="module")
def commitments() -> dict[str, dict[str, str]]:
    return {row["commitment_id"]: row for row in rows("commitments")}


def test_writing_it_again_gives_the_same_bytes(tmp_path: Path) -> None:
    generator().main(tmp_path)
    assert written(tmp_path) == written(SAMPLE)


def test_it_has_the_size_the_readme_says(payments, commitments) -> None:
    good = {row["payment_id"] for row in payments if not row["payment_id"].startswith("PMT-900")}
    assert len(good - {""}) + sum(row["payment_id"] == "" for row in payments) == 902
    assert Counter(row["kind"] for row in commitments.values()) == {"promise": 55, "repeating_promise": 32, "plan": 34, "pledge": 1}
    assert len({row["invoice_id"] for row in rows("invoices")} - {"INV-29999"}) == 500
    assert len({row["customer_id"] for row in rows("invoices")}) == 150
    assert len(rows("contacts")) == 296


def test_every_frequency_and_every_term_occurs(commitments) -> None:
    assert {row["frequency"] for row in commitments.values()} == {
        "once", "weekly", "biweekly", "semimonthly", "monthly", "quarterly", "custom",
    }  # fmt: skip
    for term in ("down_payment", "discount", "grace_days"):
        assert sum(row[term] not in ("", "0.00") for row in commitments.values()) >= 5
    assert {row["overpayment_rule"] for row in commitments.values()} <= {"", "next", None}
    assert len({row["owner"] for row in commitments.values()}) == 5
    assert {row["currency"] for row in commitments.values()} == {"USD", "EUR"}


def test_the_same_file_is_there_as_the_same_bytes_and_as_the_same_rows() -> None:
    folder = SAMPLE / "payments"
    assert (folder / "payments_2026-03.csv").read_bytes() == (folder / "payments_2026-03_copy.csv").read_bytes()
    april, reordered = lines("payments", "payments_2026-04.csv"), lines("payments", "payments_2026-04_reordered.csv")
    assert april != reordered
    assert sorted(april) == sorted(reordered)


def test_rows_repeat_across_files_and_one_id_comes_with_another_amount() -> None:
    february, march = read(SAMPLE / "payments/payments_2026-02.csv"), read(SAMPLE / "payments/payments_2026-03.csv")
    assert sum(row in february for row in march) == 3
    last = read(SAMPLE / "payments/payments_2026-05.csv")[-1]
    (first,) = [row for row in read(SAMPLE / "payments/payments_2026-04.csv") if row["payment_id"] == last["payment_id"]]
    assert first["amount"] != last["amount"]
    repeated = Counter(row["commitment_id"] for row in rows("commitments"))
    assert [count for count in repeated.values() if count > 1] == [2]


def test_one_file_has_blank_lines_and_one_a_mark_and_windows_line_ends() -> None:
    assert any(not line.strip() for line in lines("payments", "payments_2026-02.csv"))
    may = (SAMPLE / "payments/payments_2026-05.csv").read_bytes()
    assert may.startswith(b"\xef\xbb\xbf")
    assert b"\r\n" in may


@pytest.mark.parametrize(
    ("name", "line"),
    [
        ("payments_2026-02", "PMT-900201,CUST-0004,31/02/2026,"),
        ("payments_2026-02", "PMT-900202,CUST-0004,2026-02-31,"),
        ("payments_2026-03", 'PMT-900301,CUST-0005,2026-03-05,"1.234,56",'),
        ("payments_2026-03", "PMT-900302,CUST-0005,2026-03-05,abc,"),
        ("payments_2026-04", "PMT-900401,CUST-0006,2026-04-07,-250.00,"),
        ("payments_2026-04", "PMT-900402,CUST-0006,2026-04-07,250.00,USD,adjustment,"),
        ("payments_2026-04", "PMT-900403,CUST-0006,2026-04-07,12.345,"),
        ("payments_2026-05", "PMT-900501,,2026-05-06,"),
        ("payments_2026-05", "PMT-900502,CUST-0007,2026-05-06,99.00,USB,"),
        ("payments_2026-05", "PMT-900503,CUST-0007,2026-05-06,99.00,USD,payment,,,,one field,too,many"),
        ("payments_2026-06_01-26", "PMT-900601,CUST-0007,2026-06-11,0.00,"),
        ("payments_2026-06_01-26", "PMT-900602,CUST-0007,,45.00,"),
        ("payments_2026-03", ",CUST-9001,"),
        ("payments_2026-06_01-26", ",USD,reversal,PMT-999999,"),
    ],
)
def test_every_bad_or_strange_payment_line_is_there(name: str, line: str) -> None:
    assert any(line in text for text in lines("payments", f"{name}.csv"))


def test_bad_rows_are_in_the_other_feeds_too(commitments) -> None:
    assert any("INV-29999" in line and "2026-04-31" in line for line in lines("invoices", "invoices_2026-04.csv"))
    assert commitments["PTP-9001"]["kind"] == "pledge"
    assert commitments["PTP-9002"]["first_due_date"] == "2026-02-30"


def test_two_identical_payments_have_no_id(payments) -> None:
    twins = [row for row in payments if not row["payment_id"]]
    assert len(twins) == 2
    assert twins[0] == twins[1]


def test_reversals_come_after_the_verdict_and_name_what_they_take_back(payments) -> None:
    by_id = {row["payment_id"]: row for row in payments}
    reversals = [row for row in payments if row["kind"] == "reversal"]
    known = [(by_id[row["reverses_payment_id"]], row) for row in reversals if row["reverses_payment_id"] in by_id]
    assert len(reversals) == len(known) + 1
    assert all(paid["received_date"] < back["received_date"] for paid, back in known)
    assert any(float(back["amount"]) < float(paid["amount"]) for paid, back in known)


def test_a_payment_of_april_arrives_in_june() -> None:
    june = read(SAMPLE / "payments/payments_2026-06_01-26.csv")
    assert any(row["received_date"] == "2026-04-15" for row in june)
    last = read(SAMPLE / "payments/payments_2026-06_29-30.csv")
    assert {row["received_date"] for row in last} == {"2026-06-29", "2026-06-30"}


def test_what_breaks_on_30_june_is_there(commitments, payments) -> None:
    due = [c for c in commitments.values() if c["first_due_date"] in ("2026-06-27", "2026-06-29") and not c["grace_days"]]
    paid_customers = {row["customer_id"] for row in payments}
    assert sum(c["customer_id"] not in paid_customers for c in due) >= 4


def test_custom_schedules_add_up_but_for_one(commitments) -> None:
    listed: Counter[str] = Counter()
    for row in rows("installments"):
        listed[row["commitment_id"]] += round(float(row["amount"]) * 100)
    payable = {c: round(100 * (float(commitments[c]["amount"]) - float(commitments[c]["discount"] or 0))) for c in listed}
    assert [c for c in listed if listed[c] != payable[c]] == ["PTP-0028"]
    assert {c["commitment_id"] for c in commitments.values() if c["frequency"] == "custom"} == set(listed)


def test_one_promise_comes_under_two_ids(commitments) -> None:
    one, other = ({**commitments[c], "commitment_id": "", "note": ""} for c in ("PTP-0021", "PTP-0022"))
    same = ("customer_id", "amount", "first_due_date", "invoice_ids", "currency")
    assert [one[column] for column in same] == [other[column] for column in same]


def test_actions_are_about_what_is_in_the_book(commitments, payments) -> None:
    actions = json.loads((SAMPLE / "actions.json").read_text(encoding="utf-8"))
    assert Counter(a["action"] for a in actions) == {"reject": 1, "renegotiate": 5, "cancel": 3, "override": 2}
    known = {row["payment_id"] for row in payments}
    for action in actions:
        assert action["reason"]
        assert action.get("commitment_id") is None or action["commitment_id"] in commitments
        assert action.get("payment_id", "PMT-000001") in known
        if terms := action.get("terms"):
            assert terms["kind"] == commitments[action["commitment_id"]]["kind"]
            assert terms["agreed_on"] > commitments[action["commitment_id"]]["agreed_on"]


def test_the_readme_names_only_what_exists(commitments, payments) -> None:
    text = (SAMPLE / "README.md").read_text(encoding="utf-8")
    known = set(commitments) | {row["payment_id"] for row in payments} | {row["reverses_payment_id"] for row in payments}
    assert set(re.findall(r"(?:PTP|PMT)-\d+", text)) <= known
    assert all((SAMPLE / "payments" / name).exists() for name in re.findall(r"`(payments_\S+\.csv)`", text))
