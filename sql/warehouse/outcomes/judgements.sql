-- grain: one row per installment and span of knowledge
-- description: When each installment was satisfied and what the verdict is, in the light of what was known in the span. A reversal,
--   credit or a chargeback turns later spans, never earlier ones: that is what keeps the first verdict. Most have one span.
-- keep: no
-- columns:
--   version_key: the version
--   sequence: the installment
--   place: its place in the order of due dates
--   known_from: first date of the span; 0001-01-01 for the beginning
--   known_to: first date after the span; 9999-12-31 for the last one
--   is_there: false while an installment a chargeback adds is not there
--   is_added: whether a chargeback added it
--   due_date: date on which it is due
--   nominal_due_date: due date before the business-day rule
--   grace_days: calendar days of grace
--   amount_minor: amount due (minor units)
--   charged_back_minor: of it, added by chargebacks (minor units)
--   paid_minor: allocated to it (minor units)
--   first_on: received date of its first money
--   last_on: received date of its last money
--   satisfied_on: received date of the money that satisfied it; NULL if nothing did
--   is_reached: whether the one before it is satisfied (repeating promises do not roll before); true for all others
--   rolled_on: date on which it was reached, of repeating promises after the first installment
--   deadline: last day to satisfy it; NULL while it is not reached
--   is_withdrawn: whether the version ended before it came due, or before its deadline had passed while it was not satisfied: then
--     grace never ran out, and it is not scored
--   verdict: kept, partially_kept or broken once the deadline has passed; NULL when it is not to be scored
with views as (
    select
        l.version_key,
        l.sequence,
        l.place,
        coalesce(s.known_from, date '0001-01-01') as known_from,
        date '9999-12-31' as known_to,
        not l.is_added or l.amount_minor > 0 as is_there,
        l.is_added,
        l.due_date,
        l.nominal_due_date,
        l.grace_days,
        l.amount_minor,
        l.amount_minor - l.terms_minor as charged_back_minor,
        l.paid_minor,
        l.first_on,
        l.last_on,
        coalesce(t.satisfied_on, greatest(l.full_on, e.full_before_on)) as reached_on,
        coalesce(t.before_on, e.full_before_on) as before_on,
    from outcomes.lines l
    left join outcomes.earlier e on l.version_key = e.version_key and l.sequence = e.sequence
    left join (from outcomes.spans where known_to = date '9999-12-31') s on l.version_key = s.version_key and l.sequence = s.sequence
    left join (from outcomes.tolerated where known_to = date '9999-12-31') t on l.version_key = t.version_key and l.sequence = t.sequence
    union all
    select
        p.version_key,
        p.sequence,
        p.place,
        p.known_from,
        p.known_to,
        not l.is_added or p.amount_minor > 0 as is_there,
        l.is_added,
        l.due_date,
        l.nominal_due_date,
        l.grace_days,
        p.amount_minor,
        p.amount_minor - l.terms_minor as charged_back_minor,
        p.paid_minor,
        p.first_on,
        p.last_on,
        b.satisfied_on as reached_on,
        b.before_on,
    from outcomes.past b
    join outcomes.pieces p using (version_key, sequence, known_to)
    join outcomes.lines l using (version_key, sequence)
),

-- with tolerance two installments may be satisfied together when the first alone is not: then the promise has rolled, too
rolled as (
    select * replace (case when before_on is not null then least(before_on, reached_on) end as before_on) from views
)

select
    w.version_key,
    w.sequence,
    w.place,
    w.known_from,
    w.known_to,
    w.is_there,
    w.is_added,
    w.due_date,
    w.nominal_due_date,
    w.grace_days,
    w.amount_minor,
    w.charged_back_minor,
    w.paid_minor,
    w.first_on,
    w.last_on,
    case w.reached_on when date '0001-01-01' then v.effective_from when date '9999-12-31' then null else w.reached_on end as satisfied_on,
    v.kind <> 'repeating_promise' or w.before_on is null or w.before_on < date '9999-12-31' as is_reached,
    case
        when v.kind <> 'repeating_promise' or w.before_on = date '9999-12-31' then null
        when w.before_on = date '0001-01-01' then v.effective_from
        else w.before_on
    end as rolled_on,
    case when is_reached then greatest(w.due_date + w.grace_days, rolled_on) end as deadline,
    v.effective_to is not null
    and (
        w.due_date >= v.effective_to
        or not is_reached
        or (v.effective_to <= deadline and not coalesce(satisfied_on <= deadline, false))
    ) as is_withdrawn,
    case
        when is_withdrawn or not is_reached then null
        when satisfied_on <= deadline then 'kept'
        when w.first_on <= deadline then 'partially_kept'
        else 'broken'
    end as verdict,
from rolled w
join outcomes.versions v using (version_key)
