"""Calendar codes: what is closed when, and what people are told when a code is wrong."""

import datetime as dt

import pytest

from ptp_pipeline.domain.calendar import business_time, calendar_code, holidays_between, weekend_days

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


OFFICE = (dt.time(9), dt.time(17))


@pytest.mark.parametrize(
    ("start", "end", "calendar", "hours"),
    [
        ("2026-03-02T10:00-05:00", "2026-03-02T12:30-05:00", "weekends", 2.5),
        ("2026-03-02T03:00-05:00", "2026-03-02T22:00-05:00", "weekends", 8),
        ("2026-03-02T18:00-05:00", "2026-03-03T08:00-05:00", "weekends", 0),
        ("2026-03-06T16:00-05:00", "2026-03-09T10:00-04:00", "weekends", 2),  # over a weekend on which the clock moves
        ("2026-03-06T16:00-05:00", "2026-03-09T10:00-04:00", "none", 18),
        ("2026-11-25T16:00-05:00", "2026-11-27T10:00-05:00", "US", 2),  # Thanksgiving
        ("2026-03-03T02:00+00:00", "2026-03-03T15:00+00:00", "weekends", 1),  # Monday evening to Tuesday morning in New York
        ("2026-03-02T12:00-05:00", "2026-03-02T11:00-05:00", "weekends", 0),
    ],
)
def test_business_time_counts_office_hours_of_open_days_where_the_org_is(start: str, end: str, calendar: str, hours: float) -> None:
    spent = business_time(dt.datetime.fromisoformat(start), dt.datetime.fromisoformat(end), calendar, "America/New_York", OFFICE)
    assert spent == dt.timedelta(hours=hours)
