-- grain: one row per installment of a candidate version with something left to pay
-- description: What a payment could pay there, chargebacks included.
-- columns:
--   commitment_id: commitment
--   version: version
--   sequence: installment
--   due_date: due date
--   amount_minor: amount of the installment (minor units)
--   open_minor: what is left to pay on it (minor units)
-- keep: no
with candidates as (
    select distinct commitment_id, version,
    from matching.suggestion_candidates
),

lines as (
    select i.commitment_id, i.version, i.sequence, i.due_date, i.amount_minor,
    from core.installments as i
    semi join candidates as c on i.commitment_id = c.commitment_id and i.version = c.version
    union all
    select d.commitment_id, d.version, d.sequence, d.due_date, d.amount_minor,
    from matching.debits as d
    semi join candidates as c on d.commitment_id = c.commitment_id and d.version = c.version
    where d.valid_to is null
),

due as (
    select commitment_id, version, sequence, min(due_date) as due_date, sum(amount_minor)::bigint as amount_minor,
    from lines
    group by all
),

paid as (
    select a.commitment_id, a.version, a.sequence, sum(a.amount_minor)::bigint as amount_minor,
    from matching.allocations as a
    semi join candidates as c on a.commitment_id = c.commitment_id and a.version = c.version
    group by all
)

select
    d.commitment_id,
    d.version,
    d.sequence,
    d.due_date,
    d.amount_minor,
    d.amount_minor - coalesce(p.amount_minor, 0) as open_minor,
from due as d
left join paid as p on d.commitment_id = p.commitment_id and d.version = p.version and d.sequence = p.sequence
where d.amount_minor > coalesce(p.amount_minor, 0)
