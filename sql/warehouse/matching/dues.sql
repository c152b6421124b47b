-- grain: one row per installment of a version that was ever in force
-- description: What money can be applied to, numbered in the order in which it is: oldest due first.
-- columns:
--   installment_key: number in order of (due_date, commitment_id, version, sequence): the bits above 36 are the day, those below the place of
--     the installment in the book
--   version_key: version it belongs to
--   sequence: place in the schedule
--   due_date: date after the business-day rule
--   amount_minor: amount by the terms (minor units)
--   upto_minor: running total of the version in that order (minor units)
-- keep: no
select
    ((i.due_date - date '1900-01-01')::bigint << 36) + p.first_line + i.sequence as installment_key,
    p.version_key,
    i.sequence,
    i.due_date,
    i.amount_minor,
    (sum(i.amount_minor) over (partition by p.version_key order by installment_key rows unbounded preceding))::bigint as upto_minor,
from core.installments as i
inner join matching.version_lines as p on i.commitment_id = p.commitment_id and i.version = p.version
