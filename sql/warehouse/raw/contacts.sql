-- grain: one row per contact_id
-- description: Touches with customers, each once; the first row received under an id counts.
-- columns:
--   contact_id: the contact
--   customer_id: the customer
--   at: when it was (UTC)
--   channel: how
--   direction: in or out
--   outcome: what came of it
--   commitment_id: the commitment it was about
--   owner: collector responsible
--   note: anything worth keeping
--   content_hash: digest of the row's business columns
--   line_number: line of that file
--   file_sha256: file the row came from
--   file_sequence: place of that file in the order of acceptance
select c.*
from feed.contacts as c
inner join raw.contact_rows as r on c.file_sha256 = r.file_sha256 and c.line_number = r.line_number
where r.outcome = 'loaded'
