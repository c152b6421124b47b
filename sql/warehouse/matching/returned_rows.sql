-- grain: one row per reversal, chargeback or refund received by as_of
-- description: Rows of money going back, with the payment they name and whether they may touch it.
-- columns:
--   payment_id: the row
--   kind: reversal, chargeback or refund
--   customer_id: who it says it is
--   currency: ISO 4217 code
--   received_date: its date
--   amount_minor: its amount (minor units)
--   reverses_payment_id: payment it names (NULL = none)
--   may_touch: whether that is a payment of the same customer and currency, received by as_of
--   problem: why not, in words (NULL = it may)
-- keep: no
with rows_back as (
    select payment_id, kind, customer_id, currency, received_date, amount_minor, reverses_payment_id,
    from raw.payments
    where kind <> 'payment' and received_date <= (select as_of from ledger.params)
),

named as (
    select payment_id, kind, customer_id, currency, received_date,
    from raw.payments
    where received_date <= (select as_of from ledger.params) and payment_id in (select reverses_payment_id from rows_back)
)

select
    r.payment_id,
    r.kind,
    r.customer_id,
    r.currency,
    r.received_date,
    r.amount_minor,
    r.reverses_payment_id,
    coalesce(
        n.kind = 'payment' and n.customer_id = r.customer_id and n.currency = r.currency
        and (r.kind = 'reversal' or n.received_date <= r.received_date),
        false
    ) as may_touch,
    case
        when may_touch or (r.kind = 'refund' and r.reverses_payment_id is null) then null
        when r.reverses_payment_id is null then 'The ' || r.kind || ' does not say which payment it takes back.'
        when n.kind is null then 'It names payment ' || r.reverses_payment_id || ', which this book does not hold.'
        when n.kind <> 'payment' then 'It names ' || r.reverses_payment_id || ', which is a ' || n.kind || ', not a payment.'
        when n.customer_id <> r.customer_id then 'It names payment ' || r.reverses_payment_id || ', which is another customer''s.'
        when n.currency <> r.currency then 'It is in ' || r.currency || ', but payment ' || r.reverses_payment_id || ' is in ' || n.currency || '.'
        else 'It is dated before payment ' || r.reverses_payment_id || ' came in on ' || strftime(n.received_date, '%-d %b %Y') || '.'
    end as problem,
from rows_back as r
left join named as n on r.reverses_payment_id = n.payment_id
