-- grain: one row per installment of a version of core.versions
-- description: The schedule: what is due when under each approved version, in force or not. What a person approved stays as it was
--   approved, whatever becomes of policy, of the calendar or of the statement that built it; a promise that policy approved has the
--   schedule its terms make.
-- columns:
--   commitment_id: the commitment
--   version: the version whose schedule this belongs to
--   sequence: place in the schedule, from 1; the down payment comes first
--   is_down_payment: whether it is the down payment
--   nominal_due_date: due date by the frequency, before the business-day rule
--   due_date: date on which it is due
--   grace_days: calendar days of grace
--   amount_minor: amount due (minor units)
with approved as (
    select
        commitment_id,
        version,
        down_payment_minor,
        from_json(schedule, '[["VARCHAR"]]') as lines,
        unnest(lines) as line,
        unnest(range(1, len(lines) + 1)) as sequence,
    from core.versions
    where schedule is not null
)

select
    commitment_id,
    version,
    sequence::integer as sequence,
    coalesce(down_payment_minor, 0) > 0 and sequence = 1 as is_down_payment,
    line[1]::date as nominal_due_date,
    line[2]::date as due_date,
    line[4]::integer as grace_days,
    line[3]::bigint as amount_minor,
from approved
union all
select
    s.commitment_id,
    s.version,
    s.sequence,
    s.is_down_payment,
    s.nominal_due_date,
    s.due_date,
    s.grace_days,
    s.amount_minor,
from core.scheduled s
join core.versions v using (commitment_id, version)
where v.schedule is null
