-- grain: one row per broken rule of a line of an accepted file
-- description: Rows that were not loaded, and why.
-- scope: whole
-- columns:
--   feed: invoices, payments, commitments, installments or contacts
--   file_name: name of the file
--   file_sha256: its content
--   line_number: line of the file
--   column_name: column that breaks the rule
--   value: what stood there
--   rule: the rule
--   message: what is wrong, in words
select distinct
    feed,
    file_name,
    file_sha256,
    line_number::integer as line_number,
    column_name,
    value,
    rule,
    message,
from raw.quarantine
order by feed, file_name, file_sha256, line_number, column_name, rule, value, message
