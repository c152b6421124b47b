-- grain: one row per broken rule of a line of an accepted file
-- description: Everything that was received and not loaded, and why: rows that break a rule by themselves, and rows at odds with others.
-- columns:
--   feed: invoices, payments, commitments, installments or contacts
--   file_name: name of the file
--   file_sha256: its content
--   line_number: physical line on which the row starts; the header is usually line 1
--   column_name: column that breaks the rule; empty when the whole row does
--   value: what stood there, cut to 200 characters
--   rule: the rule
--   message: what is wrong, in words
with conflicts as (
    select 'payments' as feed, payment_id as id, file_sha256, line_number, first_file_sha256, first_line_number,
    from raw.payment_rows
    where outcome = 'quarantined'
    union all
    select 'contacts', contact_id, file_sha256, line_number, first_file_sha256, first_line_number,
    from raw.contact_rows
    where outcome = 'quarantined'
),

conflict_rows as (
    select
        c.feed,
        f.file_name,
        c.file_sha256,
        c.line_number,
        rtrim(c.feed, 's') || '_id' as column_name,
        c.id as value,
        rtrim(c.feed, 's') || '_id_conflict' as rule,
        rtrim(c.feed, 's') || '_id ' || c.id || ' came before with other content, on line ' || c.first_line_number || ' of '
        || first_file.file_name || '; that one counts.' as message,
    from conflicts as c
    inner join feed.files as f on c.feed = f.feed and c.file_sha256 = f.file_sha256
    inner join feed.files as first_file on c.feed = first_file.feed and c.first_file_sha256 = first_file.file_sha256
)

select feed, file_name, file_sha256, line_number, column_name, value, rule, message,
from feed.quarantine
union all
select feed, file_name, file_sha256, line_number, column_name, value, rule, message,
from feed.commitment_quarantine
union all
select feed, file_name, file_sha256, line_number, column_name, value, rule, message,
from conflict_rows
