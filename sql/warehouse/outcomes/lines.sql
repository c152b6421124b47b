-- grain: one row per installment that was ever due under a version of core.versions, those added by chargebacks included
-- description: What is due and what has been paid on it, as known today.
-- keep: no
-- columns:
--   version_key: the version
--   sequence: place in the schedule
--   place: place in the order of due date and sequence, as a number that rises with it
--   is_added: whether a chargeback added it; then it may have no amount any more
--   due_date: date on which it is due
--   nominal_due_date: due date before the business-day rule
--   grace_days: calendar days of grace
--   terms_minor: amount due by the terms (minor units)
--   amount_minor: amount due, chargebacks included (minor units)
--   paid_minor: allocated to it (minor units)
--   first_on: received date of its first money
--   last_on: received date of its last money
--   full_on: received date of the money that filled it; 0001-01-01 when nothing is due, 9999-12-31 when it is not full
--   first_known_on: first date on which any money for it was known, if only until it was returned; 0001-01-01 when nothing is due
--   turned_on: last date on which its own past came to be seen differently; NULL if never
with scheduled as (
    select
        v.version_key,
        i.sequence,
        false as is_added,
        i.due_date,
        i.nominal_due_date,
        i.grace_days,
        i.amount_minor,
    from core.installments i
    join outcomes.versions v using (commitment_id, version)
    union all
    select
        version_key,
        sequence,
        true as is_added,
        min(due_date) as due_date,
        min(nominal_due_date) as nominal_due_date,
        max(grace_days) as grace_days,
        0 as amount_minor,
    from outcomes.charges
    where is_added
    group by version_key, sequence
),

charged as (
    select
        version_key,
        sequence,
        coalesce(sum(amount_minor) filter (where known_to = date '9999-12-31'), 0)::bigint as charged_minor,
    from outcomes.charges
    group by version_key, sequence
),

paid as (
    select
        version_key,
        sequence,
        sum(case when known_to = date '9999-12-31' then amount_minor end)::bigint as paid_minor,
        min(case when known_to = date '9999-12-31' then received_date end) as first_on,
        max(case when known_to = date '9999-12-31' then received_date end) as last_on,
        min(known_from) as first_known_on,
    from outcomes.receipts
    group by version_key, sequence
),

turned as (
    select version_key, sequence, max(turned_on) as turned_on from outcomes.turns group by version_key, sequence
)

select
    s.version_key,
    s.sequence,
    ((s.due_date - date '1900-01-01')::bigint << 24) + s.sequence as place,
    s.is_added,
    s.due_date,
    s.nominal_due_date,
    s.grace_days,
    s.amount_minor as terms_minor,
    s.amount_minor + coalesce(c.charged_minor, 0) as amount_minor,
    coalesce(p.paid_minor, 0) as paid_minor,
    p.first_on,
    p.last_on,
    case
        when s.amount_minor + coalesce(c.charged_minor, 0) = 0 then date '0001-01-01'
        when p.paid_minor >= s.amount_minor + coalesce(c.charged_minor, 0) then p.last_on
        else date '9999-12-31'
    end as full_on,
    case when s.amount_minor = 0 then date '0001-01-01' else p.first_known_on end as first_known_on,
    t.turned_on,
from scheduled s
left join charged c on s.version_key = c.version_key and s.sequence = c.sequence
left join turned t on s.version_key = t.version_key and s.sequence = t.sequence
left join paid p on s.version_key = p.version_key and s.sequence = p.sequence
