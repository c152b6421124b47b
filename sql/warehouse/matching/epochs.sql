-- grain: one row per group with reversals and interval between their dates
-- description: A reversal makes the group be replayed as if the money had never come; what was known before it stays on record as an earlier epoch.
-- columns:
--   replay_id: number of the replay; that of the last epoch is the group_id
--   group_id: group of payments
--   valid_from: first day on which this was what the book said (NULL = from the beginning)
--   valid_to: first day on which it no longer was (NULL = still)
-- keep: no
with changes as (
    select distinct p.group_id, r.received_date as valid_from,
    from matching.reversals as r
    inner join matching.routed_payments as p on r.payment_key = p.payment_key
    where r.effective_minor > 0
),

starts as (
    select group_id, valid_from, from changes
    union all
    select distinct group_id, null::date, from changes
),

intervals as (
    select
        group_id,
        valid_from,
        lead(valid_from) over (partition by group_id order by valid_from nulls first) as valid_to,
    from starts
)

select
    case
        when valid_to is null then group_id
        -- Above every group_id, all of which are version keys.
        else (select count(*) from matching.version_keys) + row_number() over (order by valid_to is null, group_id, valid_to)
    end as replay_id,
    group_id,
    valid_from,
    valid_to,
from intervals
