-- grain: one row per invoice dated on or before as_of
-- description: Invoices as last received. What was settled after as_of is not settled yet.
-- columns:
--   invoice_id: the invoice
--   customer_id: the customer
--   customer_name: name of the customer on this invoice
--   invoice_date: date of issue
--   due_date: due date of the invoice, before any commitment
--   amount_minor: invoiced amount (minor units)
--   open_amount_minor: what was open when the invoice was last received; NULL if not given (minor units)
--   currency: ISO 4217 code
--   customer_email: address of the customer
--   segment: segment of the customer
--   owner: user name of the collector responsible
--   disputed: whether the customer disputes it
--   deduction_count: deductions taken on it
--   settled_date: date on which it was settled, if by as_of
--   file_sha256: file the row came from
--   file_sequence: place of that file in the order of acceptance
--   line_number: line of that file
select
    i.invoice_id,
    i.customer_id,
    i.customer_name,
    i.invoice_date,
    i.due_date,
    i.amount_minor,
    i.open_amount_minor,
    i.currency,
    i.customer_email,
    i.segment,
    i.owner,
    i.disputed,
    i.deduction_count,
    case when i.settled_date <= p.as_of then i.settled_date end as settled_date,
    i.file_sha256,
    i.file_sequence,
    i.line_number,
from raw.invoices i
cross join ledger.params p
where i.invoice_date <= p.as_of
