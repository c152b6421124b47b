-- grain: one row per installment and business date on which it changed between open, kept, broken, recovered and withdrawn
-- description: The history of every installment replayed with what was known on each date, so that a payment returned after the
--   verdict shows as kept first and broken later.
-- keep: no
-- columns:
--   version_key: the version
--   sequence: the installment
--   moved_on: business date of the change
--   from_phase: open, kept, broken, recovered, superseded or cancelled
--   to_phase: the same after the change
--   from_state: state before, with the open ones told apart
--   to_state: state after
--   due_date: date on which it is due
--   amount_minor: amount due, as known then (minor units)
--   deadline: last day to satisfy it, as known then; NULL while not reached
--   satisfied_on: received date of the money that satisfied it, as known then
--   paid_by_deadline_minor: received by the deadline, as known then (minor units)
--   place: its place in the order of due dates
with views as not materialized (
    select
        j.* exclude (first_on, last_on, verdict, paid_minor, nominal_due_date, grace_days, is_added, charged_back_minor),
        case
            when s.known_to is not null then s.by_deadline_minor
            when j.last_on <= j.deadline then j.paid_minor
            else 0
        end as paid_by_deadline_minor,
        v.effective_from,
        v.effective_to,
        v.end_kind,
        p.as_of,
        p.due_soon_days,
        -- most installments have one view for ever, and their history needs no replay
        j.known_from = date '0001-01-01' and j.known_to = date '9999-12-31' as is_calm,
        -- terms may be agreed after a date they name; nothing happens to them before
        case when j.satisfied_on is not null then greatest(j.satisfied_on, v.effective_from) end as satisfied_from,
        case
            when j.deadline is not null and not coalesce(j.satisfied_on <= j.deadline, false) then greatest(j.deadline + 1, v.effective_from)
        end as broken_from,
    from outcomes.judgements j
    join outcomes.versions v using (version_key)
    left join outcomes.splits s on j.version_key = s.version_key and j.sequence = s.sequence and j.known_to = s.known_to
    cross join ledger.params p
),

-- of those with one view, the first change and, of few, the second
calm as (
    select
        *,
        case
            when is_withdrawn then if(satisfied_from < effective_to, satisfied_from, effective_to)
            when satisfied_from is null or broken_from < satisfied_from then broken_from
            else satisfied_from
        end as moved_on,
        'open' as from_phase,
        case
            when is_withdrawn then if(satisfied_from < effective_to, 'kept', end_kind)
            when satisfied_from is null or broken_from < satisfied_from then 'broken'
            when satisfied_on <= deadline then 'kept'
            else 'recovered'
        end as to_phase,
    from views
    where is_calm
    union all
    select
        *,
        if(is_withdrawn, effective_to, satisfied_from) as moved_on,
        if(is_withdrawn, 'kept', 'broken') as from_phase,
        if(is_withdrawn, end_kind, 'recovered') as to_phase,
    from views
    where is_calm and if(is_withdrawn, satisfied_from < effective_to, broken_from < satisfied_from)
),

dates as (
    from (select *, greatest(known_from, effective_from) as moved_on from views where known_from > date '0001-01-01')
    union all
    from (select *, satisfied_from as moved_on from views where not is_calm)
    union all
    from (select *, broken_from as moved_on from views where not is_calm)
    union all
    from (select *, effective_to as moved_on from views where not is_calm and is_withdrawn)
),

replayed as (
    select
        *,
        case
            when not is_there then 'gone'
            when is_withdrawn and moved_on >= effective_to then end_kind
            when satisfied_on <= moved_on and satisfied_on <= deadline then 'kept'
            when satisfied_on <= moved_on then 'recovered'
            when deadline < moved_on then 'broken'
            else 'open'
        end as phase,
    from dates
    where moved_on is not null
),

told as (
    select
        * exclude (phase),
        -- an installment a chargeback added is open before it is there, and cancelled when the chargeback turns out not to count
        case
            when phase <> 'gone' then phase
            when bool_or(is_there) over (partition by version_key, sequence order by moved_on) then 'cancelled'
            else 'open'
        end as to_phase,
    from replayed
    where moved_on <= as_of and moved_on >= known_from and moved_on < known_to
),

changed as (
    select
        *,
        lag(to_phase, 1, 'open') over (partition by version_key, sequence order by moved_on) as from_phase,
    from told
    qualify to_phase <> from_phase
),

moved as (
    from calm
    where moved_on <= as_of
    union all by name
    from changed
)

select
    version_key,
    sequence,
    moved_on,
    from_phase,
    to_phase,
    case
        when from_phase <> 'open' then from_phase
        when not is_reached or rolled_on >= moved_on or due_date > moved_on - 1 + due_soon_days then 'scheduled'
        when due_date > moved_on - 1 then 'due_soon'
        when due_date = moved_on - 1 then 'due_today'
        else 'in_grace'
    end as from_state,
    case
        when to_phase <> 'open' then to_phase
        when not is_reached or rolled_on > moved_on or due_date > moved_on + due_soon_days then 'scheduled'
        when due_date > moved_on then 'due_soon'
        when due_date = moved_on then 'due_today'
        else 'in_grace'
    end as to_state,
    due_date,
    amount_minor,
    deadline,
    satisfied_on,
    paid_by_deadline_minor,
    place,
from moved
