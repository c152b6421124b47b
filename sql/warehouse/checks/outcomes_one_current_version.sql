-- check: outcomes_one_current_version
-- stage: outcomes
-- message: Every commitment must have exactly one current version, and a known status.
select commitment_id, count(*) filter (where is_current) as current_versions, string_agg(status, ', ' order by version) as statuses
from outcomes.commitments
group by commitment_id
having
    current_versions <> 1
    or count(*) filter (
        where status not in (
            'draft', 'pending_approval', 'rejected', 'active', 'completed', 'cancelled', 'closed', 'superseded', 'defaulted'
        )
    ) > 0
