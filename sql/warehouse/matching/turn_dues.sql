-- grain: one row per replay, target whose turn it is and installment with something left to pay
-- description: What the money of the turn can be applied to. An installment_key is also its place in the order.
-- columns:
--   replay_id: replay
--   target_id: versions that may be paid
--   installment_key: installment
--   amount_minor: left to pay (minor units)
-- keep: no
select t.replay_id, t.target_id, d.installment_key, d.amount_minor,
from (select distinct replay_id, target_id, from matching.turn_money) as t
inner join matching.target_members as m on t.target_id = m.target_id
inner join matching.dues as d on m.version_key = d.version_key
where d.amount_minor > 0
