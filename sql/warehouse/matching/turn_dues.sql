-- grain: one row per line and installment
-- description: Dues to lay beside the money of their line, in the order in which they are paid. With rule `hold` only what has fallen due while the version was in
--   force is there: money that came earlier waits for it.
-- columns:
--   line_id: the line
--   installment_key: installment
--   upto_minor: running total of the line (minor units)
-- keep: no
-- as: view
select d.version_key as line_id, d.installment_key, d.upto_minor,
from matching.dues as d
inner join matching.version_keys as v on d.version_key = v.version_key
where
    d.version_key not in (select version_key from matching.groups where version_key is not null)
    and (v.overpayment_rule <> 'hold' or d.due_date <= (select as_of from ledger.params) and (v.effective_to is null or d.due_date < v.effective_to))
union all
select b.line_id, d.installment_key, d.upto_minor,
from (
    select line_id, min(upto_minor) as start_minor, max(upto_minor) as end_minor,
    from matching.replayed_money
    group by line_id
) as b
inner join matching.epochs as e on b.line_id = e.replay_id
inner join matching.dues as d
    on e.group_id = d.version_key and d.upto_minor > b.start_minor and d.upto_minor - d.amount_minor < b.end_minor
inner join matching.version_keys as v on d.version_key = v.version_key
where v.overpayment_rule <> 'hold' or d.due_date < e.valid_to and (v.effective_to is null or d.due_date < v.effective_to)
