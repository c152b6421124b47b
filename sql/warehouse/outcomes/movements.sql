-- grain: one row per installment and business date on which it changed between open, kept, broken, recovered and withdrawn
-- description: The history of every installment replayed with what was known on each date, so that a payment returned after the
--   verdict shows as kept first and broken later.
-- keep: no
-- columns:
--   commitment_id: the commitment
--   version: the version
--   sequence: the installment
--   moved_on: business date of the change
--   from_phase: open, kept, broken, recovered, superseded or cancelled
--   to_phase: the same after the change
--   from_state: state before, with the open ones told apart
--   to_state: state after
--   deadline: last day to satisfy it, as known then; NULL while not reached
--   satisfied_on: received date of the money that satisfied it, as known then
--   paid_by_deadline_minor: received by the deadline, as known then (minor units)
with spans as (
    select
        j.*,
        t.kind,
        t.due_date,
        t.position,
        t.effective_from,
        t.effective_to,
        t.end_kind,
        p.as_of,
        p.due_soon_days,
    from outcomes.judgements j
    join outcomes.terms t using (commitment_id, version, sequence)
    cross join ledger.params p
),

dates as (
    select *, known_from as moved_on from spans where known_from > date '0001-01-01'
    union all
    select *, satisfied_on as moved_on from spans where satisfied_on is not null
    union all
    select *, deadline + 1 as moved_on from spans where deadline is not null and not coalesce(satisfied_on <= deadline, false)
    union all
    select *, effective_to as moved_on from spans where is_withdrawn
),

-- terms may be agreed after a date they name; nothing happens to them before
moments as (
    select * replace (greatest(moved_on, effective_from) as moved_on) from dates
),

replayed as (
    select
        *,
        case
            when is_withdrawn and moved_on >= effective_to then end_kind
            when satisfied_on <= moved_on and satisfied_on <= deadline then 'kept'
            when satisfied_on <= moved_on then 'recovered'
            when deadline < moved_on then 'broken'
            else 'open'
        end as to_phase,
    from moments
    where moved_on <= as_of and moved_on >= known_from and moved_on < known_to
),

changed as (
    select
        *,
        lag(to_phase, 1, 'open') over (partition by commitment_id, version, sequence order by moved_on) as from_phase,
    from replayed
    qualify to_phase <> from_phase
)

select
    commitment_id,
    version,
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
    deadline,
    satisfied_on,
    paid_by_deadline_minor,
from changed
