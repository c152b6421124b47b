-- grain: one row per version of matching.version_keys
-- description: Where the installments of each version stand in one numbering of all of them, with room for those that chargebacks may add.
-- columns:
--   version_key: version
--   commitment_id: commitment
--   version: version of the commitment
--   last_sequence: last agreed sequence
--   last_due_date: last agreed due date
--   first_line: number before the one of its first installment
--   is_recharged: whether the customer has chargebacks while it is in force
-- keep: no
with agreed as (
    select commitment_id, version, max(sequence) as last_sequence, max(due_date) as last_due_date,
    from core.installments
    group by commitment_id, version
),

days as (
    select v.version_key, count(distinct r.received_date) as day_count,
    from matching.returned_rows as r
    inner join matching.version_keys as v
        on r.customer_id = v.customer_id
        and r.currency = v.currency
        and r.received_date >= v.effective_from
        and (v.effective_to is null or r.received_date < v.effective_to)
    where r.kind = 'chargeback' and r.may_touch
    group by v.version_key
)

select
    v.version_key,
    v.commitment_id,
    v.version,
    a.last_sequence,
    a.last_due_date,
    (sum(a.last_sequence + coalesce(d.day_count, 0)) over (order by v.commitment_id, v.version rows unbounded preceding))::bigint
        - a.last_sequence - coalesce(d.day_count, 0) as first_line,
    d.day_count is not null as is_recharged,
from matching.version_keys as v
inner join agreed as a on v.commitment_id = a.commitment_id and v.version = a.version
left join days as d on v.version_key = d.version_key
