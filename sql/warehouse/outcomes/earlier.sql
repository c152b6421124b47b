-- grain: one row per line for which the installments before it matter
-- description: Without tolerance an installment is satisfied when it and all before it are full: on the latest of the dates on which
--   they were. Mostly that is its own, and it is not here. Here are those that were full before an earlier one was, those of repeating
--   promises, which roll, and those whose past came to be seen differently, by their own money or by that of earlier ones.
-- keep: no
-- columns:
--   version_key: the version
--   sequence: the installment
--   full_before_on: latest full_on of the earlier ones; NULL for the first, 9999-12-31 when one is not full
--   calm_before_on: the same of those whose own past was never seen differently
--   is_turned: whether its past came to be seen differently
select
    l.version_key,
    l.sequence,
    max(l.full_on) over before as full_before_on,
    max(case when l.turned_on is null then l.full_on end) over before as calm_before_on,
    -- what comes to light about earlier ones before any money for this one came, makes no difference to it
    l.turned_on is not null
    or coalesce(max(l.turned_on) over before > case when v.kind = 'repeating_promise' or v.is_tolerant then date '0001-01-01' else l.first_known_on end, false)
        as is_turned,
from outcomes.lines l
join outcomes.versions v using (version_key)
window before as (partition by l.version_key order by l.due_date, l.sequence rows between unbounded preceding and 1 preceding)
qualify is_turned or full_before_on > l.full_on or v.kind = 'repeating_promise'
