-- grain: one row per installment of a version of core.versions
-- description: The schedule the terms of a version make, by the calendar and business-day rule of as_of. Forms and command line run this
--   same statement before anybody approves it.
-- columns:
--   commitment_id: the commitment
--   version: the version whose schedule this belongs to
--   sequence: place in the schedule, from 1; the down payment comes first
--   is_down_payment: whether it is the down payment
--   nominal_due_date: due date by the frequency, counted from the first due date, so that month ends come back (31 Jan, 28 Feb, 31 Mar)
--   due_date: nominal_due_date moved by the org's business-day rule
--   grace_days: calendar days of grace; the installment's own, else the version's, else the org's
--   amount_minor: amount due (minor units)
with params as (
    select business_day_rule, grace_days as default_grace_days from ledger.params
),

anchors as (
    select
        *,
        date_trunc('month', first_due_date)::date as anchor_month,
        day(first_due_date) as anchor_day,
        -- semimonthly: the 15th and the month end when anchored on either, else two days 15 apart
        first_due_date = last_day(first_due_date) or anchor_day = 15 as is_mid_and_end,
        if(is_mid_and_end, 15, if(anchor_day > 15, anchor_day - 15, anchor_day)) as first_half_day,
        if(is_mid_and_end, 31, first_half_day + 15) as second_half_day,
        if(anchor_day > 15, 1, 0) as anchor_half,
    from core.schedule_terms
),

periods as (
    select *, unnest(range(regular_count))::integer as k from anchors
),

regular as (
    select
        commitment_id,
        version,
        agreed_on,
        k + 1 + if(down_payment_minor > 0, 1, 0) as sequence,
        false as is_down_payment,
        (anchor_month + to_months((k + anchor_half) // 2))::date as half_month,
        case frequency
            when 'weekly' then first_due_date + 7 * k
            when 'biweekly' then first_due_date + 14 * k
            when 'semimonthly' then least(
                last_day(half_month),
                half_month + (if((k + anchor_half) % 2 = 0, first_half_day, second_half_day) - 1)::integer
            )
            when 'monthly' then (first_due_date + to_months(k))::date
            when 'quarterly' then (first_due_date + to_months(3 * k))::date
            else first_due_date
        end as nominal_due_date,
        grace_days,
        if(k = regular_count - 1, last_minor, share_minor) as amount_minor,
    from periods
),

down_payments as (
    select
        commitment_id,
        version,
        agreed_on,
        1 as sequence,
        true as is_down_payment,
        agreed_on as nominal_due_date,
        grace_days,
        down_payment_minor as amount_minor,
    from core.schedule_terms
    where down_payment_minor > 0
),

listed as (
    select commitment_id, version, agreed_on, grace_days as version_grace_days, unnest(custom_schedule) as line
    from core.versions
    where frequency = 'custom'
),

custom as (
    select
        commitment_id,
        version,
        agreed_on,
        line.sequence as sequence,
        false as is_down_payment,
        line.due_date as nominal_due_date,
        coalesce(line.grace_days, version_grace_days) as grace_days,
        line.amount_minor as amount_minor,
    from listed
),

nominal as (
    select * exclude (half_month) from regular
    union all by name
    select * from down_payments
    union all by name
    select * from custom
),

moved as (
    select
        n.*,
        c.following_business_day,
        case p.business_day_rule
            when 'following' then c.following_business_day
            when 'preceding' then c.preceding_business_day
            when 'modified_following' then if(
                month(c.following_business_day) = month(n.nominal_due_date), c.following_business_day, c.preceding_business_day
            )
            else n.nominal_due_date
        end as moved_date,
        p.default_grace_days,
    from nominal n
    join core.calendar c on c.date = n.nominal_due_date
    cross join params p
)

select
    commitment_id,
    version,
    sequence::integer as sequence,
    is_down_payment,
    nominal_due_date,
    -- money received before agreed_on does not count, so nothing may move to before it: nobody could keep it
    if(moved_date < agreed_on and nominal_due_date >= agreed_on, following_business_day, moved_date) as due_date,
    coalesce(grace_days, default_grace_days)::integer as grace_days,
    amount_minor::bigint as amount_minor,
from moved
