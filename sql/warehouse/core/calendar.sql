-- grain: one row per date
-- description: The org's business calendar: which days are open, where a closed one moves to, and a running number that
--   turns business days between two dates into a subtraction.
-- columns:
--   date: the date
--   is_business_day: whether it is neither a weekend day nor a holiday of the org's calendar
--   following_business_day: the date itself when open, else the next open one
--   preceding_business_day: the date itself when open, else the last open one before it
--   business_day_number: number of business days up to and including the date, from the start of the calendar
with dates as (
    select unnest(generate_series(first_date, last_date, interval 1 day))::date as date from core.calendar_range
),

opened as (
    select
        date,
        isodow(date) not in (select iso_dow from ledger.weekend)
        and date not in (select date from ledger.holidays) as is_business_day,
    from dates
)

select
    date,
    is_business_day,
    -- a calendar that is never open leaves dates where they are
    coalesce(
        min(date) filter (where is_business_day) over (order by date rows between current row and unbounded following), date
    ) as following_business_day,
    coalesce(
        max(date) filter (where is_business_day) over (order by date rows between unbounded preceding and current row), date
    ) as preceding_business_day,
    count(*) filter (where is_business_day) over (order by date rows between unbounded preceding and current row) as business_day_number,
from opened
