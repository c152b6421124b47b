"""Closed days of a business calendar, from a code such as `US`, `DE-BY` or `ECB`.

Pure: a code and a range in, dates and durations out. Which days a due date moves to is decided once, in sql/warehouse/core, which
reads the lists made here; nothing here shifts a date or knows an org.
"""

import datetime as dt
from difflib import get_close_matches
from functools import lru_cache
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

if TYPE_CHECKING:
    from holidays import HolidayBase

ALWAYS_OPEN = ("", "none")
WEEKENDS_ONLY = "weekends"
SATURDAY_AND_SUNDAY = frozenset({6, 7})

# The library's plain "GB" holds only what all four nations share: no Easter Monday, no summer bank holiday. People who
# write GB mean the bank holidays of England and Wales.
DEFAULT_REGIONS = {"GB": "ENG"}


def calendar_code(code: str) -> str:
    """The code in its one spelling. Raises ValueError, naming the nearest right code, when there is no such calendar."""
    spelled = code.strip()
    if spelled.lower() in ALWAYS_OPEN:
        return ""
    known = _known_codes()
    if found := known.get(spelled.lower().replace("_", "-")):
        return found
    raise ValueError(f"There is no calendar {code!r}. The nearest is {_nearest(spelled)!r}.")


def weekend_days(code: str) -> set[int]:
    """ISO days of the week (1 Monday … 7 Sunday) on which the calendar is closed."""
    code = calendar_code(code)
    if not code:
        return set()
    if code == WEEKENDS_ONLY:
        return set(SATURDAY_AND_SUNDAY)
    return {day + 1 for day in _library_calendar(code, 2026, 2026).weekend}


def holidays_between(code: str, start: dt.date, end: dt.date) -> list[tuple[dt.date, str]]:
    """Public holidays from `start` to `end`, both included, in order of date. Those on a weekend are among them."""
    code = calendar_code(code)
    if code in ("", WEEKENDS_ONLY) or end < start:
        return []
    found = _library_calendar(code, start.year, end.year)
    return sorted((date, name) for date, name in found.items() if start <= date <= end)


def business_time(start: dt.datetime, end: dt.datetime, code: str, timezone: str, office_hours: tuple[dt.time, dt.time]) -> dt.timedelta:
    """How much of the time between two instants fell into office hours of open days, where the org is."""
    zone = ZoneInfo(timezone)
    first, last = start.astimezone(zone), end.astimezone(zone)
    closed = {date for date, _ in holidays_between(code, first.date(), last.date())}
    weekend, spent, day = weekend_days(code), dt.timedelta(0), first.date()
    while day <= last.date():
        if day.isoweekday() not in weekend and day not in closed:
            opens, closes = (dt.datetime.combine(day, hour, zone).astimezone(dt.UTC) for hour in office_hours)
            spent += max(min(end, closes) - max(start, opens), dt.timedelta(0))
        day += dt.timedelta(days=1)
    return spent


@lru_cache(maxsize=64)
def _library_calendar(code: str, first_year: int, last_year: int) -> "HolidayBase":
    import holidays

    years = range(first_year, last_year + 1)
    if code in holidays.list_supported_financial():
        return holidays.financial_holidays(code, years=years, expand=False)
    country, _, region = code.partition("-")
    return holidays.country_holidays(country, subdiv=region or DEFAULT_REGIONS.get(country), years=years, expand=False)


@lru_cache(maxsize=1)
def _known_codes() -> dict[str, str]:
    """Every code by its lower-case spelling."""
    import holidays

    codes = [WEEKENDS_ONLY]
    for country, regions in holidays.list_supported_countries(include_aliases=False).items():
        codes += [country, *(f"{country}-{region}" for region in regions)]
    codes += holidays.list_supported_financial()
    return {code.lower(): code for code in codes}


def _nearest(code: str) -> str:
    """The right code most like a wrong one, which may be a country's name or its three letters (`Germany`, `USA`)."""
    import holidays

    country, _, region = code.lower().partition("-")
    spellings = _known_codes() | {"uk": "GB"}
    for name, (_, two_letters, three_letters, *_) in holidays.registry.COUNTRIES.items():
        spellings |= {name.replace("_", " "): two_letters, three_letters.lower(): two_letters}
    regions = [spelling for spelling in spellings if region and spelling.startswith(f"{country}-")]
    return spellings[get_close_matches(code.lower(), regions or spellings, n=1, cutoff=0.0)[0]]
