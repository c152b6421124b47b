-- grain: one row per row of kind reversal received by as_of
-- description: What each reversal takes back. Several may reverse one payment, in order of (received_date, payment_id), until nothing of it is left.
-- columns:
--   payment_id: the reversal
--   reverses_payment_id: the payment it takes back from
--   received_date: date of the reversal
--   amount_minor: amount of the reversal (minor units)
--   effective_minor: part that found money to take back (minor units)
--   taken_before_minor: taken from the payment by earlier ones (minor units)
--   problem: why the rest found none, in words (NULL = it all took effect)
-- keep: no
with payments as (
    select payment_id, sum(amount_minor) as amount_minor,
    from matching.receipts
    where payment_id in (select reverses_payment_id from matching.returned_rows where kind = 'reversal')
    group by payment_id
),

running as (
    select
        r.*,
        p.amount_minor as payment_minor,
        sum(r.amount_minor) over (
            partition by r.reverses_payment_id, r.may_touch
            order by r.received_date, r.payment_id
            rows unbounded preceding
        ) as claimed_minor,
    from matching.returned_rows as r
    left join payments as p on r.may_touch and r.reverses_payment_id = p.payment_id
    where r.kind = 'reversal'
)

select
    payment_id,
    reverses_payment_id,
    received_date,
    amount_minor,
    case when may_touch then least(claimed_minor, payment_minor) - least(claimed_minor - amount_minor, payment_minor) else 0 end::bigint
        as effective_minor,
    case when may_touch then least(claimed_minor - amount_minor, payment_minor) else 0 end::bigint as taken_before_minor,
    case
        when problem is not null then problem
        when effective_minor < amount_minor then 'It takes back more than was left of payment ' || reverses_payment_id || '.'
    end as problem,
from running
