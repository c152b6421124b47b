"""Money is exact: parsing, rounding, formatting and splitting, against Decimal as the oracle."""

from decimal import ROUND_HALF_UP, Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ptp_pipeline.domain import money
from ptp_pipeline.domain.money import BadAmount

currencies = st.sampled_from(sorted(money.EXPONENTS))
minors = st.integers(-money.MAX_MINOR, money.MAX_MINOR)


def test_exponents_follow_iso_4217():
    assert [money.exponent(c) for c in ("USD", "EUR", "JPY", "KWD", "CLF")] == [2, 2, 0, 3, 4]
    assert len(money.EXPONENTS) == 17 + 139 + 7 + 2 + 6
    assert {"XAU", "XTS", "XXX", "XDR"}.isdisjoint(money.EXPONENTS)


def test_units_of_account_finer_than_published_money_are_not_payable():
    assert not money.is_payable("CLF")
    assert not money.is_payable("ABC")
    assert money.is_payable("KWD")


def test_an_unknown_currency_is_named():
    with pytest.raises(money.UnknownCurrencyError, match="'EURO' is not an ISO 4217"):
        money.exponent("EURO")


@pytest.mark.parametrize(
    ("text", "currency", "minor"),
    [
        ("1234.56", "USD", 123456),
        ("1234.5", "USD", 123450),
        ("1234", "USD", 123400),
        ("0012.00", "USD", 1200),
        (" 7.10 ", "USD", 710),
        ("-3.00", "USD", -300),
        ("0", "USD", 0),
        ("1500", "JPY", 1500),
        ("1500.00", "JPY", 1500),
        ("1.234", "KWD", 1234),
        ("1.2340000", "KWD", 1234),
        ("10000000000000.00", "USD", money.MAX_MINOR),
    ],
)
def test_plain_amounts_are_read_exactly(text, currency, minor):
    assert money.parse_amount(text, currency) == minor


@pytest.mark.parametrize(
    "text",
    ["abc", "", "-", ".", "1.", ".5", "1,234.56", "1.234,56", "1 234", "1e3", "+5", "--5", "0x1f", "١٢", "1_000", "NaN", "$5", "(5.00)"],
)
def test_anything_but_a_plain_number_is_refused(text):
    assert money.parse_amount(text, "USD") is BadAmount.FORMAT


def test_finer_than_the_currency_is_refused_unless_the_mapping_rounds():
    assert money.parse_amount("10.005", "USD") is BadAmount.PRECISION
    assert money.parse_amount("10.005", "USD", is_rounding=True) == 1001
    assert money.parse_amount("-10.005", "USD", is_rounding=True) == -1001
    assert money.parse_amount("10.5", "JPY") is BadAmount.PRECISION


def test_the_limit_is_inclusive_and_absurd_lengths_stay_cheap():
    assert money.parse_amount("10000000000000.01", "USD") is BadAmount.TOO_LARGE
    assert money.parse_amount("9" * 5000, "USD") is BadAmount.TOO_LARGE


@pytest.mark.parametrize(
    ("text", "decimal", "minor"),
    [("1.234,56", ",", 123456), ("1234,5", ",", 123450), ("1,234.56", ".", 123456), ("1,234,567", ".", 123456700), ("1.234", ",", 123400)],
)
def test_thousands_are_grouped_only_when_the_mapping_names_the_decimal_sign(text, decimal, minor):
    assert money.parse_amount(text, "USD", decimal=decimal) == minor


@pytest.mark.parametrize(("text", "decimal"), [("12.34", ","), ("1.23.456", ","), ("1,23.00", "."), (",123", "."), ("1234,567.00", ".")])
def test_misplaced_thousands_are_refused(text, decimal):
    assert money.parse_amount(text, "USD", decimal=decimal) is BadAmount.FORMAT


@given(minors, currencies)
def test_what_is_written_is_read_back(minor, currency):
    text = money.format_plain(minor, currency)
    assert money.parse_amount(text, currency) == minor
    assert money.to_minor(money.to_decimal(minor, currency), currency) == minor
    assert money.format_amount(minor, currency) == f"{Decimal(text):,} {currency}"


@given(st.decimals(-(10**9), 10**9, places=6), currencies)
def test_rounding_is_half_away_from_zero(value, currency):
    exact = value.scaleb(money.exponent(currency))
    assert money.parse_amount(f"{value:f}", currency, is_rounding=True) == int(exact.quantize(Decimal(1), ROUND_HALF_UP))


@given(st.integers(), st.integers().filter(bool))
def test_round_ratio_is_symmetric_and_never_more_than_half_a_unit_off(numerator, denominator):
    rounded = money.round_ratio(numerator, denominator)
    assert money.round_ratio(-numerator, denominator) == -rounded
    assert 2 * abs(rounded * denominator - numerator) <= abs(denominator)


def test_halves_go_away_from_zero():
    assert [money.round_ratio(n, 2) for n in (-3, -1, 1, 3)] == [-2, -1, 1, 2]
    with pytest.raises(ZeroDivisionError):
        money.round_ratio(1, 0)


@given(st.text(max_size=30), currencies)
def test_no_text_breaks_the_parser(text, currency):
    assert isinstance(money.parse_amount(text, currency), int | BadAmount)


@given(st.integers(0, money.MAX_MINOR), st.integers(1, 400))
def test_shares_add_up_and_only_the_last_is_odd(total, parts):
    shares = money.split_evenly(total, parts)
    assert sum(shares) == total
    assert set(shares[:-1]) <= {total // parts}
    assert shares[-1] >= total // parts


def test_splitting_nothing_into_no_parts_is_refused():
    with pytest.raises(ValueError, match="0 parts"):
        money.split_evenly(5, 0)


def test_an_amount_finer_than_its_currency_is_never_rounded_silently():
    with pytest.raises(ValueError, match="finer"):
        money.to_minor(Decimal("0.5"), "JPY")
