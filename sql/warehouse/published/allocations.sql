-- grain: one row per part of a payment applied to an installment
-- description: Which money paid what, and why it went there.
-- columns:
--   payment_id: the payment
--   commitment_id: the commitment
--   version: the version
--   sequence: the installment
--   customer_id: the customer
--   currency: ISO 4217 code
--   amount: part of the payment applied to the installment
--   received_date: date on which the money came
--   matched_by: rule that sent the money there; of what an exact amount leaves for other commitments, oldest_due
--   explanation: one sentence a collector can read to the customer
select
    a.payment_id,
    a.commitment_id,
    a.version::integer as version,
    a.sequence::integer as sequence,
    v.customer_id,
    v.currency,
    (a.amount_minor * s.unit)::decimal(18, 3) as amount,
    a.received_date,
    a.matched_by,
    a.explanation,
from matching.allocations a
join core.versions v using (commitment_id, version)
join published.scales s on v.currency = s.currency
order by commitment_id, version, sequence, received_date, payment_id
