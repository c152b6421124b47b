"""Calendar codes: what is closed when, and what people are told when a code is wrong."""

import datetime as dt

import pytest

from ptp_pipeline.domain.calendar import calendar_code, holidays_between, weekend_days

YEAR = (dt.date(2026, 1, 1), dt.date(2026, 12, 31))


@pytest.mark.parametrize("code", ["", "none", "None", " "])
def test_no_calendar_means_every_day_is_open(code: str) -> None:
    assert weekend_days(code) == set()
    assert holidays_between(code, *YEAR) == []


def test_weekends_alone_close_saturdays_and_sundays_and_no_holiday() -> None:
    assert weekend_days("weekends") == {6, 7}
    assert holidays_between("weekends", *YEAR) == []


def test_a_country_has_its_public_holidays_in_order() -> None:
    found = holidays_between("US", *YEAR)
    assert (dt.date(2026, 11, 26), "Thanksgiving Day") in found
    assert found == sorted(found)


def test_a_range_includes_both_its_ends_and_nothing_outside() -> None:
    christmas = dt.date(2026, 12, 25)
    assert [d for d, _ in holidays_between("US", christmas, christmas)] == [christmas]
    assert holidays_between("US", christmas + dt.timedelta(1), christmas) == []


def test_a_region_adds_its_own_holidays() -> None:
    epiphany = dt.date(2026, 1, 6)
    assert epiphany in dict(holidays_between("DE-BY", *YEAR))
    assert epiphany not in dict(holidays_between("DE", *YEAR))


def test_plain_gb_has_the_bank_holidays_of_england() -> None:
    assert dt.date(2026, 4, 6) in dict(holidays_between("GB", *YEAR))
    assert holidays_between("GB", *YEAR) == holidays_between("GB-ENG", *YEAR)


def test_weekends_are_those_of_the_country() -> None:
    assert weekend_days("US") == {6, 7}
    assert weekend_days("IR") == {5}


def test_bank_calendars_are_known_by_their_names() -> None:
    assert dt.date(2026, 5, 1) in dict(holidays_between("ECB", *YEAR))


@pytest.mark.parametrize(("written", "code"), [("us", "US"), ("de_by", "DE-BY"), (" Weekends ", "weekends")])
def test_spelling_of_a_code_is_forgiven(written: str, code: str) -> None:
    assert calendar_code(written) == code


@pytest.mark.parametrize(
    ("wrong", "right"),
    [("USA", "US"), ("Germany", "DE"), ("UK", "GB"), ("DE-Bayern", "DE-BY"), ("US-CAL", "US-CA"), ("weekend", "weekends")],
)
def test_a_wrong_code_is_answered_with_the_nearest_right_one(wrong: str, right: str) -> None:
    with pytest.raises(ValueError, match=f"{wrong}.*{right}'"):
        weekend_days(wrong)
