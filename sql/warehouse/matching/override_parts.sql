-- grain: one row per part of a payment that a person decided about
-- description: Decisions that are followed. One about a commitment nobody knows, or a split that does not add up to its payment, is not:
--   matching.decisions says so.
-- columns:
--   payment_id: payment
--   part: 1, 2 … within the payment
--   commitment_id: where it goes (NULL = set aside)
--   amount_minor: amount of the part (minor units)
--   decided_by: who decided
--   decision_reason: why
-- keep: no
with decided as (
    select
        o.payment_id,
        o.part,
        o.commitment_id,
        coalesce(o.amount_minor, p.amount_minor) as amount_minor,
        o.decided_by,
        o.reason as decision_reason,
        p.amount_minor as payment_minor,
        o.commitment_id is null or c.commitment_id is not null as is_known,
    from ledger.overrides as o
    inner join raw.payments as p on o.payment_id = p.payment_id
    left join ledger.commitments as c on o.commitment_id = c.commitment_id
    where p.kind = 'payment'
)

select payment_id, part, commitment_id, amount_minor, decided_by, decision_reason,
from decided
qualify sum(amount_minor) over (partition by payment_id) = payment_minor and bool_and(is_known) over (partition by payment_id)
