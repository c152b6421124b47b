-- grain: one row per version that replaces an earlier one and target that could pay the earlier one
-- description: Whose unapplied money a new version may use: that of payments which could go to the same commitment when they came.
-- columns:
--   version_key: the new version
--   target_id: target of the route of such payments
-- keep: no
select distinct later.version_key, m.target_id,
from matching.version_keys as later
inner join matching.version_keys as earlier
    on later.commitment_key = earlier.commitment_key and earlier.effective_from < later.effective_from
inner join matching.target_members as m on earlier.version_key = m.version_key
where later.version_count > 1
