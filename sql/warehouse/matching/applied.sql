-- grain: one row per replay, payment and installment it pays a part of
-- description: Allocation by rule `next`: the overlap of two running totals, money in and money due, found by merging their breakpoints and one
--   ordered window. A join of the two totals by range would be quadratic on a long plan. This statement applies one turn; allocation.py repeats it.
-- columns:
--   replay_id: replay
--   payment_key: payment
--   installment_key: installment
--   amount_minor: part of the payment applied to the installment (minor units)
-- keep: no
with breakpoints as (
    select
        replay_id,
        target_id,
        payment_key,
        null::bigint as installment_key,
        sum(amount_minor) over (partition by replay_id, target_id order by payment_key rows unbounded preceding) as total_minor,
    from matching.turn_money
    union all
    select
        replay_id,
        target_id,
        null,
        installment_key,
        sum(amount_minor) over (partition by replay_id, target_id order by installment_key rows unbounded preceding),
    from matching.turn_dues
),

segments as (
    select
        replay_id,
        last_value(payment_key ignore nulls) over from_the_top as payment_key,
        last_value(installment_key ignore nulls) over from_the_top as installment_key,
        total_minor - lead(total_minor, 1, 0) over from_the_top as amount_minor,
    from breakpoints
    window from_the_top as (partition by replay_id, target_id order by total_minor desc rows unbounded preceding)
)

select replay_id, payment_key, installment_key, amount_minor::bigint as amount_minor,
from segments
where amount_minor > 0 and payment_key is not null and installment_key is not null
