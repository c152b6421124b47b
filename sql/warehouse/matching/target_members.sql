-- grain: one row per target and version that shares it
-- description: Which versions a target of a route stands for: itself, or all those in force in a period (route oldest_due, and
--   what an exact amount leaves over).
-- columns:
--   target_id: target of a route
--   version_key: version whose installments it may pay
--   commitment_key: its commitment
-- keep: no
select version_key as target_id, version_key, commitment_key,
from matching.version_keys
union all
select -p.period_key, v.version_key, v.commitment_key,
from matching.in_force_periods as p
inner join matching.version_keys as v
    on p.account_key = v.account_key
    and p.starts_on >= v.effective_from
    and (v.effective_to is null or p.starts_on < v.effective_to)
where -p.period_key in (select target_id from matching.routes where target_id < 0 union select target_id from matching.spills)
