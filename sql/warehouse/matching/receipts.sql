-- grain: one row per payment received by as_of, or per part of one that a person split by hand
-- description: Money received, numbered in the order in which it is applied. The order of arrival plays no part.
-- columns:
--   receipt_key: number in order of (received_date, payment_id, part); the bits above 36 are the day, so that events of a day sort around it
--   payment_id: payment
--   part: 1, or the part of a split
--   account_key: customer and currency (NULL = has no commitments)
--   received_date: date of the money
--   amount_minor: amount before anything went back (minor units)
--   commitment_id: commitment a person or else the row names (NULL = none)
--   decided_by: who decided where it goes (NULL = nobody)
--   decision_reason: why
--   has_mention: whether the row names an invoice or has a reference
-- keep: no
with received as (
    select
        p.payment_id,
        coalesce(o.part, 1) as part,
        p.customer_id,
        p.currency,
        p.received_date,
        coalesce(o.amount_minor, p.amount_minor) as amount_minor,
        case when o.payment_id is null then p.commitment_id else o.commitment_id end as commitment_id,
        o.decided_by,
        o.decision_reason,
        p.invoice_id is not null or p.reference is not null as has_mention,
    from raw.payments as p
    left join matching.override_parts as o on p.payment_id = o.payment_id
    where p.kind = 'payment' and p.received_date <= (select as_of from ledger.params)
)

select
    (
        ((r.received_date - date '1900-01-01')::bigint << 36) + (1::bigint << 34)
        -- Numbered day by day: one sort of everything would be three times slower.
        + row_number() over (partition by r.received_date order by r.payment_id, r.part)
    ) as receipt_key,
    r.payment_id,
    r.part,
    a.account_key,
    r.received_date,
    r.amount_minor,
    r.commitment_id,
    r.decided_by,
    r.decision_reason,
    r.has_mention,
from received as r
left join matching.accounts as a on r.customer_id = a.customer_id and r.currency = a.currency
