-- grain: one row per receipt of a group
-- description: The money a group replays. Money that goes nowhere is here only where a chargeback or a refund may take it.
-- columns:
--   group_id: group
--   receipt_key: receipt
--   received_date: date of the money
--   amount_minor: amount before anything went back (minor units)
--   target_id: target of its route (NULL = goes nowhere)
--   spill_target_id: target of what an exact amount leaves (NULL = none)
-- keep: no
with group_versions as (
    select group_id, version_key, from matching.groups where version_key is not null
),

routed as (
    select coalesce(g.group_id, r.account_key) as group_id, r.receipt_key, r.received_date, r.amount_minor, r.target_id,
    from matching.routes as r
    left join group_versions as g on r.target_id = g.version_key
    where g.group_id is not null or r.target_id < 0
),

unrouted as (
    select r.account_key as group_id, r.receipt_key, r.received_date, r.amount_minor, null::bigint as target_id,
    from matching.receipts as r
    semi join matching.charged_accounts as c on r.account_key = c.account_key
    anti join matching.routes as o on r.receipt_key = o.receipt_key
)

select m.group_id, m.receipt_key, m.received_date, m.amount_minor, m.target_id, s.target_id as spill_target_id,
from (from routed union all from unrouted) as m
left join matching.spills as s on m.receipt_key = s.receipt_key
