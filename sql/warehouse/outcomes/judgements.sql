-- grain: one row per installment and span of knowledge
-- description: When each installment was satisfied and what the verdict is, in the light of what was known in the span. A
--   reversal turns later spans, never earlier ones: that is what keeps the first verdict.
-- keep: no
-- columns:
--   commitment_id: the commitment
--   version: the version
--   sequence: the installment
--   known_from: first date of the span; 0001-01-01 for the beginning
--   known_to: first date after the span; 9999-12-31 for the last one
--   satisfied_on: received date of the money that satisfied it; NULL if nothing did
--   is_reached: whether the one before it is satisfied (repeating promises do not roll before); true for all others
--   rolled_on: date on which it was reached, of repeating promises after the first installment
--   deadline: last day to satisfy it; NULL while it is not reached
--   is_withdrawn: whether the version ended before it came due, or before its deadline had passed while it was not satisfied: then
--     grace never ran out, and it is not scored
--   paid_minor: allocated (minor units)
--   paid_in_advance_minor: received before the due date (minor units)
--   paid_late_minor: received after the due date (minor units)
--   paid_by_deadline_minor: received by the deadline (minor units)
--   verdict: kept, partially_kept or broken once the deadline has passed; NULL when it is not to be scored
with known as (
    select
        t.*,
        coalesce(e.known_from, date '0001-01-01') as known_from,
        coalesce(e.known_to, date '9999-12-31') as known_to,
    from outcomes.terms t
    left join outcomes.epochs e using (commitment_id, version)
),

by_running_total as (
    select
        k.*,
        case when k.threshold_minor <= 0 then k.effective_from else r.received_date end as reached_total_on,
    from known k
    asof left join outcomes.receipts r
        on k.commitment_id = r.commitment_id
        and k.version = r.version
        and k.known_from = r.known_from
        and k.threshold_minor <= r.running_minor
),

-- Surplus kept for the end of a plan leaves a gap before it: then the running total of a version says nothing about its
-- first installments, and each prefix is added up by itself.
jumbled as (
    select distinct commitment_id, version, known_from from outcomes.receipts where not is_in_order
),

prefixes as (
    select
        k.commitment_id,
        k.version,
        k.known_from,
        k.sequence,
        k.threshold_minor,
        r.received_date,
        sum(r.amount_minor) over (
            partition by k.commitment_id, k.version, k.known_from, k.sequence order by r.received_date
        ) as prefix_minor,
    from jumbled
    join known k using (commitment_id, version, known_from)
    join outcomes.receipts r
        on k.commitment_id = r.commitment_id
        and k.version = r.version
        and k.known_from = r.known_from
        and r.position <= k.position
),

by_prefix as (
    select commitment_id, version, known_from, sequence, min(received_date) filter (where prefix_minor >= threshold_minor) as satisfied_on
    from prefixes
    group by all
),

satisfied as (
    select
        k.* exclude (reached_total_on),
        case
            when j.commitment_id is null or k.threshold_minor <= 0 then k.reached_total_on
            else p.satisfied_on
        end as satisfied_on,
    from by_running_total k
    left join jumbled j using (commitment_id, version, known_from)
    left join by_prefix p using (commitment_id, version, known_from, sequence)
),

rolls as (
    select
        commitment_id,
        version,
        known_from,
        sequence,
        lag(satisfied_on) over (partition by commitment_id, version, known_from order by position) as rolled_on,
    from satisfied
    where kind = 'repeating_promise'
),

timed as (
    select
        s.*,
        s.kind <> 'repeating_promise' or s.position = 1 or r.rolled_on is not null as is_reached,
        r.rolled_on,
        case when is_reached then greatest(s.base_deadline, r.rolled_on) end as deadline,
        s.effective_to is not null
        and (
            s.due_date >= s.effective_to
            or not is_reached
            or (s.effective_to <= deadline and not coalesce(s.satisfied_on <= deadline, false))
        ) as is_withdrawn,
    from satisfied s
    left join rolls r using (commitment_id, version, known_from, sequence)
),

paid as (
    select
        t.commitment_id,
        t.version,
        t.known_from,
        t.sequence,
        sum(r.amount_minor)::bigint as paid_minor,
        sum(case when r.received_date < t.due_date then r.amount_minor else 0 end)::bigint as paid_in_advance_minor,
        sum(case when r.received_date > t.due_date then r.amount_minor else 0 end)::bigint as paid_late_minor,
        sum(case when r.received_date <= coalesce(t.deadline, t.base_deadline) then r.amount_minor else 0 end)::bigint
            as paid_by_deadline_minor,
    from outcomes.receipts r
    join timed t using (commitment_id, version, known_from, sequence)
    group by all
)

select
    t.commitment_id,
    t.version,
    t.sequence,
    t.known_from,
    t.known_to,
    t.satisfied_on,
    t.is_reached,
    t.rolled_on,
    t.deadline,
    t.is_withdrawn,
    coalesce(p.paid_minor, 0) as paid_minor,
    coalesce(p.paid_in_advance_minor, 0) as paid_in_advance_minor,
    coalesce(p.paid_late_minor, 0) as paid_late_minor,
    coalesce(p.paid_by_deadline_minor, 0) as paid_by_deadline_minor,
    case
        when t.is_withdrawn or not t.is_reached then null
        when t.satisfied_on <= t.deadline then 'kept'
        when p.paid_by_deadline_minor > 0 then 'partially_kept'
        else 'broken'
    end as verdict,
from timed t
left join paid p using (commitment_id, version, known_from, sequence)
