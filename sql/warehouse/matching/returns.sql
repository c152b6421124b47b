-- grain: one row per payment and row that took money of it back
-- description: What went back of each payment: reversals, and the unapplied money that chargebacks and refunds took.
-- columns:
--   payment_id: payment the money came with
--   returned_by: the reversal, chargeback or refund
--   returned_on: its date
--   amount_minor: amount (minor units)
with taken as (
    select receipt_key, returned_by, returned_on, amount_minor,
    from matching.reversed_parts
    union all
    select receipt_key, returned_by, returned_on, amount_minor,
    from matching.group_returns
    where replay_id in (select group_id from matching.groups)
)

select r.payment_id, t.returned_by, t.returned_on, sum(t.amount_minor)::bigint as amount_minor,
from taken as t
inner join matching.receipts as r on t.receipt_key = r.receipt_key
group by all
