-- grain: one row per installment of a version of core.versions
-- description: State and verdict of every installment as of the run's date, with the reason in words and figures.
-- columns:
--   commitment_id: the commitment
--   version: the version
--   sequence: place in the schedule, from 1
--   kind: promise, repeating_promise or plan
--   currency: ISO 4217 code
--   due_date: date on which it is due
--   nominal_due_date: due date before the business-day rule
--   grace_days: calendar days of grace
--   deadline: last day to satisfy it: due date plus grace, of a repeating promise not before the day it rolled there; NULL
--     while a repeating promise has not rolled to it
--   tolerance_minor: its own share of the tolerance (minor units)
--   amount_minor: amount due (minor units)
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
--   reason: one sentence saying why it is in this state
with first_verdicts as (
    -- the span that holds the deadline is what was known when grace ran out
    select
        j.commitment_id,
        j.version,
        j.sequence,
        arg_min(j.verdict, j.deadline) as first_verdict,
    from outcomes.judgements j
    cross join ledger.params p
    where
        (j.known_from > date '0001-01-01' or j.known_to < date '9999-12-31')
        and j.deadline between j.known_from and j.known_to - 1
        and j.deadline < p.as_of
        and j.verdict is not null
    group by all
),

judged as (
    select
        t.*,
        j.deadline,
        j.is_reached,
        j.is_withdrawn,
        j.paid_minor,
        j.paid_in_advance_minor,
        j.paid_late_minor,
        j.paid_by_deadline_minor,
        p.as_of,
        case when t.end_kind is null then t.amount_minor - j.paid_minor else 0 end as outstanding_minor,
        t.amount_minor - j.paid_minor as missing_minor,
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
        case when not j.is_withdrawn then j.satisfied_on end as kept_on,
        case
            when j.is_withdrawn then t.end_kind
            when j.verdict = 'kept' then 'kept'
            when j.satisfied_on is not null then 'recovered'
            when p.as_of > j.deadline then 'broken'
            when not j.is_reached or t.due_date > p.as_of + p.due_soon_days then 'scheduled'
            when t.due_date > p.as_of then 'due_soon'
            when t.due_date = p.as_of then 'due_today'
            else 'in_grace'
        end as status,
        case when status in ('broken', 'recovered') then j.deadline + 1 end as broken_on,
        case
            when j.is_withdrawn then null
            when not j.is_reached then 0
            else greatest(0, coalesce(j.satisfied_on, t.effective_to, p.as_of) - t.due_date)::integer
        end as days_late,
    from outcomes.judgements j
    join outcomes.terms t using (commitment_id, version, sequence)
    left join first_verdicts f using (commitment_id, version, sequence)
    cross join ledger.params p
    where j.known_to = date '9999-12-31'
),

worded as (
    select
        *,
        [
            format('{:,}', m // scale) || case when scale > 1 then '.' || lpad((m % scale)::varchar, (len(scale::varchar) - 1)::integer, '0') else '' end
            -- most rows are paid in full or not at all, and their sentence needs one figure
            for m in case
                when status not in ('broken', 'recovered') and (missing_minor = 0 or (paid_minor = 0 and status <> 'kept')) then [amount_minor]
                else [amount_minor, paid_minor, missing_minor, paid_by_deadline_minor, paid_minor - paid_by_deadline_minor]
            end
        ] as said,
        strftime(due_date, '%-d %B %Y') as due_words,
        strftime(deadline, '%-d %B %Y') as deadline_words,
        strftime(kept_on, '%-d %B %Y') as kept_words,
        case when paid_by_deadline_minor > 0 then said[4] || ' of ' else 'Nothing of ' end
        || said[1] || ' ' || currency || ' due ' || due_words || ' arrived by ' || deadline_words as arrived_by_deadline,
    from judged
)

select
    commitment_id,
    version,
    sequence,
    kind,
    currency,
    due_date,
    nominal_due_date,
    grace_days,
    deadline,
    tolerance_minor,
    amount_minor,
    paid_minor,
    paid_in_advance_minor,
    paid_late_minor,
    paid_by_deadline_minor,
    outstanding_minor,
    status,
    verdict,
    first_verdict,
    case when verdict <> 'open' then verdict = 'kept' and kept_on <= due_date end as on_time,
    kept_on,
    broken_on,
    days_late,
    case
        when status = 'superseded' then
            said[1] || ' ' || currency || ' due ' || due_words || ' was replaced by newer terms on '
            || strftime(effective_to, '%-d %B %Y') || ' before it counted'
        when status = 'cancelled' then
            said[1] || ' ' || currency || ' due ' || due_words || ' was cancelled on '
            || strftime(effective_to, '%-d %B %Y') || ' before it counted'
        when status = 'kept' and missing_minor > 0 then
            said[2] || ' of ' || said[1] || ' ' || currency || ' due ' || due_words || ' arrived by ' || kept_words
            || '; the missing ' || said[3] || ' is within the tolerance'
        when status = 'kept' then
            said[1] || ' ' || currency || ' due ' || due_words || ' was paid by ' || kept_words
            || case
                when kept_on <= due_date then ''
                when kept_on <= due_date + grace_days then ', within the days of grace'
                else ', on the day the promise rolled to it'
            end
        when status = 'recovered' then
            arrived_by_deadline || '; the rest came by ' || kept_words || ', ' || days_late
            || case when days_late = 1 then ' day' else ' days' end || ' late'
            || case when missing_minor > 0 then ', and the missing ' || said[3] || ' is within the tolerance' else '' end
        when status = 'broken' then
            arrived_by_deadline
            || case when paid_minor > paid_by_deadline_minor then '; ' || said[5] || ' came later' else '' end
            || case
                when missing_minor > 0 then '; ' || said[3] || ' is missing'
                else '; installments before it are not fully paid'
            end
            || case when first_verdict = 'kept' then '; it had been kept, until a payment was returned' else '' end
        when not is_reached then
            said[1] || ' ' || currency || ' scheduled for ' || due_words || ' waits for the installment before it to be met'
        else
            said[1] || ' ' || currency || ' is due ' || due_words
            || case
                when as_of <= due_date then ''
                when as_of <= due_date + grace_days then ', in grace until ' || deadline_words
                else ', and the promise rolled to it on ' || deadline_words || ', the last day to meet it'
            end
            || case when paid_minor > 0 then '; ' || said[2] || ' has arrived and ' || said[3] || ' is missing' else '' end
    end || '.' as reason,
from worded
