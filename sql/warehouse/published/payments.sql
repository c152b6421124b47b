-- grain: one row per payment row received by as_of
-- description: What became of every row of the payments feed: amount = allocated + unapplied + reversed.
-- scope: customer_id
-- columns:
--   payment_id: the payment; made from content and occurrence when the file gave none
--   customer_id: who paid
--   currency: ISO 4217 code of all amounts of the row
--   kind: payment, reversal, chargeback or refund; amounts are positive, the kind gives the sign
--   received_date: date of the money
--   amount: amount of the row
--   allocated_amount: part applied to installments
--   unapplied_amount: part that found nothing to pay, or of money going back nothing to take
--   reversed_amount: part that went back: by reversals, and unapplied money by refunds and chargebacks; of money going back the part that took
--     effect
--   refunded_amount: of reversed_amount, what was refunded
--   covered_chargeback_amount: of reversed_amount, unapplied money that covered a chargeback of this payment or of another one to the same
--     commitment
--   charged_back_amount: part charged back so far; what was applied of it stays applied and has to be paid again, see chargebacks
--   match_status: matched, partially_matched, unmatched, reversed (all of it went back), set_aside, reversal, chargeback or refund
--   matched_by: rule that found the target; NULL if none did. Of an exact amount that found nothing to pay on its commitment and went to
--     others, oldest_due
--   matched_on: evidence of the rule, where its name does not say it all: who decided, the invoice, the installment
--   target_commitment_id: commitment it was sent to; NULL if it was sent to none, or shared among several
--   elsewhere_amount: of an exact amount, what went to other commitments
--   is_elsewhere: whether all that was applied of an exact amount went to other commitments
--   is_split: whether a person split it by hand, see decisions
--   is_held: whether the unapplied part waits as credit for the next installment (overpayment rule hold)
--   problem: why it, or a part of it, found no place; NULL if nothing special is the matter
--   note: what is odd about the row although it was sent somewhere; NULL if nothing is
--   reason: why it stands as it does, in one sentence or two
--   reference: reference text of the row
--   method: how it was paid
--   invoice_id: invoice named on the row
--   commitment_id: commitment named on the row
--   reverses_payment_id: payment that the row takes money back of
--   file_sha256: file it came in
--   line_number: line of that file
with returned as (
    select
        r.payment_id,
        (sum(r.amount_minor) filter (where p.kind = 'refund'))::bigint as refunded_minor,
        (sum(r.amount_minor) filter (where p.kind = 'chargeback'))::bigint as covered_minor,
    from matching.returns r
    join matching.payments p on r.returned_by = p.payment_id
    where p.kind in ('refund', 'chargeback')
    group by all
),

split as (
    select payment_id from matching.decisions where not is_stale group by all having count(*) > 1
),

holding as (
    select v.commitment_id, v.customer_id, v.currency
    from core.versions v
    join outcomes.commitments o using (commitment_id, version)
    where v.overpayment_rule = 'hold' and v.effective_to is null and o.outstanding_minor > 0
)

select
    p.payment_id,
    p.customer_id,
    p.currency,
    p.kind,
    p.received_date,
    (p.amount_minor * s.unit)::decimal(18, 3) as amount,
    (p.allocated_minor * s.unit)::decimal(18, 3) as allocated_amount,
    (p.unapplied_minor * s.unit)::decimal(18, 3) as unapplied_amount,
    (p.reversed_minor * s.unit)::decimal(18, 3) as reversed_amount,
    (coalesce(r.refunded_minor, 0) * s.unit)::decimal(18, 3) as refunded_amount,
    (coalesce(r.covered_minor, 0) * s.unit)::decimal(18, 3) as covered_chargeback_amount,
    (p.charged_back_minor * s.unit)::decimal(18, 3) as charged_back_amount,
    p.match_status,
    p.matched_by,
    p.matched_on,
    p.target_commitment_id,
    (p.elsewhere_minor * s.unit)::decimal(18, 3) as elsewhere_amount,
    p.elsewhere_minor > 0 and p.elsewhere_minor = p.allocated_minor as is_elsewhere,
    p.payment_id in (from split) as is_split,
    p.unapplied_minor > 0 and p.kind = 'payment' and (
        p.target_commitment_id in (select commitment_id from holding)
        or (p.matched_by = 'oldest_due' and row(p.customer_id, p.currency) in (select row(customer_id, currency) from holding))
    ) is true as is_held,
    p.problem,
    p.note,
    p.reference,
    p.method,
    p.invoice_id,
    p.commitment_id,
    p.reverses_payment_id,
    p.file_sha256,
    p.line_number::integer as line_number,
from matching.payments p
join published.scales s using (currency)
left join returned r using (payment_id)
order by payment_id
