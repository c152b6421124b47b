-- grain: one row per payment row received by as_of
-- description: What became of every row of the payments feed: amount = allocated + unapplied + reversed.
-- columns:
--   payment_id: the payment; made from content and occurrence when the file gave none
--   customer_id: who paid
--   customer_name: name of the customer, if known
--   currency: ISO 4217 code of all amounts of the row
--   kind: payment, reversal, chargeback or refund; amounts are positive, the kind gives the sign
--   received_date: date of the money
--   amount: amount of the row
--   allocated_amount: part applied to installments
--   unapplied_amount: part that found nothing to pay, or of a reversal nothing to reverse
--   reversed_amount: part taken back by reversals; of a reversal the part that took effect
--   match_status: matched, partially_matched, unmatched, reversed, set_aside, reversal or not_applied
--   matched_by: rule that found the target; NULL if none did. Of an exact amount that found nothing to pay on its commitment and went to
--     others, oldest_due
--   target_commitment_id: commitment it was sent to; NULL if it was sent to none, or shared among several
--   reason: why it stands as it does
--   reference: reference text of the row
--   method: how it was paid
--   invoice_id: invoice named on the row
--   commitment_id: commitment named on the row
--   reverses_payment_id: payment that a reversal takes back
--   file_sha256: file it came in
--   line_number: line of that file
select
    p.payment_id,
    p.customer_id,
    c.customer_name,
    p.currency,
    p.kind,
    p.received_date,
    (p.amount_minor * s.unit)::decimal(18, 3) as amount,
    (p.allocated_minor * s.unit)::decimal(18, 3) as allocated_amount,
    (p.unapplied_minor * s.unit)::decimal(18, 3) as unapplied_amount,
    (p.reversed_minor * s.unit)::decimal(18, 3) as reversed_amount,
    p.match_status,
    p.matched_by,
    p.target_commitment_id,
    p.reason,
    p.reference,
    p.method,
    p.invoice_id,
    p.commitment_id,
    p.reverses_payment_id,
    p.file_sha256,
    p.line_number::integer as line_number,
from matching.payments p
join published.scales s using (currency)
left join core.customers c using (customer_id)
order by received_date, payment_id
