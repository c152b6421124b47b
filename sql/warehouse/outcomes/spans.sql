-- grain: one row per installment whose past came to be seen differently, and span of dates between
-- description: From one span to the next, what is known of the same past money changes; within one, plain money comes and that is all.
--   The last span is what is known on as_of. All other installments have one view for ever and are not here.
-- keep: no
-- columns:
--   version_key: the version
--   sequence: the installment
--   place: its place in the order of due dates
--   known_from: first date of the span; 0001-01-01 for the beginning
--   known_to: first date after the span; 9999-12-31 for the last one
with watched as (
    select l.version_key, l.sequence, l.place, l.first_known_on, v.kind, v.is_tolerant, v.kind = 'repeating_promise' or v.is_tolerant as is_any,
    from outcomes.earlier e
    join outcomes.lines l using (version_key, sequence)
    join outcomes.versions v using (version_key)
    where e.is_turned
),

placed_turns as (
    select t.version_key, l.place, t.turned_on
    from outcomes.turns t
    join outcomes.lines l using (version_key, sequence)
),

-- With tolerance an installment may be satisfied without money of its own, but not before enough of the version's is known.
known_money as (
    select t.version_key, t.turned_on, sum(r.amount_minor) as known_minor
    from (select distinct version_key, turned_on from outcomes.turns) t
    semi join outcomes.thresholds h on t.version_key = h.version_key
    join outcomes.receipts r on t.version_key = r.version_key and r.known_from <= t.turned_on
    group by t.version_key, t.turned_on
),

cuts as (
    select version_key, sequence, turned_on from outcomes.turns
    union
    select w.version_key, w.sequence, t.turned_on
    from watched w
    join placed_turns t on w.version_key = t.version_key and t.place < w.place and (w.is_any or t.turned_on > w.first_known_on)
    left join outcomes.thresholds h on w.version_key = h.version_key and w.sequence = h.sequence
    left join known_money m on w.is_tolerant and t.version_key = m.version_key and t.turned_on = m.turned_on
    where not w.is_tolerant or coalesce(h.least_minor, 0) <= coalesce(m.known_minor, 0)
),

starts as (
    select version_key, sequence, turned_on as known_from from cuts
    union all
    select distinct version_key, sequence, date '0001-01-01' as known_from from cuts
)

select
    s.version_key,
    s.sequence,
    w.place,
    s.known_from,
    lead(s.known_from, 1, date '9999-12-31') over (partition by s.version_key, s.sequence order by s.known_from) as known_to,
from starts s
join watched w using (version_key, sequence)
