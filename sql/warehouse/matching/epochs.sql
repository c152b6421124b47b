-- grain: one row per group, or version outside of groups, and date on which a reversal changed what was known of it
-- description: A reversal makes the book be replayed as if the money had never come; what was known before it stays on record. Up to the first receipt
--   a later reversal takes from, both say the same: an epoch replays only what comes after that, up to its end.
-- columns:
--   replay_id: number of the replay, above all group_ids and version_keys
--   group_id: group, or version_key of a version outside of groups
--   is_grouped: whether it is a group
--   valid_from: first day on which this was what the book said (NULL = from the beginning)
--   valid_to: first day on which it no longer was
--   from_key: receipt_key from which on it may say something else than the replay that holds today
-- keep: no
with taken as (
    select p.returned_on, p.receipt_key, coalesce(g.group_id, r.target_id) as group_id, g.group_id is not null as is_grouped,
    from matching.reversed_parts as p
    left join matching.group_receipts as g on p.receipt_key = g.receipt_key
    left join matching.routes as r on p.receipt_key = r.receipt_key
    -- One known before its payment came changes nothing that was ever said.
    where p.returned_on > date '1900-01-01' + (p.receipt_key >> 36)::integer
),

dates as (
    select group_id, is_grouped, returned_on as valid_to, min(receipt_key) as first_key,
    from taken
    where group_id is not null
    group by all
)

select
    (select count(*) from matching.version_keys) + (select count(*) from matching.accounts) + row_number() over (order by group_id, valid_to) as replay_id,
    group_id,
    is_grouped,
    lag(valid_to) over in_order as valid_from,
    valid_to,
    min(first_key) over (in_order rows between current row and unbounded following) as from_key,
from dates
window in_order as (partition by group_id order by valid_to)
