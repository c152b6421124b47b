-- grain: one row per accepted row of the contacts feed
-- description: Every contact row with its outcome: the first row of a contact_id is loaded, the same again is a duplicate, other content under the
--     same id goes to quarantine.
-- keep: no
-- columns:
--   contact_id: the contact
--   file_sha256: file the row came from
--   file_sequence: place of that file in the order of acceptance
--   line_number: line of that file
--   outcome: loaded, duplicate or quarantined
--   first_file_sha256: file of the row that was loaded under this id
--   first_line_number: line of that row
select
    contact_id,
    file_sha256,
    file_sequence,
    line_number,
    case
        when row_number() over arrival = 1 then 'loaded'
        when content_hash = first_value(content_hash) over arrival then 'duplicate'
        else 'quarantined'
    end as outcome,
    first_value(file_sha256) over arrival as first_file_sha256,
    first_value(line_number) over arrival as first_line_number,
from feed.contacts
window arrival as (partition by contact_id order by file_sequence, line_number)
