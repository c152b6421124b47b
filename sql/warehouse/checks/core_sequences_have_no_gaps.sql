-- check: sequences_have_no_gaps
-- stage: core
-- message: The installments of a version must be numbered 1, 2, 3 … and every approved version must have some.
with numbered as (
    select commitment_id, version, list(sequence order by sequence) as sequences
    from core.installments
    group by all
)

select
    v.commitment_id,
    v.version,
    coalesce(n.sequences, []) as sequences,
from core.versions v
left join numbered n using (commitment_id, version)
where n.sequences is null or n.sequences <> range(1, len(n.sequences) + 1)
