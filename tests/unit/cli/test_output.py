"""How results look."""

import datetime as dt
import json
from decimal import Decimal

import pytest

from ptp_pipeline.cli import output


def test_piped_tables_are_aligned_text_with_numbers_on_the_right(capsys: pytest.CaptureFixture[str]) -> None:
    output.table(["customer", "missing"], [["Alder Foods", "1,250.00 USD"], ["Bo", "5.00 USD"]])
    assert capsys.readouterr().out.splitlines() == [
        "customer          missing",
        "Alder Foods  1,250.00 USD",
        "Bo               5.00 USD",
    ]


def test_an_empty_table_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    output.table(["customer"], [], "Nobody.")
    assert capsys.readouterr().out == "Nobody.\n"


@pytest.mark.parametrize(
    ("name", "shown"), [("a\x1b[31mb", "a [31mb"), ("two\nlines", "two lines"), ("left\u202eright", "left right"), ("Müller", "Müller")]
)
def test_a_customer_name_cannot_steer_the_terminal(name: str, shown: str) -> None:
    assert output.visible(name) == shown


@pytest.mark.parametrize(
    ("amount", "currency", "shown"),
    [("1234.500", "USD", "1,234.50 USD"), ("1234.000", "JPY", "1,234 JPY"), ("-0.125", "KWD", "-0.125 KWD"), (None, "USD", "")],
)
def test_published_money_is_shown_with_the_decimals_of_its_currency(amount: str | None, currency: str, shown: str) -> None:
    assert output.money(None if amount is None else Decimal(amount), currency) == shown


def test_json_keeps_money_exact_and_dates_readable(capsys: pytest.CaptureFixture[str]) -> None:
    output.print_json({"amount": Decimal("0.100"), "due": dt.date(2026, 7, 1), "at": dt.datetime(2026, 7, 1, 6, 0, tzinfo=dt.UTC)})
    assert json.loads(capsys.readouterr().out) == {"amount": "0.100", "due": "2026-07-01", "at": "2026-07-01T06:00:00+00:00"}


def test_money_in_json_has_the_decimals_of_the_currency_beside_it(capsys: pytest.CaptureFixture[str]) -> None:
    published = Decimal("12.500")
    rows = [{"currency": currency, "paid_amount": published, "kept_rate": Decimal("0.5000")} for currency in ("USD", "KWD")]
    output.print_json({"rows": rows, "amount": published})
    assert json.loads(capsys.readouterr().out) == {
        "rows": [
            {"currency": "USD", "paid_amount": "12.50", "kept_rate": "0.5000"},
            {"currency": "KWD", "paid_amount": "12.500", "kept_rate": "0.5000"},
        ],
        "amount": "12.500",
    }
