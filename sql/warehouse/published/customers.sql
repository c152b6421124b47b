-- grain: one row per customer known on as_of
-- description: Customers of invoices, commitments and payments.
-- scope: customer_id
-- columns:
--   customer_id: the customer
--   customer_name: name; the id when no invoice gives one
--   customer_email: address for reminders
--   segment: segment of the customer
--   owner: user name of the collector responsible
select
    customer_id,
    customer_name,
    customer_email,
    segment,
    owner,
from core.customers
order by customer_id
