-- grain: one row per span of business dates in which what was known of a version's money did not change
-- description: Only versions touched by a reversal are here; of all others the same was known on every date. The last span is
--   what is known on as_of.
-- keep: no
-- columns:
--   commitment_id: the commitment
--   version: the version
--   known_from: first date of the span; 0001-01-01 for the beginning
--   known_to: first date after the span; 9999-12-31 for the last one
with turns as (
    select commitment_id, version, valid_from as known_from from matching.allocation_history where valid_from is not null
    union
    select commitment_id, version, valid_to as known_from from matching.allocation_history where valid_to is not null
),

spans as (
    select commitment_id, version, known_from from turns
    union
    select commitment_id, version, date '0001-01-01' as known_from from turns
)

select
    commitment_id,
    version,
    known_from,
    lead(known_from, 1, date '9999-12-31') over (partition by commitment_id, version order by known_from) as known_to,
from spans
