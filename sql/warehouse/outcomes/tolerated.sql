-- grain: one row per installment of a version that forgives something, and span of knowledge
-- description: When the money of the version had reached what an installment takes. While it fills installments in order that is one
--   running total; surplus kept for the end of a plan leaves a gap before it, and then, as in the past, every installment is added up by itself.
-- keep: no
-- columns:
--   version_key: the version
--   sequence: the installment
--   known_to: first date after the span; 9999-12-31 for what is known now
--   satisfied_on: received date of the money that did it; 0001-01-01 when none was needed, 9999-12-31 when it has not come
--   before_on: the same of the installment before; NULL for the first
with money as (
    select
        r.version_key,
        h.place,
        r.received_date,
        sum(r.amount_minor) over so_far as running_minor,
        sum(r.amount_minor) over so_far - r.amount_minor >= h.due_before_minor as is_in_order,
    from outcomes.receipts r
    join outcomes.thresholds h using (version_key, sequence)
    where r.known_to = date '9999-12-31'
    window so_far as (
        partition by r.version_key order by r.received_date, h.place, r.known_from, r.amount_minor
        rows between unbounded preceding and current row
    )
),

jumbled as (
    select distinct version_key from money where not is_in_order
),

by_running_total as (
    select h.version_key, h.sequence, h.place, coalesce(m.received_date, date '9999-12-31') as reached_on, h.threshold_minor,
    from outcomes.thresholds h
    asof left join money m on h.version_key = m.version_key and h.threshold_minor <= m.running_minor
    where h.version_key not in (from jumbled)
),

in_order as (
    select
        version_key,
        sequence,
        date '9999-12-31' as known_to,
        if(threshold_minor <= 0, date '0001-01-01', reached_on) as satisfied_on,
        lag(satisfied_on) over (partition by version_key order by place) as before_on,
    from by_running_total
),

-- each by itself: all of a version without order, and what was known in the past
asked as (
    select h.version_key, h.sequence, h.place, date '9999-12-31' as known_to
    from outcomes.thresholds h
    semi join jumbled j on h.version_key = j.version_key
    union all
    select s.version_key, s.sequence, s.place, s.known_to
    from outcomes.spans s
    join outcomes.versions v using (version_key)
    where v.is_tolerant and s.known_to < date '9999-12-31'
),

charged as (
    select a.version_key, a.sequence, a.known_to, c.sequence as charged_sequence, sum(c.amount_minor)::bigint as charged_minor
    from asked a
    join outcomes.charges c on a.version_key = c.version_key and c.known_from < a.known_to and c.known_to >= a.known_to
    group by all
),

needed as (
    select
        a.version_key,
        a.sequence,
        a.place,
        a.known_to,
        l.place as earlier_place,
        l.terms_minor + coalesce(c.charged_minor, 0) as due_minor,
        -- an installment that is not there forgives nothing
        if(
            l.is_added and due_minor = 0,
            0,
            due_minor - greatest(v.tolerance_minor, due_minor::hugeint * v.tolerance_per_million // 1000000)::bigint
        ) as needed_minor,
    from asked a
    join outcomes.versions v using (version_key)
    join outcomes.lines l on a.version_key = l.version_key and l.place <= a.place
    left join charged c
        on a.version_key = c.version_key
        and a.sequence = c.sequence
        and a.known_to = c.known_to
        and l.sequence = c.charged_sequence
),

asked_for as (
    select
        version_key,
        sequence,
        place,
        known_to,
        sum(needed_minor) as threshold_minor,
        sum(case when earlier_place < place then needed_minor end) as threshold_before_minor,
    from needed
    group by all
),

prefixes as (
    select
        a.version_key,
        a.sequence,
        a.known_to,
        r.received_date,
        sum(r.amount_minor) over so_far as prefix_minor,
        sum(case when l.place < a.place then r.amount_minor else 0 end) over so_far as prefix_before_minor,
        a.threshold_minor,
        a.threshold_before_minor,
    from asked_for a
    join outcomes.lines l on a.version_key = l.version_key and l.place <= a.place
    join outcomes.receipts r
        on l.version_key = r.version_key
        and l.sequence = r.sequence
        and r.known_from < a.known_to
        and r.known_to >= a.known_to
    window so_far as (partition by a.version_key, a.sequence, a.known_to order by r.received_date)
),

reached as (
    select
        version_key,
        sequence,
        known_to,
        min(received_date) filter (where prefix_minor >= threshold_minor) as satisfied_on,
        min(received_date) filter (where prefix_before_minor >= threshold_before_minor) as before_on,
    from prefixes
    group by all
)

from in_order
union all by name
select
    a.version_key,
    a.sequence,
    a.known_to,
    if(a.threshold_minor <= 0, date '0001-01-01', coalesce(r.satisfied_on, date '9999-12-31')) as satisfied_on,
    case
        when a.threshold_before_minor is null then null
        when a.threshold_before_minor <= 0 then date '0001-01-01'
        else coalesce(r.before_on, date '9999-12-31')
    end as before_on,
from asked_for a
left join reached r using (version_key, sequence, known_to)
