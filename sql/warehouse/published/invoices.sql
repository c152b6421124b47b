-- grain: one row per invoice dated on or before as_of
-- description: Invoices as last received, with the commitments in force that cover them.
-- scope: customer_id
-- columns:
--   invoice_id: the invoice
--   customer_id: the customer
--   customer_name: name of the customer on the invoice
--   segment: segment of the customer
--   owner: user name of the collector responsible
--   currency: ISO 4217 code of all amounts of the row
--   invoice_date: date of issue
--   due_date: due date of the invoice itself
--   amount: invoiced amount
--   open_amount: what was open when the invoice was last received; NULL if not given
--   disputed: whether the customer disputes it
--   deduction_count: deductions taken on it
--   settled_date: date on which it was settled, if by as_of
--   commitment_ids: commitments in force that cover it, in order, separated by semicolons; NULL if none does
--   file_sha256: file it last came in
--   line_number: line of that file
with covered as (
    select
        i.invoice_id,
        c.customer_id,
        string_agg(c.commitment_id, ';' order by c.commitment_id) as commitment_ids,
    from core.commitment_invoices i
    join outcomes.commitments c using (commitment_id, version)
    where c.status in ('active', 'defaulted')
    group by all
)

select
    i.invoice_id,
    i.customer_id,
    i.customer_name,
    i.segment,
    i.owner,
    i.currency,
    i.invoice_date,
    i.due_date,
    (i.amount_minor * s.unit)::decimal(18, 3) as amount,
    (i.open_amount_minor * s.unit)::decimal(18, 3) as open_amount,
    i.disputed,
    i.deduction_count::integer as deduction_count,
    i.settled_date,
    c.commitment_ids,
    i.file_sha256,
    i.line_number::integer as line_number,
from core.invoices i
join published.scales s using (currency)
left join covered c using (invoice_id, customer_id)
order by invoice_id
