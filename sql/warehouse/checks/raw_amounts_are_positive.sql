-- check: amounts_are_positive
-- stage: raw
-- message: Payments and invoices must have positive amounts, and a reversal must name what it takes back.
select 'payments' as feed, payment_id as id, amount_minor, kind,
from raw.payments
where not coalesce(amount_minor > 0, false) or (kind = 'reversal' and reverses_payment_id is null)
union all
select 'invoices', invoice_id, amount_minor, null,
from raw.invoices
where not coalesce(amount_minor > 0, false)
