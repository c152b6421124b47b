-- check: outcomes_every_installment_judged_once
-- stage: outcomes
-- message: Every scheduled installment, and every one a chargeback added, must have exactly one outcome.
-- Two sets of numbers are equal when their counts and the sums of their hashes are: that takes no join of single installments.
with expected as (
    select commitment_id, version, sequence from core.installments
    union all
    select distinct commitment_id, version, sequence from matching.debits where is_added and valid_to is null
),

scheduled as (
    select commitment_id, version, count(*) as installments, sum(hash(sequence::integer)) as fingerprint
    from expected
    group by all
),

judged as (
    select commitment_id, version, count(*) as outcomes, sum(hash(sequence::integer)) as fingerprint
    from outcomes.installments
    group by all
)

select commitment_id, version, coalesce(s.installments, 0) as installments, coalesce(j.outcomes, 0) as outcomes
from scheduled s
full join judged j using (commitment_id, version)
where s.fingerprint is distinct from j.fingerprint or installments <> outcomes
