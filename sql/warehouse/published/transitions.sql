-- grain: one row per change of state of an installment, or of life cycle or escalation of a commitment version
-- description: What happened, when and why, up to as_of.
-- scope: customer_id
-- columns:
--   commitment_id: the commitment
--   version: the version
--   sequence: the installment; 0 for the commitment itself
--   customer_id: the customer who committed
--   from_state: state before
--   to_state: state after; of a commitment a status (active, completed, defaulted, cancelled, closed, superseded) or an escalation stage
--     (none, stage_1, exec)
--   effective_on: business date of the change
--   currency: ISO 4217 code of all amounts of the row
--   turned_by: what undid a state that was final: returned (a reversal) or charged_back; NULL when time or money made the change
--   turned_by_payment_id: the payment that was charged back
--   amount: of an installment, the amount due
--   due_date: of an installment, its due date
--   deadline: of an installment that broke, or recovered, the last day to satisfy it
--   satisfied_on: of an installment that was kept or recovered, received date of the money that satisfied it
--   paid_by_deadline: of an installment that broke, what had arrived by the deadline
--   installment_count: of a commitment, installments of the version
--   satisfied_count: of a commitment, of them kept or recovered
--   broken_count: of a commitment, of them not kept, whether recovered since or not
--   broken_now_count: of a commitment, of them broken and not recovered
--   cause: one sentence saying why
--   figures: the dates, amounts and counts behind it, as JSON text
select
    t.commitment_id,
    t.version::integer as version,
    t.sequence::integer as sequence,
    t.customer_id,
    t.from_state,
    t.to_state,
    t.effective_on,
    t.currency,
    t.turned_by,
    t.turned_by_payment_id,
    (t.amount_minor * s.unit)::decimal(18, 3) as amount,
    t.due_date,
    t.deadline,
    t.satisfied_on,
    (t.paid_by_deadline_minor * s.unit)::decimal(18, 3) as paid_by_deadline,
    t.installment_count::integer as installment_count,
    t.satisfied_count::integer as satisfied_count,
    t.broken_count::integer as broken_count,
    t.broken_now_count::integer as broken_now_count,
from outcomes.transitions t
join published.scales s using (currency)
order by commitment_id, version, effective_on, sequence, from_state, to_state
