-- grain: one row per part of a payment applied to an installment and interval in which the book said so
-- description: What was allocated as known on a business date D: rows with valid_from <= D < valid_to (NULL = unbounded) and received_date <= D, without
--   the reversals dated after D. Rows with valid_to NULL are matching.allocations.
-- columns:
--   commitment_id: commitment
--   version: version of the commitment
--   sequence: installment
--   payment_id: payment
--   received_date: date of the money
--   amount_minor: amount applied (minor units)
--   valid_from: first day on which it was so: of the epoch between two reversals, or of the version that took over older credit (NULL = from the
--     received_date on)
--   valid_to: first day on which it no longer was (NULL = still so)
select
    v.commitment_id,
    v.version,
    d.sequence,
    p.payment_id,
    p.received_date,
    a.amount_minor,
    case when p.received_date < v.effective_from then greatest(e.valid_from, v.effective_from) else e.valid_from end as valid_from,
    e.valid_to,
from matching.applied as a
inner join matching.receipts as p on a.payment_key = p.payment_key
inner join matching.dues as d on a.installment_key = d.installment_key
inner join matching.version_keys as v on d.version_key = v.version_key
left join matching.epochs as e on a.replay_id = e.replay_id
order by v.commitment_id, v.version, d.sequence, p.received_date, p.payment_id, valid_from nulls first
