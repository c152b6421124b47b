-- grain: one row per replay of a group, chargeback and version it puts a debit on
-- description: What has to be paid again. Filled by warehouse/allocation.py.
-- columns:
--   replay_id: group_id for the replay that holds today, else that of an epoch
--   event_key: event
--   returned_by: the chargeback
--   version_key: version
--   installment_key: the installment it makes larger, or the new one
--   debited_on: day of the chargeback
--   amount_minor: amount (minor units)
-- keep: no
-- as: view
-- after: group_applied
select replay_id, event_key, returned_by, version_key, installment_key, debited_on, amount_minor,
from matching.book_debits
