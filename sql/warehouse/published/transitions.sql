-- grain: one row per change of state of an installment, or of life cycle or escalation of a commitment version
-- description: What happened, when and why, up to as_of.
-- columns:
--   commitment_id: the commitment
--   version: the version
--   sequence: the installment; 0 for the commitment itself
--   from_state: state before
--   to_state: state after; of a commitment a status (active, completed, defaulted, cancelled, superseded) or an escalation stage
--     (none, stage_1, exec)
--   effective_on: business date of the change
--   cause: one sentence saying why
--   figures: the dates, amounts and counts behind it, as JSON text
select
    commitment_id,
    version::integer as version,
    sequence::integer as sequence,
    from_state,
    to_state,
    effective_on,
    cause,
    figures,
from outcomes.transitions
order by commitment_id, version, effective_on, sequence, from_state, to_state
