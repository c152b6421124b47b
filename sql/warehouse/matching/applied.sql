-- grain: one row per line, receipt and installment it pays a part of
-- description: The allocation itself: the overlap of two running totals, money in and money due, found by merging their breakpoints and one
--   ordered window. A join of the two totals by range would be quadratic on a long plan. warehouse/allocation.py and rounds.py repeat it.
-- columns:
--   line_id: the line
--   receipt_key: receipt
--   installment_key: installment
--   amount_minor: part of the receipt applied to the installment (minor units)
-- keep: no
with breakpoints as (
    select line_id, upto_minor, receipt_key, null::bigint as installment_key,
    from matching.turn_money
    union all
    select line_id, upto_minor, null, installment_key,
    from matching.turn_dues
),

segments as (
    select
        line_id,
        last_value(receipt_key ignore nulls) over from_the_top as receipt_key,
        last_value(installment_key ignore nulls) over from_the_top as installment_key,
        upto_minor - lead(upto_minor, 1, 0) over from_the_top as amount_minor,
    from breakpoints
    window from_the_top as (partition by line_id order by upto_minor desc rows unbounded preceding)
)

select line_id, receipt_key, installment_key, amount_minor,
from segments
where amount_minor > 0 and receipt_key > 0 and installment_key is not null
