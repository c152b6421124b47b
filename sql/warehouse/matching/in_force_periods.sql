-- grain: one row per customer, currency and date on which a version begins or ends
-- description: How many versions are in force from each change to the next. Running totals instead of a join of payments with versions:
--   one customer may hold a quarter of the book.
-- columns:
--   period_key: number of the period
--   account_key: customer and currency
--   starts_on: first day of the period
--   in_force_count: versions in force during the period
--   only_version_key: the version in force, when there is exactly one
-- keep: no
with changes as (
    select account_key, effective_from as starts_on, 1 as change, version_key as key_change,
    from matching.version_keys
    union all
    select account_key, effective_to, -1, -version_key,
    from matching.version_keys
    where effective_to is not null
),

by_day as (
    select account_key, starts_on, sum(change) as change, sum(key_change) as key_change,
    from changes
    group by all
),

running as (
    select
        account_key,
        starts_on,
        sum(change) over running_total as in_force_count,
        sum(key_change) over running_total as key_sum,
    from by_day
    window running_total as (partition by account_key order by starts_on rows unbounded preceding)
)

select
    row_number() over (order by account_key, starts_on) as period_key,
    account_key,
    starts_on,
    in_force_count::bigint as in_force_count,
    case when in_force_count = 1 then key_sum::bigint end as only_version_key,
from running
