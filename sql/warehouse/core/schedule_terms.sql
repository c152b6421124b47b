-- grain: one row per version of core.versions that is not a custom schedule
-- description: The arithmetic of a schedule before its dates: how many installments, how much each, where they are anchored.
-- keep: no
-- columns:
--   commitment_id: the commitment
--   version: the version
--   down_payment_minor: first installment, due on agreed_on; 0 for none (minor units)
--   agreed_on: date of the down payment
--   frequency: once, weekly, biweekly, semimonthly, monthly or quarterly
--   first_due_date: anchor, nominal due date of the first installment after the down payment
--   regular_count: number of installments after the down payment
--   share_minor: amount of each but the last (minor units)
--   last_minor: amount of the last, with the odd cents or the remainder (minor units)
--   grace_days: days of grace agreed for this version; NULL for the org's policy
with payable as (
    select
        *,
        total_minor - discount_minor - down_payment_minor as rest_minor,
        greatest(1, case
            when frequency = 'once' then 1
            when kind = 'promise' then 1
            -- the last period of a repeating promise takes what is left of the debt
            when kind = 'repeating_promise' then (total_minor + amount_minor - 1) // amount_minor
            else installment_count
        end) as regular_count,
    from (
        select * replace (coalesce(discount_minor, 0) as discount_minor, coalesce(down_payment_minor, 0) as down_payment_minor)
        from core.versions
    )
    where frequency <> 'custom'
),

shared as (
    select
        *,
        case when kind = 'repeating_promise' then amount_minor else rest_minor // regular_count end as share_minor,
    from payable
)

select
    commitment_id,
    version,
    down_payment_minor,
    agreed_on,
    frequency,
    first_due_date,
    regular_count,
    share_minor,
    rest_minor - share_minor * (regular_count - 1) as last_minor,
    grace_days,
from shared
