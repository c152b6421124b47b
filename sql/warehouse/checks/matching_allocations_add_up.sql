-- check: allocations_add_up
-- stage: matching
-- message: The allocations of a payment add up to its allocated amount, and every allocation is more than nothing.
with per_payment as (
    select payment_id, sum(amount_minor) as amount_minor, min(amount_minor) as smallest_minor,
    from matching.allocations
    group by payment_id
)

select coalesce(a.payment_id, p.payment_id) as payment_id, a.amount_minor, p.allocated_minor,
from per_payment as a
full join (select payment_id, allocated_minor, from matching.payments where allocated_minor <> 0) as p on a.payment_id = p.payment_id
where a.amount_minor is distinct from p.allocated_minor or a.smallest_minor <= 0
