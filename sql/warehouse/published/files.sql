-- grain: one row per accepted file
-- description: What became of the rows of every file: in = loaded + quarantined + duplicate.
-- scope: whole
-- columns:
--   file_sequence: place in the order of acceptance
--   feed: invoices, payments, commitments, installments or contacts
--   file_name: name of the file
--   file_sha256: its content
--   received_at: when it was received (UTC)
--   rows_in: rows of the file
--   rows_loaded: of them, loaded
--   rows_quarantined: of them, in quarantine
--   rows_duplicate: of them, left out because they were known
--   duplicate_of: files whose rows those of payments and contacts repeat, by name, separated by semicolons; NULL if there are none
select
    file_sequence::bigint as file_sequence,
    feed,
    file_name,
    file_sha256,
    make_timestamp(epoch_us(received_at)) as received_at,
    rows_in::bigint as rows_in,
    rows_loaded::bigint as rows_loaded,
    rows_quarantined::bigint as rows_quarantined,
    rows_duplicate::bigint as rows_duplicate,
    duplicate_of,
from raw.files
order by file_sequence, file_sha256
