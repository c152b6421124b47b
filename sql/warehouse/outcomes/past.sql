-- grain: one row per span of outcomes.spans that is over
-- description: When an installment and those before it were full, as known on the last day of the span.
-- keep: no
-- columns:
--   version_key: the version
--   sequence: the installment
--   known_to: first date after the span
--   satisfied_on: received date of the money that satisfied it; 0001-01-01 when nothing was due, 9999-12-31 when it was not satisfied
--   before_on: the same of the installments before it; NULL for the first
with asked as (
    select p.* exclude (known_from, has_turned, amount_minor, paid_minor, first_on, last_on), v.kind, v.is_tolerant, e.calm_before_on,
    from outcomes.pieces p
    join outcomes.versions v using (version_key)
    join outcomes.earlier e using (version_key, sequence)
    where p.known_to < date '9999-12-31'
),

turned_before as (
    select a.version_key, a.sequence, a.known_to, max(p.full_on) as full_on
    from asked a
    join outcomes.pieces p
        on a.version_key = p.version_key
        and p.place < a.place
        and p.has_turned
        and p.known_from < a.known_to
        and p.known_to >= a.known_to
    -- one that was not full itself was not satisfied, whatever those before it were
    where not a.is_tolerant and (a.full_on < date '9999-12-31' or a.kind = 'repeating_promise')
    group by all
),

filled as (
    select
        a.*,
        -- plain money is known when it comes: what came later was not known yet
        greatest(b.full_on, case when a.calm_before_on >= a.known_to then date '9999-12-31' else a.calm_before_on end) as full_before_on,
    from asked a
    left join turned_before b using (version_key, sequence, known_to)
)

select
    f.version_key,
    f.sequence,
    f.known_to,
    if(f.is_tolerant, t.satisfied_on, greatest(f.full_on, f.full_before_on)) as satisfied_on,
    if(f.is_tolerant, t.before_on, f.full_before_on) as before_on,
from filled f
left join outcomes.tolerated t using (version_key, sequence, known_to)
