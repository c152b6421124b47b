-- check: no_installment_is_over_allocated
-- stage: matching
-- message: No installment gets more than its amount, in no epoch, and only installments that exist get anything.
with changes as (
    select commitment_id, version, sequence, coalesce(valid_from, date '0001-01-01') as on_date, amount_minor,
    from matching.allocation_history
    union all
    select commitment_id, version, sequence, valid_to, -amount_minor,
    from matching.allocation_history
    where valid_to is not null
),

by_day as (
    select commitment_id, version, sequence, on_date, sum(amount_minor) as amount_minor,
    from changes
    group by all
),

running as (
    select
        commitment_id,
        version,
        sequence,
        on_date,
        sum(amount_minor) over (partition by commitment_id, version, sequence order by on_date rows unbounded preceding) as allocated_minor,
    from by_day
)

select r.commitment_id, r.version, r.sequence, r.on_date, r.allocated_minor, i.amount_minor,
from running as r
left join core.installments as i using (commitment_id, version, sequence)
where r.allocated_minor > coalesce(i.amount_minor, 0)
