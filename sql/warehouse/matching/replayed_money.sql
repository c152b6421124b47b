-- grain: one row per receipt an epoch of a version outside of groups replays, and one where it begins
-- description: The same line of money as it was known in an epoch, from the first receipt on about which a later reversal says something else.
-- columns:
--   line_id: replay_id of the epoch
--   receipt_key: receipt (0 = where the line begins)
--   upto_minor: running total (minor units)
-- keep: no
with starts as (
    select e.replay_id, e.group_id, e.valid_to, e.from_key, coalesce(max(m.upto_minor), 0) as start_minor,
    from matching.epochs as e
    left join matching.plain_money as m on e.group_id = m.line_id and m.receipt_key < e.from_key
    where not e.is_grouped
    group by all
),

known as (
    select s.replay_id, s.start_minor, r.receipt_key, r.amount_minor - coalesce(sum(t.amount_minor), 0) as amount_minor,
    from starts as s
    inner join matching.routes as r
        on s.group_id = r.target_id and r.receipt_key >= s.from_key and r.received_date < s.valid_to
    left join matching.reversed_parts as t on r.receipt_key = t.receipt_key and t.returned_on < s.valid_to
    group by s.replay_id, s.start_minor, r.receipt_key, r.amount_minor
)

select replay_id as line_id, 0 as receipt_key, start_minor as upto_minor,
from starts
union all
select
    replay_id,
    receipt_key,
    (start_minor + sum(amount_minor) over (partition by replay_id order by receipt_key rows unbounded preceding))::bigint,
from known
where amount_minor > 0
