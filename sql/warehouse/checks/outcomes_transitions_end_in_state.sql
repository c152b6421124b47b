-- check: outcomes_transitions_end_in_state
-- stage: outcomes
-- message: The last transition of every installment must lead to the state it is in, and each must start where the one before ended.
-- The state an installment is in stands as a last step to nowhere. A hash of the key and one letter a state (o for all open ones) sort faster than
-- words; two installments with one hash would be reported, not hidden.
with steps as (
    select
        hash(commitment_id, version::integer, sequence::integer) as installment,
        effective_on,
        case from_state when 'kept' then 'k' when 'recovered' then 'r' when 'broken' then 'b' when 'cancelled' then 'c' when 'superseded' then 's' else 'o' end
            as from_letter,
        case to_state when 'kept' then 'k' when 'recovered' then 'r' when 'broken' then 'b' when 'cancelled' then 'c' when 'superseded' then 's' else 'o' end
            as to_letter,
    from outcomes.transitions
    where sequence > 0
    union all
    select
        hash(commitment_id, version::integer, sequence::integer) as installment,
        date '9999-12-31' as effective_on,
        case status when 'kept' then 'k' when 'recovered' then 'r' when 'broken' then 'b' when 'cancelled' then 'c' when 'superseded' then 's' else 'o' end
            as from_letter,
        null as to_letter,
    from outcomes.installments
),

wrong as (
    select installment, effective_on, from_letter
    from steps
    qualify from_letter <> coalesce(lag(to_letter, 1, 'o') over (partition by installment order by effective_on), '?')
)

select i.commitment_id, i.version, i.sequence, i.status, w.effective_on as broken_chain_on, w.from_letter
from wrong w
left join outcomes.installments i on w.installment = hash(i.commitment_id, i.version::integer, i.sequence::integer)
