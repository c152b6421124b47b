-- check: outcomes_paid_equals_allocations
-- stage: outcomes
-- message: What every installment says was paid must be the sum of its allocations.
-- Each amount is multiplied by a number drawn from its installment: equal sums over a version mean equal amounts on each installment, without a
-- join of single installments.
with allocated as (
    select
        commitment_id,
        version,
        sum(amount_minor)::hugeint as allocated_minor,
        sum(amount_minor::hugeint * (hash(sequence::integer) >> 32)::hugeint) as fingerprint,
    from matching.allocations
    group by all
),

judged as (
    select
        commitment_id,
        version,
        sum(paid_minor)::hugeint as paid_minor,
        sum(paid_minor::hugeint * (hash(sequence::integer) >> 32)::hugeint) as fingerprint,
    from outcomes.installments
    group by all
)

select commitment_id, version, coalesce(j.paid_minor, 0) as paid_minor, coalesce(a.allocated_minor, 0) as allocated_minor
from judged j
full join allocated a using (commitment_id, version)
where coalesce(j.fingerprint, 0) <> coalesce(a.fingerprint, 0) or j.commitment_id is null
