-- grain: one row per installment of a version of core.versions, those added by chargebacks included
-- description: State and verdict of every installment as of the run's date. What is published makes the sentence from these figures.
-- columns:
--   commitment_id: the commitment
--   version: the version
--   sequence: place in the schedule, from 1
--   customer_id: the customer who committed
--   kind: promise, repeating_promise or plan
--   currency: ISO 4217 code
--   due_date: date on which it is due
--   nominal_due_date: due date before the business-day rule
--   grace_days: calendar days of grace
--   deadline: last day to satisfy it: due date plus grace, of a repeating promise not before the day it rolled there; NULL
--     while a repeating promise has not rolled to it
--   effective_to: first date on which its version is no longer in force; NULL while it is
--   tolerance_minor: its own share of the tolerance (minor units)
--   amount_minor: amount due, with what chargebacks added (minor units)
--   charged_back_minor: of it, added by chargebacks (minor units)
--   is_added: whether a chargeback added the whole installment
--   paid_minor: allocated to it (minor units)
--   paid_in_advance_minor: of it, received before the due date (minor units)
--   paid_late_minor: of it, received after the due date (minor units)
--   paid_by_deadline_minor: of it, received by the deadline (minor units)
--   outstanding_minor: amount less paid; 0 once the version has ended, since nothing is owed under it (minor units)
--   status: scheduled, due_soon, due_today, in_grace, broken, kept, recovered, cancelled or superseded
--   verdict: kept, partially_kept, broken or open; NULL when it is not scored: its version ended before it was due, or before its
--     deadline had passed while it was not satisfied
--   first_verdict: verdict when the deadline passed, by what was known on that day; NULL before
--   on_time: whether it was kept by the due date itself; NULL while open
--   kept_on: received date of the money that satisfied it; NULL if not satisfied or not scored
--   broken_on: first day after a deadline that passed unsatisfied
--   days_late: days from the due date to kept_on, to as_of while unsatisfied, or to the end of the version; NULL when not scored
with first_verdicts as (
    -- the span that holds the deadline is what was known when grace ran out
    select j.version_key, j.sequence, arg_min(j.verdict, j.deadline) as first_verdict
    from outcomes.judgements j
    cross join ledger.params p
    where
        (j.known_from > date '0001-01-01' or j.known_to < date '9999-12-31')
        and j.is_there
        and j.deadline between j.known_from and j.known_to - 1
        and j.deadline < p.as_of
        and j.verdict is not null
    group by all
)

select
    v.commitment_id,
    v.version,
    j.sequence,
    v.customer_id,
    v.kind,
    v.currency,
    j.due_date,
    j.nominal_due_date,
    j.grace_days,
    j.deadline,
    v.effective_to,
    if(
        v.is_tolerant,
        greatest(v.tolerance_minor, j.amount_minor::hugeint * v.tolerance_per_million // 1000000)::bigint,
        0
    ) as tolerance_minor,
    j.amount_minor,
    j.charged_back_minor,
    j.is_added,
    j.paid_minor,
    case
        when s.known_to is not null then s.in_advance_minor
        when j.last_on < j.due_date then j.paid_minor
        else 0
    end as paid_in_advance_minor,
    case
        when s.known_to is not null then s.late_minor
        when j.first_on > j.due_date then j.paid_minor
        else 0
    end as paid_late_minor,
    case
        when s.known_to is not null then s.by_deadline_minor
        when j.last_on <= coalesce(j.deadline, j.due_date + j.grace_days) then j.paid_minor
        else 0
    end as paid_by_deadline_minor,
    if(v.effective_to is null, j.amount_minor - j.paid_minor, 0) as outstanding_minor,
    case
        when j.is_withdrawn then v.end_kind
        when j.verdict = 'kept' then 'kept'
        when j.satisfied_on is not null then 'recovered'
        when p.as_of > j.deadline then 'broken'
        when not j.is_reached or j.due_date > p.as_of + p.due_soon_days then 'scheduled'
        when j.due_date > p.as_of then 'due_soon'
        when j.due_date = p.as_of then 'due_today'
        else 'in_grace'
    end as status,
    case
        when j.verdict is null and j.is_withdrawn then null
        when j.verdict = 'kept' or p.as_of > j.deadline then j.verdict
        else 'open'
    end as verdict,
    case
        when j.is_withdrawn then null
        when f.first_verdict is not null then f.first_verdict
        when j.known_from = date '0001-01-01' and p.as_of > j.deadline then j.verdict
    end as first_verdict,
    case
        when j.verdict = 'kept' then j.satisfied_on <= j.due_date
        when p.as_of > j.deadline and j.verdict is not null then false
    end as on_time,
    case when not j.is_withdrawn then j.satisfied_on end as kept_on,
    case when status in ('broken', 'recovered') then j.deadline + 1 end as broken_on,
    case
        when j.is_withdrawn then null
        when not j.is_reached then 0
        else greatest(0, coalesce(j.satisfied_on, v.effective_to, p.as_of) - j.due_date)::integer
    end as days_late,
from outcomes.judgements j
join outcomes.versions v using (version_key)
left join outcomes.splits s on j.version_key = s.version_key and j.sequence = s.sequence and j.known_to = s.known_to
left join first_verdicts f on j.version_key = f.version_key and j.sequence = f.sequence
cross join ledger.params p
where j.known_to = date '9999-12-31' and j.is_there
