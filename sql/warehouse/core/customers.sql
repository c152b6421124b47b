-- grain: one row per customer known on as_of
-- description: Customers of invoices, commitments and payments. Each detail is the last one received that is not empty.
-- columns:
--   customer_id: the customer
--   customer_name: name; the id when no invoice gives one
--   customer_email: address for reminders
--   segment: segment of the customer
--   owner: user name of the collector responsible; from the last commitment when no invoice names one
with invoiced as (
    select
        customer_id,
        arg_max(customer_name, row(file_sequence, line_number)) filter (where customer_name <> '') as customer_name,
        arg_max(customer_email, row(file_sequence, line_number)) filter (where customer_email <> '') as customer_email,
        arg_max(segment, row(file_sequence, line_number)) filter (where segment <> '') as segment,
        arg_max(owner, row(file_sequence, line_number)) filter (where owner <> '') as owner,
    from core.invoices
    group by customer_id
),

committed as (
    select
        c.customer_id,
        arg_max(c.owner, row(v.agreed_on, c.commitment_id)) filter (where c.owner <> '') as owner,
    from ledger.versions v
    join ledger.commitments c using (commitment_id)
    cross join ledger.params p
    where v.agreed_on <= p.as_of
    group by c.customer_id
),

paying as (
    select distinct customer_id from raw.payments cross join ledger.params where received_date <= as_of
),

known as (
    select customer_id from invoiced
    union
    select customer_id from committed
    union
    select customer_id from paying
)

select
    known.customer_id,
    coalesce(invoiced.customer_name, known.customer_id) as customer_name,
    invoiced.customer_email,
    invoiced.segment,
    coalesce(invoiced.owner, committed.owner) as owner,
from known
left join invoiced using (customer_id)
left join committed using (customer_id)
