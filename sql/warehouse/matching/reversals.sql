-- grain: one row per row of kind reversal received by as_of
-- description: What each reversal takes back. Several may reverse one payment, in order of (received_date, payment_id), until nothing of it is left.
-- columns:
--   payment_id: the reversal
--   payment_key: the payment it takes back from (NULL when there is none it may touch)
--   received_date: date of the reversal
--   amount_minor: amount of the reversal (minor units)
--   effective_minor: part that found money to take back (minor units)
--   problem: why the rest found none, in words (NULL = it all took effect)
-- keep: no
with found as (
    select
        r.payment_id,
        r.reverses_payment_id,
        r.received_date,
        r.amount_minor,
        r.customer_id,
        r.currency,
        t.kind as target_kind,
        t.customer_id as target_customer_id,
        t.currency as target_currency,
        t.amount_minor as target_minor,
        coalesce(t.kind = 'payment' and t.customer_id = r.customer_id and t.currency = r.currency, false) as may_touch,
    from raw.payments as r
    left join raw.payments as t on r.reverses_payment_id = t.payment_id and t.received_date <= (select as_of from ledger.params)
    where r.kind = 'reversal' and r.received_date <= (select as_of from ledger.params)
),

running as (
    select
        *,
        sum(amount_minor) over (
            partition by reverses_payment_id, may_touch
            order by received_date, payment_id
            rows unbounded preceding
        ) as taken_minor,
    from found
),

capped as (
    select
        *,
        case when may_touch then least(taken_minor, target_minor) - least(taken_minor - amount_minor, target_minor) else 0 end::bigint as effective_minor,
    from running
)

select
    c.payment_id,
    p.payment_key,
    c.received_date,
    c.amount_minor,
    c.effective_minor,
    case
        when c.effective_minor = c.amount_minor and c.may_touch then null
        when c.reverses_payment_id is null then 'The reversal does not say which payment it takes back.'
        when c.target_kind is null then 'It reverses payment ' || c.reverses_payment_id || ', which this book does not hold.'
        when c.target_kind <> 'payment' then 'It reverses ' || c.reverses_payment_id || ', which is a ' || c.target_kind || ', not a payment.'
        when c.target_customer_id <> c.customer_id then 'It reverses payment ' || c.reverses_payment_id || ', which is another customer''s.'
        when c.target_currency <> c.currency
            then 'It is in ' || c.currency || ', but payment ' || c.reverses_payment_id || ' is in ' || c.target_currency || '.'
        else 'It takes back more than was left of payment ' || c.reverses_payment_id || '.'
    end as problem,
from capped as c
left join matching.receipts as p on c.may_touch and c.reverses_payment_id = p.payment_id
