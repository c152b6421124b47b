-- grain: one row
-- description: The dates the calendar has to cover: every business date of the book with room for the business-day rule
--   and the ladder on both sides.
-- keep: no
-- columns:
--   first_date: first date of the calendar
--   last_date: last date of the calendar
with spans as (
    select
        least(agreed_on, first_due_date) as first_date,
        -- the longest a period of each frequency can be, times the number of periods
        first_due_date + (regular_count * case frequency
            when 'weekly' then 7
            when 'biweekly' then 14
            when 'semimonthly' then 16
            when 'monthly' then 31
            when 'quarterly' then 92
            else 0
        end)::integer as last_date,
    from core.schedule_terms
    union all by name
    select
        list_min([agreed_on] || [s.due_date for s in custom_schedule]) as first_date,
        list_max([agreed_on] || [s.due_date for s in custom_schedule]) as last_date,
    from core.versions
    where frequency = 'custom'
    union all by name
    select min(received_date) as first_date, max(received_date) as last_date from raw.payments
    union all by name
    select as_of as first_date, as_of as last_date from ledger.params
)

select
    min(first_date) - 60 as first_date,
    max(last_date) + 400 as last_date,
from spans
