-- grain: one row per reversal and receipt it takes money from
-- description: Of a payment that was split by hand the last part loses first.
-- columns:
--   receipt_key: receipt
--   returned_by: the reversal
--   returned_on: its date
--   amount_minor: taken from the receipt (minor units)
-- keep: no
with parts as (
    select
        receipt_key,
        payment_id,
        amount_minor,
        sum(amount_minor) over (partition by payment_id order by part desc rows unbounded preceding) - amount_minor as behind_minor,
    from matching.receipts
    where payment_id in (select reverses_payment_id from matching.reversals where effective_minor > 0)
)

select
    p.receipt_key,
    r.payment_id as returned_by,
    r.received_date as returned_on,
    (
        least(p.behind_minor + p.amount_minor, r.taken_before_minor + r.effective_minor) - greatest(p.behind_minor, r.taken_before_minor)
    )::bigint as amount_minor,
from matching.reversals as r
inner join parts as p on r.reverses_payment_id = p.payment_id
where
    r.effective_minor > 0
    and least(p.behind_minor + p.amount_minor, r.taken_before_minor + r.effective_minor) > greatest(p.behind_minor, r.taken_before_minor)
