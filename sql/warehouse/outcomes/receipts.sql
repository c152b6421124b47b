-- grain: one row per allocation and span of dates in which the book said so
-- description: Money applied to installments, and from when to when that was known. Plain money is known on the day it comes and stays;
--   a reversal ends what was known, and credit is known to pay an installment when it is applied.
-- keep: no
-- columns:
--   version_key: the version
--   sequence: installment it was applied to
--   received_date: date on which the money came
--   known_from: first date on which it was known to pay this installment
--   known_to: first date on which it no longer did; 9999-12-31 while it does
--   amount_minor: part of the payment applied to the installment (minor units)
select
    v.version_key,
    h.sequence,
    h.received_date,
    greatest(h.received_date, h.applied_on, h.valid_from) as known_from,
    coalesce(h.valid_to, date '9999-12-31') as known_to,
    h.amount_minor,
from matching.allocation_history h
join outcomes.versions v using (commitment_id, version)
where known_from < known_to
