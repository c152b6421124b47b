-- grain: one row per accepted row of the invoices feed
-- description: Every invoice row with its outcome: a repeat of the row before it is a duplicate, a change is an update and counts as loaded.
-- keep: no
-- columns:
--   invoice_id: the invoice
--   file_sha256: file the row came from
--   file_sequence: place of that file in the order of acceptance
--   line_number: line of that file
--   outcome: loaded or duplicate
--   is_latest: whether it is the newest row of its invoice
select
    invoice_id,
    file_sha256,
    file_sequence,
    line_number,
    case when content_hash = lag(content_hash) over arrival then 'duplicate' else 'loaded' end as outcome,
    lead(line_number) over arrival is null as is_latest,
from feed.invoices
window arrival as (partition by invoice_id order by file_sequence, line_number)
