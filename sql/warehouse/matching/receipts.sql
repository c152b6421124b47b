-- grain: one row per row of kind payment received by as_of
-- description: Money received, numbered in the order in which it is applied. The order of arrival plays no part.
-- columns:
--   payment_key: number of the payment in order of (received_date, payment_id)
--   payment_id: payment
--   customer_id: who paid
--   currency: ISO 4217 code
--   account_key: the customer's commitments in that currency (NULL = none)
--   received_date: date of the money
--   amount_minor: amount before reversals (minor units)
--   invoice_id: invoice named on the row
--   commitment_id: commitment named on the row
--   reference: reference text of the row
-- keep: no
with accounts as (
    select customer_id, currency, min(version_key) as account_key,
    from matching.version_keys
    group by all
),

received as (
    select *, row_number() over (partition by received_date order by payment_id) as number_of_day,
    from raw.payments
    where kind = 'payment' and received_date <= (select as_of from ledger.params)
),

-- Numbered day by day: one sort of everything would be three times slower.
earlier_days as (
    select received_date, sum(count(*)) over (order by received_date) - count(*) as row_count,
    from received
    group by received_date
)

select
    (e.row_count + p.number_of_day)::bigint as payment_key,
    p.payment_id,
    p.customer_id,
    p.currency,
    a.account_key,
    p.received_date,
    p.amount_minor,
    p.invoice_id,
    p.commitment_id,
    p.reference,
from received as p
inner join earlier_days as e on p.received_date = e.received_date
left join accounts as a on p.customer_id = a.customer_id and p.currency = a.currency
