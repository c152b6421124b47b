-- grain: one row per replay and payment with money left in it
-- description: What every replay of every group applies: payments less the reversals known in that epoch.
-- columns:
--   replay_id: replay; equal to the group_id for the one that holds today
--   is_simple: whether everything in the group goes to one and the same version
--   target_id: target of its route
--   payment_key: payment
--   received_date: date of the money
--   valid_to: end of the epoch (NULL = the present one)
--   amount_minor: amount less reversals known in the epoch (minor units)
-- keep: no
with netted as (
    select
        e.replay_id,
        p.is_simple,
        p.target_id,
        p.payment_key,
        p.received_date,
        e.valid_to,
        p.amount_minor - coalesce(sum(r.effective_minor), 0) as amount_minor,
    from matching.epochs as e
    inner join matching.routed_payments as p
        on e.group_id = p.group_id and (e.valid_to is null or p.received_date < e.valid_to)
    left join matching.reversals as r on p.payment_key = r.payment_key and r.received_date <= e.valid_from
    group by e.replay_id, p.is_simple, p.target_id, p.payment_key, p.received_date, e.valid_to, p.amount_minor
)

select group_id as replay_id, is_simple, target_id, payment_key, received_date, null::date as valid_to, amount_minor,
from matching.routed_payments
anti join matching.epochs using (group_id)
where amount_minor > 0
union all
select replay_id, is_simple, target_id, payment_key, received_date, valid_to, amount_minor::bigint,
from netted
where amount_minor > 0
