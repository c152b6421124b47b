-- grain: one row per part of a payment applied to an installment on a day
-- description: Which money paid what, and why it went there.
-- scope: customer_id
-- columns:
--   payment_id: the payment
--   commitment_id: the commitment
--   version: the version
--   sequence: the installment
--   kind: promise, repeating_promise or plan
--   is_down_payment: whether the installment is the down payment
--   customer_id: the customer
--   currency: ISO 4217 code
--   amount: part of the payment applied to the installment
--   received_date: date on which the money came
--   due_date: due date of the installment
--   timing: in_advance, on_due_date or late: received_date against due_date
--   applied_on: day from which it counts there: the received_date, or the later day on which a version took credit over or credit held fell due
--   applied_as: payment, carried_credit (left over from an earlier version of the commitment) or held_credit (kept until something fell due)
--   overpayment_rule: where the version sends what is more than is due: next, last, spread or hold
--   matched_by: rule that sent the money there; of what an exact amount leaves for other commitments, oldest_due
--   matched_on: evidence of the rule, where its name does not say it all: who decided, the invoice, the installment
--   is_elsewhere: whether it is what an exact amount left for other commitments
--   is_split: whether a person split the payment by hand
--   explanation: one sentence a collector can read to the customer
with split as (
    select payment_id from matching.decisions where not is_stale group by all having count(*) > 1
)

select
    a.payment_id,
    a.commitment_id,
    a.version::integer as version,
    a.sequence::integer as sequence,
    v.kind,
    v.down_payment_minor > 0 and a.sequence = 1 and v.frequency <> 'custom' as is_down_payment,
    v.customer_id,
    v.currency,
    (a.amount_minor * s.unit)::decimal(18, 3) as amount,
    a.received_date,
    i.due_date,
    a.applied_on,
    case
        when a.applied_on = a.received_date then 'payment'
        when a.received_date < v.effective_from then 'carried_credit'
        else 'held_credit'
    end as applied_as,
    v.overpayment_rule,
    if(a.is_elsewhere, 'oldest_due', a.matched_by) as matched_by,
    a.matched_on,
    a.is_elsewhere,
    a.payment_id in (from split) as is_split,
from matching.allocations a
join core.versions v using (commitment_id, version)
join outcomes.installments i using (commitment_id, version, sequence)
join published.scales s on v.currency = s.currency
order by commitment_id, version, sequence, received_date, payment_id, applied_on
