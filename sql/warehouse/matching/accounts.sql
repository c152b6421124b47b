-- grain: one row per customer and currency that has commitments, or asks for money back
-- description: Customers with integer keys. Nothing in matching crosses from one account to another.
-- columns:
--   customer_id: the customer
--   currency: ISO 4217 code
--   account_key: lowest version_key of the customer and currency; above all version_keys when there is none
-- keep: no
with committed as (
    select customer_id, currency, min(version_key) as account_key,
    from matching.version_keys
    group by customer_id, currency
),

others as (
    select distinct customer_id, currency,
    from matching.returned_rows
    anti join committed using (customer_id, currency)
    where kind in ('chargeback', 'refund')
)

select customer_id, currency, account_key,
from committed
union all
select customer_id, currency, (select count(*) from matching.version_keys) + row_number() over (order by customer_id, currency),
from others
