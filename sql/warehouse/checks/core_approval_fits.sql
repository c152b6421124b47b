-- check: approval_fits
-- stage: core
-- message: The terms and the schedule of a version must be, to the cent and the day, those that were approved.
select
    commitment_id,
    version,
    decided_by,
    decided_at,
from core.versions
where not approval_fits
