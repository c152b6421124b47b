-- check: outcomes_life_cycle_agrees
-- stage: outcomes
-- message: Status and escalation of an approved version must be what its transitions lead to.
with last_changes as (
    select
        commitment_id,
        version,
        arg_max(to_state, effective_on) filter (where to_state not in ('none', 'stage_1', 'exec')) as status,
        arg_max(to_state, effective_on) filter (where to_state in ('none', 'stage_1', 'exec')) as escalation_stage,
    from outcomes.transitions
    where sequence = 0
    group by all
)

select
    c.commitment_id,
    c.version,
    c.status,
    coalesce(l.status, 'active') as status_by_transitions,
    c.escalation_stage,
    coalesce(l.escalation_stage, 'none') as stage_by_transitions,
from outcomes.commitments c
join core.versions v using (commitment_id, version)
left join last_changes l using (commitment_id, version)
where c.status <> status_by_transitions or c.escalation_stage <> stage_by_transitions
