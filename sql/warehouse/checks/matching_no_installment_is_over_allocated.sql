-- check: no_installment_is_over_allocated
-- stage: matching
-- message: No installment gets more than its amount and what was charged back to it, on no day, and only installments that exist get anything.
with versions as (
    select row_number() over (order by commitment_id, version) as version_key, commitment_id, version,
    from core.versions
),

-- A line is an installment, as a number: twice as fast as three columns. 0 stands for all versions that do not exist.
allocated as (
    select (coalesce(v.version_key, 0) << 32) + h.sequence as line_id, h.applied_on, h.amount_minor, h.valid_from, h.valid_to,
    from matching.allocation_history as h
    left join versions as v using (commitment_id, version)
),

debited as (
    select (v.version_key << 32) + d.sequence as line_id, d.debited_on, d.amount_minor, d.valid_from, d.valid_to,
    from matching.debits as d
    inner join versions as v using (commitment_id, version)
),

-- Where the most that was ever allocated is within the terms, there is nothing to follow day by day.
suspicious as (
    select line_id, min(terms_minor) as amount_minor,
    from (
        select line_id, abs(amount_minor) as allocated_minor, null::bigint as terms_minor,
        from allocated
        union all
        select (v.version_key << 32) + i.sequence, 0, i.amount_minor,
        from core.installments as i
        inner join versions as v using (commitment_id, version)
    )
    group by line_id
    having sum(allocated_minor) > coalesce(min(terms_minor), 0)
),

changes as (
    select line_id, greatest(applied_on, valid_from) as on_date, amount_minor as allocated_minor, 0 as debited_minor,
    from allocated
    union all
    select line_id, valid_to, -amount_minor, 0,
    from allocated
    where valid_to is not null
    union all
    select line_id, greatest(debited_on, valid_from), 0, amount_minor,
    from debited
    union all
    select line_id, valid_to, 0, -amount_minor,
    from debited
    where valid_to is not null
),

by_day as (
    select line_id, on_date, sum(allocated_minor) as allocated_minor, sum(debited_minor) as debited_minor,
    from changes
    semi join suspicious using (line_id)
    group by all
),

running as (
    select
        line_id,
        on_date,
        sum(allocated_minor) over so_far as allocated_minor,
        sum(debited_minor) over so_far as debited_minor,
    from by_day
    window so_far as (partition by line_id order by on_date rows unbounded preceding)
)

select
    v.commitment_id,
    v.version,
    r.line_id & ((1::bigint << 32) - 1) as sequence,
    r.on_date,
    r.allocated_minor,
    r.debited_minor,
    s.amount_minor,
from running as r
inner join suspicious as s using (line_id)
left join versions as v on r.line_id >> 32 = v.version_key
where r.allocated_minor > coalesce(s.amount_minor, 0) + r.debited_minor
