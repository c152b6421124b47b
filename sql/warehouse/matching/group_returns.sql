-- grain: one row per replay of a group, chargeback or refund and receipt it takes from
-- description: Unapplied money that went back. Filled by warehouse/allocation.py; what reversals take is in matching.reversed_parts.
-- columns:
--   replay_id: group_id for the replay that holds today, else that of an epoch
--   event_key: event that took it
--   receipt_key: receipt
--   returned_by: the chargeback or refund
--   returned_on: its day
--   amount_minor: amount taken (minor units)
-- keep: no
-- as: view
-- after: group_applied
select replay_id, event_key, receipt_key, returned_by, returned_on, amount_minor,
from matching.book_returns
