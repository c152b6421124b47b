-- grain: one row per payment_id
-- description: Payments, reversals, chargebacks and refunds, each once; the first row received under an id counts. A view: the rows stay where
--     the feed stage keeps them.
-- as: view
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
--   line_number: line of that file
--   file_sha256: file the row came from
--   file_sequence: place of that file in the order of acceptance
select p.*
from feed.payments as p
where not exists (
    select 1
    from raw.payment_rows as r
    where r.file_sequence = p.file_sequence and r.line_number = p.line_number and r.outcome <> 'loaded'
)
