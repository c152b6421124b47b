-- check: outcomes_paid_equals_allocations
-- stage: outcomes
-- message: What an installment says was paid must be the sum of its allocations.
with allocated as (
    select commitment_id, version, sequence, sum(amount_minor)::bigint as allocated_minor
    from matching.allocations
    group by all
)

select
    commitment_id,
    version,
    sequence,
    coalesce(i.paid_minor, 0) as paid_minor,
    coalesce(a.allocated_minor, 0) as allocated_minor,
from outcomes.installments i
full join allocated a using (commitment_id, version, sequence)
where i.commitment_id is null or i.paid_minor <> coalesce(a.allocated_minor, 0)
