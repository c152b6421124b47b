-- grain: one row per account with a chargeback or a refund
-- description: Both look at all the money of a customer, so that their accounts are replayed as a whole.
-- columns:
--   account_key: customer and currency
-- keep: no
select distinct a.account_key,
from matching.returned_rows as r
inner join matching.accounts as a on r.customer_id = a.customer_id and r.currency = a.currency
where r.kind = 'refund' or (r.kind = 'chargeback' and r.may_touch)
