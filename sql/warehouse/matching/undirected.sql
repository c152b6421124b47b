-- grain: one row per receipt of a customer with commitments that neither a person nor its own row directs
-- columns:
--   receipt_key: receipt
--   payment_id: payment
--   account_key: customer and currency
--   received_date: date of the money
--   amount_minor: amount (minor units)
--   has_mention: whether the row names an invoice or has a reference
-- keep: no
select receipt_key, payment_id, account_key, received_date, amount_minor, has_mention,
from matching.receipts
anti join matching.directions using (receipt_key)
where account_key is not null
