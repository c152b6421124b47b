-- grain: one row per change of state of an installment, or of life cycle or escalation of a commitment version
-- description: What happened and when, with the figures that say why, replayed for as_of. A later run gives the same rows and adds to
--   them: nothing here depends on as_of but how far it goes. What is published makes the sentence from the figures.
-- columns:
--   commitment_id: the commitment
--   version: the version
--   sequence: the installment; 0 for the commitment itself
--   customer_id: the customer who committed
--   from_state: state before
--   to_state: state after; of a commitment a life-cycle status (active, completed, defaulted, cancelled, closed, superseded) or an
--     escalation stage (none, stage_1, exec)
--   effective_on: business date of the change
--   currency: ISO 4217 code
--   turned_by: what undid a state that was final: returned (a reversal), charged_back; NULL when time or money did it
--   turned_by_payment_id: the payment that was charged back
--   amount_minor: of an installment, amount due as known then (minor units)
--   due_date: of an installment, its due date
--   deadline: of one that broke or recovered, the last day to satisfy it, as known then
--   satisfied_on: of one kept or recovered, received date of the money that satisfied it, as known then
--   paid_by_deadline_minor: of one that broke, received by the deadline, as known then (minor units)
--   installment_count: of a commitment, installments of the version, with those chargebacks had added by then
--   satisfied_count: of a commitment, of them kept or recovered
--   broken_count: of a commitment, of them not kept, whether recovered since or not
--   broken_now_count: of a commitment, of them broken and not recovered
with charged as (
    select version_key, debited_on, arg_min(place, place) as place, arg_min(payment_id, (place, payment_id)) as payment_id
    from (
        select c.version_key, c.debited_on, l.place, c.payment_id
        from outcomes.charges c
        join outcomes.lines l using (version_key, sequence)
        where c.known_from = c.debited_on
    )
    group by version_key, debited_on
),

installments as (
    select
        m.version_key,
        m.sequence,
        m.from_state,
        m.to_state,
        m.moved_on as effective_on,
        case
            when m.from_phase not in ('kept', 'recovered') or m.to_phase not in ('open', 'broken') then null
            when c.place <= m.place then 'charged_back'
            else 'returned'
        end as turned_by,
        case when turned_by = 'charged_back' then c.payment_id end as turned_by_payment_id,
        m.amount_minor,
        m.due_date,
        -- of a repeating promise it may move when a payment is returned: said only where it has passed
        case when m.to_phase in ('broken', 'recovered') then m.deadline end as deadline,
        case when m.to_phase in ('kept', 'recovered') then m.satisfied_on end as satisfied_on,
        case when m.to_phase = 'broken' then m.paid_by_deadline_minor end as paid_by_deadline_minor,
    from outcomes.movements m
    left join charged c on m.version_key = c.version_key and m.moved_on = c.debited_on
),

turned as (
    select
        t.*,
        case
            when t.to_life <> 'active' or t.from_life not in ('completed', 'defaulted') then null
            when c.version_key is not null then 'charged_back'
            else 'returned'
        end as turned_by,
        case when turned_by = 'charged_back' then c.payment_id end as turned_by_payment_id,
    from outcomes.turning_points t
    left join charged c on t.version_key = c.version_key and t.moved_on = c.debited_on
),

commitments as (
    select *, 0 as sequence, from_life as from_state, to_life as to_state
    from turned
    where from_life <> to_life
    union all
    select * replace (null as turned_by, null as turned_by_payment_id), 0 as sequence, from_stage as from_state, to_stage as to_state
    from turned
    where from_stage <> to_stage
),

changes as (
    from installments
    union all by name
    select
        version_key,
        sequence,
        from_state,
        to_state,
        moved_on as effective_on,
        turned_by,
        turned_by_payment_id,
        installment_count,
        satisfied_count,
        broken_count,
        broken_now_count,
    from commitments
)

select
    v.commitment_id,
    v.version,
    c.sequence,
    v.customer_id,
    c.from_state,
    c.to_state,
    c.effective_on,
    v.currency,
    c.turned_by,
    c.turned_by_payment_id,
    c.amount_minor,
    c.due_date,
    c.deadline,
    c.satisfied_on,
    c.paid_by_deadline_minor,
    c.installment_count,
    c.satisfied_count,
    c.broken_count,
    c.broken_now_count,
from changes c
join outcomes.versions v using (version_key)
