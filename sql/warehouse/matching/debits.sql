-- grain: one row per chargeback and installment it made larger, or made, and interval in which the book said so
-- description: What has to be paid again. As known on D: rows with debited_on <= D and valid_from <= D < valid_to (NULL = unbounded).
-- columns:
--   commitment_id: commitment
--   version: version of the commitment
--   sequence: installment
--   payment_id: the chargeback
--   amount_minor: amount (minor units)
--   debited_on: day of the chargeback
--   due_date: due date of the installment
--   nominal_due_date: the same before the business-day rule
--   grace_days: calendar days of grace of the installment; of a new one those of the last before it
--   is_added: whether the chargeback made the installment
--   valid_from: first day on which the book said so (NULL = from debited_on on)
--   valid_to: first day on which it no longer did (NULL = still so)
with everything as (
    select g.*, e.valid_from, e.valid_to,
    from matching.group_debits as g
    inner join matching.epochs as e on g.replay_id = e.replay_id
    union all
    select g.*, max(e.valid_to), null,
    from matching.group_debits as g
    left join matching.epochs as e on g.replay_id = e.group_id and g.event_key >= e.from_key and g.debited_on < e.valid_to
    where g.replay_id in (select group_id from matching.groups)
    group by all
)

select
    l.commitment_id,
    l.version,
    d.sequence,
    a.returned_by as payment_id,
    a.amount_minor,
    a.debited_on,
    d.due_date,
    case when d.is_added then d.due_date else i.nominal_due_date end as nominal_due_date,
    i.grace_days,
    d.is_added,
    a.valid_from,
    a.valid_to,
from everything as a
inner join matching.debit_lines as d on a.version_key = d.version_key and a.debited_on = d.debited_on
inner join matching.version_lines as l on a.version_key = l.version_key
inner join core.installments as i
    on l.commitment_id = i.commitment_id and l.version = i.version and least(d.sequence, l.last_sequence) = i.sequence
