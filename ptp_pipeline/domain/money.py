"""Exact money: ISO 4217 exponents, the one parser of amounts, the one rounding rule, and how amounts read.

Money is an integer of minor units beside its currency. There are no floats here, no exchange rates and no I/O.
"""

from decimal import Decimal
from enum import StrEnum
from types import MappingProxyType

# ISO 4217 list one (currencies and funds in force, published by SIX as the maintenance agency, 1 January 2026), plus the
# withdrawn codes that books of recent years still hold. Codes without minor units in the standard (gold, test codes,
# drawing rights) are not money a customer can pay in, and are left out.
_CODES_BY_EXPONENT = {
    0: "BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX UYI VND VUV XAF XOF XPF",
    2: (
        "AED AFN ALL AMD AOA ARS AUD AWG AZN BAM BBD BDT BMD BND BOB BOV BRL BSD BTN BWP BYN BZD CAD CDF CHE CHF CHW CNY COP COU "
        "CRC CUP CVE CZK DKK DOP DZD EGP ERN ETB EUR FJD FKP GBP GEL GHS GIP GMD GTQ GYD HKD HNL HTG HUF IDR ILS INR IRR JMD KES "
        "KGS KHR KPW KYD KZT LAK LBP LKR LRD LSL MAD MDL MGA MKD MMK MNT MOP MRU MUR MVR MWK MXN MXV MYR MZN NAD NGN NIO NOK NPR "
        "NZD PAB PEN PGK PHP PKR PLN QAR RON RSD RUB SAR SBD SCR SDG SEK SGD SHP SLE SOS SRD SSP STN SVC SYP SZL THB TJS TMT TOP "
        "TRY TTD TWD TZS UAH USD USN UYU UZS VED VES WST XAD XCD XCG YER ZAR ZMW ZWG "
        "ANG BGN CUC HRK SLL ZWL"  # withdrawn: ANG 2025, BGN 2026, CUC 2021, HRK 2023, SLL 2024, ZWL 2024
    ),
    3: "BHD IQD JOD KWD LYD OMR TND",
    4: "CLF UYW",
}
EXPONENTS = MappingProxyType({code: exponent for exponent, codes in _CODES_BY_EXPONENT.items() for code in codes.split()})

MAX_MINOR = 10**15  # ten trillion in cents: far beyond any receivable, and sums of a million of them still fit DECIMAL(38)
PUBLISHED_SCALE = 3  # published money is DECIMAL(18,3); CLF and UYW are finer, but they are units of account


class BadAmount(StrEnum):
    """Why a text is not an amount. The values are the rule names of the quarantine."""

    FORMAT = "amount_format"
    PRECISION = "amount_precision"
    TOO_LARGE = "amount_too_large"
    CURRENCY = "currency"


class UnknownCurrencyError(ValueError):
    """A currency code that ISO 4217 does not have, or that has no minor units."""


def exponent(currency: str) -> int:
    """Number of decimals of a currency: 2 for USD, 0 for JPY, 3 for KWD."""
    try:
        return EXPONENTS[currency]
    except KeyError:
        raise UnknownCurrencyError(f"{currency!r} is not an ISO 4217 currency code") from None


def is_payable(currency: str) -> bool:
    """Whether customers can owe and pay in it: known, and no finer than what we publish."""
    return EXPONENTS.get(currency, PUBLISHED_SCALE + 1) <= PUBLISHED_SCALE


def round_ratio(numerator: int, denominator: int) -> int:
    """numerator / denominator as the nearest integer, halves away from zero. The only rounding of money in ptp.

    Written on integers because the libraries disagree on halves: Polars rounds them to even, DuckDB away from zero.
    """
    if denominator == 0:
        raise ZeroDivisionError("round_ratio: denominator is zero")
    sign = -1 if (numerator < 0) != (denominator < 0) else 1
    return sign * ((2 * abs(numerator) + abs(denominator)) // (2 * abs(denominator)))


def parse_amount(text: str, currency: str, *, decimal: str | None = None, is_rounding: bool = False) -> int | BadAmount:
    """An amount as minor units, or the reason why it is none. A leading minus is allowed: whether it makes sense is the caller's rule.

    Without `decimal` only plain `1234.56` is an amount. With `decimal` set to `.` or `,` the other one may separate
    thousands, in groups of three. Decimals beyond the currency's minor units are refused unless they are zeros, or
    rounded when `is_rounding`.
    """
    if currency not in EXPONENTS:
        return BadAmount.CURRENCY
    plain = _plain(text.strip(), decimal)
    if plain is None:
        return BadAmount.FORMAT
    is_negative, whole, fraction = plain
    fraction = fraction.rstrip("0")
    digits = EXPONENTS[currency]
    if len(fraction) > digits and not is_rounding:
        return BadAmount.PRECISION
    if len(whole.lstrip("0")) > len(str(MAX_MINOR)):  # also keeps absurd inputs from becoming absurd integers
        return BadAmount.TOO_LARGE
    fine = max(len(fraction), digits)
    minor = round_ratio(int(whole + fraction.ljust(fine, "0")), 10 ** (fine - digits))
    if minor > MAX_MINOR:
        return BadAmount.TOO_LARGE
    return -minor if is_negative else minor


def _plain(text: str, decimal: str | None) -> tuple[bool, str, str] | None:
    """(is negative, whole digits, fraction digits), or None when the text is no number."""
    is_negative = text.startswith("-")
    whole, point, fraction = text.removeprefix("-").partition(decimal or ".")
    if decimal is not None:
        first, *groups = whole.split("." if decimal == "," else ",")
        if groups and (not 1 <= len(first) <= 3 or any(len(group) != 3 for group in groups)):  # noqa: PLR2004 - thousands
            return None
        whole = "".join([first, *groups])
    if not _is_digits(whole) or (point and not _is_digits(fraction)):
        return None
    return is_negative, whole, fraction


def _is_digits(text: str) -> bool:
    return text.isascii() and text.isdigit()


def to_decimal(minor: int, currency: str) -> Decimal:
    """Major units, with exactly the currency's decimals."""
    return Decimal(minor).scaleb(-exponent(currency))


def to_minor(major: Decimal, currency: str) -> int:
    """Minor units of an exact amount. Raises ValueError when it is finer than the currency: nothing is rounded here."""
    scaled = major.scaleb(exponent(currency))
    if scaled != scaled.to_integral_value():
        raise ValueError(f"{major} is finer than the smallest unit of {currency}")
    return int(scaled)


def format_plain(minor: int, currency: str) -> str:
    """For files: `1234.56`."""
    return f"{to_decimal(minor, currency):f}"


def format_amount(minor: int, currency: str) -> str:
    """For people: `1,234.56 USD`."""
    return f"{to_decimal(minor, currency):,f} {currency}"


def split_evenly(total: int, parts: int) -> list[int]:
    """`total` in `parts` equal shares, rounded down, the odd units on the last."""
    if total < 0 or parts < 1:
        raise ValueError(f"cannot split {total} into {parts} parts")
    share = total // parts
    return [share] * (parts - 1) + [total - share * (parts - 1)]
