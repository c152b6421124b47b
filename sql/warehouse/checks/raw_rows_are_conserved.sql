-- check: rows_are_conserved
-- stage: raw
-- message: Every row of an accepted file must be loaded, in quarantine or a duplicate, and only one of these.
select file_name, feed, rows_in, rows_loaded, rows_quarantined, rows_duplicate,
from raw.files
where rows_in <> rows_loaded + rows_quarantined + rows_duplicate
