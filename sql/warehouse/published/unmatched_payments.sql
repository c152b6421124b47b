-- grain: one row per row of the payments feed with money that found no place
-- description: Money somebody has to look at. What a person set aside is not here, nor credit that waits for the next installment.
-- scope: customer_id
-- columns:
--   payment_id: the payment
--   kind: payment; or reversal, chargeback or refund of something that is not there
--   customer_id: who paid
--   customer_name: name of the customer, if known
--   owner: user name of the collector responsible for the customer
--   currency: ISO 4217 code
--   received_date: date of the money
--   days_waiting: days since then
--   amount: amount of the row
--   unapplied_amount: part that found no place
--   match_status: unmatched or partially_matched; of money going back its kind
--   matched_by: rule that found a target for the rest
--   target_commitment_id: commitment the rest was sent to
--   reason: why it found no place
--   reference: reference text of the row
--   method: how it was paid
--   invoice_id: invoice named on the row
--   commitment_id: commitment named on the row
--   reverses_payment_id: payment it wanted to take money back of
--   file_sha256: file it came in
--   line_number: line of that file
select
    p.payment_id,
    p.kind,
    p.customer_id,
    c.customer_name,
    c.owner,
    p.currency,
    p.received_date,
    (l.as_of - p.received_date)::integer as days_waiting,
    p.amount,
    p.unapplied_amount,
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
    p.line_number,
from published.payments p
cross join ledger.params l
left join published.customers c using (customer_id)
where p.unapplied_amount > 0 and p.match_status <> 'set_aside' and not p.is_held
order by received_date, payment_id
