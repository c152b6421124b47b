-- grain: one row per installment that is broken now, of a version in force
-- description: What came due and did not arrive: who, what, since when, how much, and why it counts as broken.
-- scope: customer_id
-- columns:
--   customer_id: the customer
--   customer_name: name of the customer
--   customer_email: address of the customer
--   owner: user name of the collector responsible
--   commitment_id: the commitment
--   version: the version
--   kind: promise, repeating_promise or plan
--   sequence: the installment
--   currency: ISO 4217 code of all amounts of the row
--   due_date: date on which it was due
--   broken_on: first day after the deadline
--   broken_since: day it last became broken: broken_on, or the later day on which a payment was returned
--   days_late: days since the due date
--   amount: amount due
--   paid_amount: what has arrived of it
--   outstanding_amount: what is missing
--   verdict: partially_kept or broken
--   first_verdict: verdict when the deadline passed
--   reason: one sentence saying why it is broken
--   invoice_ids: invoices of the commitment, in order, separated by semicolons
--   contact_name: who committed
--   contact_email: their address
--   broken_count: installments of the commitment that were not kept so far
--   escalation_stage: stage_1, or exec once the commitment is in default
--   is_paused: whether chasing is suspended
with turned as (
    select commitment_id, version, sequence, max(effective_on) as broken_since
    from outcomes.transitions
    where to_state = 'broken' and sequence > 0
    group by all
)

select
    c.customer_id,
    c.customer_name,
    cu.customer_email,
    c.owner,
    i.commitment_id,
    i.version,
    c.kind,
    i.sequence,
    i.currency,
    i.due_date,
    i.broken_on,
    coalesce(t.broken_since, i.broken_on) as broken_since,
    i.days_late,
    i.amount,
    i.paid_amount,
    i.outstanding_amount,
    i.verdict,
    i.first_verdict,
    i.reason,
    c.invoice_ids,
    c.contact_name,
    c.contact_email,
    c.broken_count,
    c.escalation_stage,
    c.is_paused,
from published.installments i
join published.commitments c using (commitment_id, version)
left join turned t using (commitment_id, version, sequence)
left join core.customers cu on c.customer_id = cu.customer_id
where i.status = 'broken' and c.status in ('active', 'defaulted')
order by broken_on, customer_id, commitment_id, version, sequence
