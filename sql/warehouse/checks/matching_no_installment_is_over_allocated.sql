-- check: no_installment_is_over_allocated
-- stage: matching
-- message: No installment gets more than its amount and what was charged back to it, on no day, and only installments that exist get anything.
with changes as (
    select commitment_id, version, sequence, greatest(applied_on, valid_from) as on_date, amount_minor as allocated_minor, 0 as debited_minor,
    from matching.allocation_history
    union all
    select commitment_id, version, sequence, valid_to, -amount_minor, 0,
    from matching.allocation_history
    where valid_to is not null
    union all
    select commitment_id, version, sequence, greatest(debited_on, valid_from), 0, amount_minor,
    from matching.debits
    union all
    select commitment_id, version, sequence, valid_to, 0, -amount_minor,
    from matching.debits
    where valid_to is not null
),

-- Where the most that was ever allocated is within the terms, there is nothing to follow day by day.
suspicious as (
    select c.commitment_id, c.version, c.sequence, i.amount_minor,
    from changes as c
    left join core.installments as i using (commitment_id, version, sequence)
    group by all
    having sum(c.allocated_minor) filter (where c.allocated_minor > 0) > coalesce(i.amount_minor, 0)
),

by_day as (
    select commitment_id, version, sequence, on_date, sum(allocated_minor) as allocated_minor, sum(debited_minor) as debited_minor,
    from changes
    semi join suspicious using (commitment_id, version, sequence)
    group by all
),

running as (
    select
        commitment_id,
        version,
        sequence,
        on_date,
        sum(allocated_minor) over so_far as allocated_minor,
        sum(debited_minor) over so_far as debited_minor,
    from by_day
    window so_far as (partition by commitment_id, version, sequence order by on_date rows unbounded preceding)
)

select r.commitment_id, r.version, r.sequence, r.on_date, r.allocated_minor, r.debited_minor, s.amount_minor,
from running as r
inner join suspicious as s using (commitment_id, version, sequence)
where r.allocated_minor > coalesce(s.amount_minor, 0) + r.debited_minor
