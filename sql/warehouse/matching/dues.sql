-- grain: one row per installment of a version that was ever in force
-- description: What money can be applied to, numbered in the order in which it is: oldest due first.
-- columns:
--   installment_key: number of the installment in order of (due_date, commitment_id, sequence)
--   version_key: version it belongs to
--   sequence: place in the schedule
--   due_date: date after the business-day rule
--   is_down_payment: whether it is the down payment of a plan
--   amount_minor: amount (minor units)
-- keep: no
select
    row_number() over (order by i.due_date, i.commitment_id, i.sequence, i.version) as installment_key,
    v.version_key,
    i.sequence,
    i.due_date,
    i.is_down_payment,
    i.amount_minor,
from core.installments as i
inner join matching.version_keys as v on i.commitment_id = v.commitment_id and i.version = v.version
