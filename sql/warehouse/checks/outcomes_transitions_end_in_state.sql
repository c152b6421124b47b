-- check: outcomes_transitions_end_in_state
-- stage: outcomes
-- message: The last transition of every installment must lead to the state it is in, and each must start where the one before ended.
with changes as (
    select
        commitment_id,
        version,
        sequence,
        from_state,
        to_state,
        effective_on,
        lag(to_state) over history as state_before,
        lead(to_state) over history is null as is_last,
    from outcomes.transitions
    where sequence > 0
    window history as (partition by commitment_id, version, sequence order by effective_on)
)

select i.commitment_id, i.version, i.sequence, c.from_state, c.to_state, c.effective_on, c.state_before, i.status
from outcomes.installments i
left join changes c using (commitment_id, version, sequence)
where
    case
        when i.status in ('kept', 'recovered', 'broken', 'cancelled', 'superseded') then
            c.to_state is null or (c.is_last and c.to_state <> i.status)
        else c.is_last and c.to_state in ('kept', 'recovered', 'broken', 'cancelled', 'superseded')
    end
    or (c.state_before in ('kept', 'recovered', 'broken') and c.from_state <> c.state_before)
