-- grain: one row per replay of a group, chargeback and commitment it charges; one for what the payment itself had unapplied
-- description: What each chargeback charges to whom. Filled by warehouse/allocation.py.
-- columns:
--   replay_id: group_id for the replay that holds today, else that of an epoch
--   event_key: event
--   returned_by: the chargeback
--   payment_id: payment charged back
--   commitment_key: commitment charged (0 = the payment's own unapplied money)
--   amount_minor: amount charged (minor units)
--   problem: why it has no effect, in words (NULL = it has)
-- keep: no
-- as: view
-- after: group_applied
select replay_id, event_key, returned_by, payment_id, commitment_key, amount_minor, problem,
from matching.book_charges
