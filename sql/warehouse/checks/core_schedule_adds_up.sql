-- check: schedule_adds_up
-- stage: core
-- message: The installments of a version must add up to its total less its discount.
with sums as (
    select commitment_id, version, sum(amount_minor)::bigint as sum_minor
    from core.installments
    group by all
)

select
    v.commitment_id,
    v.version,
    v.total_minor - coalesce(v.discount_minor, 0) as payable_minor,
    coalesce(s.sum_minor, 0) as scheduled_minor,
from core.versions v
left join sums s using (commitment_id, version)
where v.total_minor - coalesce(v.discount_minor, 0) <> coalesce(s.sum_minor, 0)
