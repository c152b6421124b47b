-- grain: one row per replay of a group, event, receipt and installment it pays a part of
-- description: Where the money of groups went. Filled by warehouse/allocation.py, in rounds and turns.
-- columns:
--   replay_id: group_id for the replay that holds today, else that of an epoch
--   event_key: event that applied it
--   applied_on: its day
--   receipt_key: receipt
--   version_key: version paid
--   installment_key: installment
--   amount_minor: amount applied (minor units)
-- keep: no
-- after: applied, charged_accounts, debit_lines, dues, epochs, group_events, group_receipts, groups, receipts, returned_rows, reversed_parts,
--   target_members, turn_dues, turn_money, version_keys, version_lines
select
    group_id as replay_id,
    event_key,
    on_date as applied_on,
    receipt_key,
    target_id as version_key,
    target_id as installment_key,
    target_id as amount_minor,
from matching.group_events
where false
