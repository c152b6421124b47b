-- grain: one row per payment that goes somewhere
-- description: Payments in groups that do not touch each other: a commitment, or all of a customer's in one currency when a payment is shared
--   among several, wholly or with what an exact amount leaves over.
-- columns:
--   payment_key: payment
--   group_id: commitment_key or account_key
--   is_simple: whether everything in the group goes to one and the same version
--   target_id: target of its route
--   received_date: date of the money
--   amount_minor: amount before reversals (minor units)
-- keep: no
with shared_accounts as (
    select distinct p.account_key,
    from matching.routes as r
    inner join matching.receipts as p on r.payment_key = p.payment_key
    where r.target_id < 0
    union
    select distinct p.account_key,
    from matching.spills as s
    inner join matching.receipts as p on s.payment_key = p.payment_key
)

select
    p.payment_key,
    case when s.account_key is null then v.commitment_key else p.account_key end as group_id,
    s.account_key is null and v.version_count = 1 as is_simple,
    r.target_id,
    p.received_date,
    p.amount_minor,
from matching.routes as r
inner join matching.receipts as p on r.payment_key = p.payment_key
left join matching.version_keys as v on r.target_id = v.version_key
left join shared_accounts as s on p.account_key = s.account_key
where r.target_id is not null
