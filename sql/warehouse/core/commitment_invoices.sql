-- grain: one row per invoice a version of core.versions covers
-- description: Which invoices a commitment settles. An id may name an invoice that was never received.
-- columns:
--   commitment_id: the commitment
--   version: the version
--   invoice_id: the invoice
select
    commitment_id,
    version,
    unnest(list_distinct(invoice_ids)) as invoice_id,
from core.versions
