-- grain: one row per row of outcomes.judgements whose money came on both sides of its due date or deadline
-- description: What of the money came before and after. All other installments got theirs on one side.
-- keep: no
-- columns:
--   version_key: the version
--   sequence: the installment
--   known_to: first date after the span
--   in_advance_minor: received before the due date (minor units)
--   late_minor: received after the due date (minor units)
--   by_deadline_minor: received by the deadline, or while there is none by due date and grace (minor units)
with split as (
    select version_key, sequence, known_to, due_date, coalesce(deadline, due_date + grace_days) as last_day,
    from outcomes.judgements
    where
        first_on < last_on
        and ((first_on <= due_date and last_on >= due_date) or (first_on <= last_day and last_on > last_day))
)

select
    s.version_key,
    s.sequence,
    s.known_to,
    sum(case when r.received_date < s.due_date then r.amount_minor else 0 end)::bigint as in_advance_minor,
    sum(case when r.received_date > s.due_date then r.amount_minor else 0 end)::bigint as late_minor,
    sum(case when r.received_date <= s.last_day then r.amount_minor else 0 end)::bigint as by_deadline_minor,
from outcomes.receipts r
join split s
    on r.version_key = s.version_key
    and r.sequence = s.sequence
    and r.known_from < s.known_to
    and r.known_to >= s.known_to
group by all
