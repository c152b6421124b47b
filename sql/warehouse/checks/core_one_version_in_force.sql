-- check: one_version_in_force
-- stage: core
-- message: A commitment must not have two versions in force on the same date.
with in_force as (
    select
        commitment_id,
        version,
        effective_from,
        effective_to,
        lead(version) over later as next_version,
        lead(effective_from) over later as next_effective_from,
    from core.versions
    where effective_to is null or effective_to > effective_from
    window later as (partition by commitment_id order by effective_from, version)
)

select commitment_id, version, effective_from, effective_to, next_version, next_effective_from
from in_force
where next_effective_from < coalesce(effective_to, date 'infinity')
