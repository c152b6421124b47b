-- grain: one row per line and receipt
-- description: Money to lay beside the dues of its line: here that of all versions outside of groups, later one turn of every group
--   (warehouse/allocation.py).
-- columns:
--   line_id: the line
--   receipt_key: receipt (0 = money before the line)
--   upto_minor: running total of the line (minor units)
-- keep: no
-- as: view
select line_id, receipt_key, upto_minor,
from matching.plain_money
union all
select line_id, receipt_key, upto_minor,
from matching.replayed_money
