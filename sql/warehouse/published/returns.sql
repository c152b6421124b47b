-- grain: one row per payment and row that took money of it back
-- description: What went back of each payment, whichever way: reversals, and unapplied money that chargebacks and refunds took.
-- scope: customer_id
-- columns:
--   payment_id: the payment the money came with
--   returned_by: row of the payments feed that took it back
--   kind: reversal, chargeback or refund
--   customer_id: the customer
--   currency: ISO 4217 code
--   amount: amount that went back
--   returned_on: date on which it did
select
    r.payment_id,
    r.returned_by,
    p.kind,
    p.customer_id,
    p.currency,
    (r.amount_minor * s.unit)::decimal(18, 3) as amount,
    r.returned_on,
from matching.returns r
join raw.payments p on r.returned_by = p.payment_id
join published.scales s on p.currency = s.currency
order by payment_id, returned_on, returned_by
