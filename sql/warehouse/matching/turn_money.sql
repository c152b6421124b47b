-- grain: one row per replay and payment whose turn it is
-- description: Money of the turn now being applied: the first one here, the later ones by warehouse/allocation.py.
-- columns:
--   replay_id: replay
--   target_id: versions that may be paid
--   payment_key: payment
--   amount_minor: money to apply (minor units)
-- keep: no
select replay_id, target_id, payment_key, amount_minor,
from matching.turns
where turn = 1
