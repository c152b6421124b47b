-- grain: one row per change of state of an installment, or of life cycle or escalation of a commitment version
-- description: What happened, when and why, replayed for as_of. A later run gives the same rows and adds to them: nothing here
--   depends on as_of but how far it goes.
-- columns:
--   commitment_id: the commitment
--   version: the version
--   sequence: the installment; 0 for the commitment itself
--   from_state: state before
--   to_state: state after; of a commitment a life-cycle status (active, completed, defaulted, cancelled, superseded) or an
--     escalation stage (none, stage_1, exec)
--   effective_on: business date of the change
--   cause: one sentence saying why
--   figures: the dates, amounts and counts behind it, as JSON text
with moved as (
    select
        m.*,
        t.currency,
        t.due_date,
        t.amount_minor,
        t.end_kind,
        t.effective_to,
        [
            (a // scale)::varchar || case when scale > 1 then '.' || lpad((a % scale)::varchar, (len(scale::varchar) - 1)::integer, '0') else '' end
            for a in case
                when m.to_phase = 'broken' then [t.amount_minor, m.paid_by_deadline_minor, t.amount_minor - m.paid_by_deadline_minor]
                else [t.amount_minor]
            end
        ] as said,
        said[1] || ' ' || t.currency || ' due ' || strftime(t.due_date, '%-d %B %Y') as what,
    from outcomes.movements m
    join outcomes.terms t using (commitment_id, version, sequence)
),

installments as (
    select
        commitment_id,
        version,
        sequence,
        from_state,
        to_state,
        moved_on as effective_on,
        case
            when from_phase in ('kept', 'recovered') and to_phase = 'broken' then
                'A payment was returned: ' || said[3] || ' of ' || what || ' is missing again.'
            when from_phase <> 'open' and to_phase = 'open' then 'A payment was returned: the money for ' || what || ' is not complete any more.'
            when to_phase = 'broken' then said[3] || ' of ' || what || ' had not arrived by ' || strftime(deadline, '%-d %B %Y') || '.'
            when to_phase in ('kept', 'recovered') then
                'The money for ' || what || ' had arrived by ' || strftime(satisfied_on, '%-d %B %Y') || '.'
            when to_phase = 'superseded' then what || ' was replaced by newer terms.'
            when to_phase = 'cancelled' then what || ' was cancelled.'
        end as cause,
        to_json({
            'currency': currency,
            'amount': said[1],
            'due_date': due_date,
            -- of a repeating promise it may move when a payment is returned: said only where it has passed
            'deadline': case when to_phase in ('broken', 'recovered') then deadline end,
            'satisfied_on': case when to_phase in ('kept', 'recovered') then satisfied_on end,
            'paid_by_deadline': case when to_phase = 'broken' then said[2] end,
            'missing_at_deadline': case when to_phase = 'broken' then said[3] end,
        })::varchar as figures,
    from moved
),

turned as (
    select
        *,
        to_json({
            'installments': installment_count,
            'satisfied': satisfied_count,
            'broken': broken_count,
            'broken_now': broken_now_count,
        })::varchar as figures,
    from outcomes.turning_points
),

lives as (
    select
        commitment_id,
        version,
        0 as sequence,
        from_life as from_state,
        to_life as to_state,
        moved_on as effective_on,
        case to_life
            when 'completed' then 'All ' || installment_count || ' installments are satisfied.'
            when 'defaulted' then broken_count || ' installments were broken, as many as the policy allows before default.'
            when 'superseded' then 'Newer terms came into force.'
            when 'cancelled' then 'The commitment was cancelled.'
            else 'A payment was returned; ' || satisfied_count || ' of ' || installment_count || ' installments are satisfied.'
        end as cause,
        figures,
    from turned
    where from_life <> to_life
),

stages as (
    select
        commitment_id,
        version,
        0 as sequence,
        from_stage as from_state,
        to_stage as to_state,
        moved_on as effective_on,
        case to_stage
            when 'exec' then 'The commitment is in default.'
            when 'stage_1' then broken_now_count || ' of ' || installment_count || ' installments are broken and not recovered.'
            when 'none' then if(to_life in ('cancelled', 'superseded'), 'The version has ended.', 'Nothing is broken any more.')
        end as cause,
        figures,
    from turned
    where from_stage <> to_stage
)

select * from installments
union all by name
select * from lives
union all by name
select * from stages
order by commitment_id, version, effective_on, sequence, from_state, to_state
