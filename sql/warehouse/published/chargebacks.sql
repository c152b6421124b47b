-- grain: one row per chargeback and installment it made larger, or added
-- description: What chargebacks made payable again, and where it stands in the schedule. What unapplied money covered is in returns.
-- scope: customer_id
-- columns:
--   payment_id: the chargeback
--   charged_payment_id: the payment that was charged back; it stays applied where it was
--   customer_id: the customer
--   commitment_id: the commitment that owes it again
--   version: the version
--   sequence: the installment that carries it
--   currency: ISO 4217 code
--   amount: amount to be paid again
--   charged_back_on: date of the chargeback
--   due_date: due date of the installment
--   is_added: whether the chargeback added the installment
select
    d.payment_id,
    p.reverses_payment_id as charged_payment_id,
    p.customer_id,
    d.commitment_id,
    d.version::integer as version,
    d.sequence::integer as sequence,
    p.currency,
    (d.amount_minor * s.unit)::decimal(18, 3) as amount,
    d.debited_on as charged_back_on,
    d.due_date,
    d.is_added,
from matching.debits d
join raw.payments p using (payment_id)
join published.scales s on p.currency = s.currency
where d.valid_to is null
order by payment_id, commitment_id, version, sequence
