-- grain: one row per invoice_id
-- description: Invoices as last received; earlier rows stay in feed.invoices.
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
--   owner: collector responsible
--   disputed: whether the customer disputes it
--   deduction_count: open deductions on it
--   settled_date: date on which it was settled; NULL while open
--   content_hash: digest of the row's business columns
--   line_number: line of that file
--   file_sha256: file the row came from
--   file_sequence: place of that file in the order of acceptance
select i.*
from feed.invoices as i
inner join raw.invoice_rows as r on i.file_sha256 = r.file_sha256 and i.line_number = r.line_number
where r.is_latest
