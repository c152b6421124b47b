-- grain: one row per payment_id
-- description: Payments, reversals, chargebacks and refunds, each once; the first row received under an id counts.
-- columns:
--   payment_id: the payment; generated from its content and occurrence when the file gave none
--   is_generated_id: whether the id was generated
--   customer_id: who paid
--   received_date: date of the money
--   amount_minor: amount, positive (minor units)
--   currency: ISO 4217 code
--   kind: payment, reversal, chargeback or refund
--   reverses_payment_id: payment it takes back
--   invoice_id: invoice named on the row
--   commitment_id: commitment named on the row
--   reference: remittance text
--   method: how it was paid
--   content_hash: digest of the row's business columns but payment_id
--   file_sha256: file the row came from
--   file_sequence: place of that file in the order of acceptance
--   line_number: line of that file
select p.*
from feed.payments as p
inner join raw.payment_rows as r on p.file_sha256 = r.file_sha256 and p.line_number = r.line_number
where r.outcome = 'loaded'
