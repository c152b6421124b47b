-- grain: one row per receipt directed to a version outside of groups, with money left in it
-- description: The money of each such version in the order in which it came, less what reversals took.
-- columns:
--   line_id: version_key
--   receipt_key: receipt
--   upto_minor: running total of the version (minor units)
-- keep: no
with taken as (
    select receipt_key, sum(amount_minor) as amount_minor,
    from matching.reversed_parts
    group by receipt_key
),

kept as (
    select r.target_id as line_id, r.receipt_key, r.amount_minor - coalesce(t.amount_minor, 0) as amount_minor,
    from matching.routes as r
    left join taken as t on r.receipt_key = t.receipt_key
    where r.target_id > 0 and r.target_id not in (select version_key from matching.groups where version_key is not null)
)

select
    line_id,
    receipt_key,
    (sum(amount_minor) over (partition by line_id order by receipt_key rows unbounded preceding))::bigint as upto_minor,
from kept
where amount_minor > 0
