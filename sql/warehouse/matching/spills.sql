-- grain: one row per payment routed by exact_amount that may leave something for the customer's other commitments
-- description: An amount is weak evidence: what such a payment does not find to pay on its commitment must not wait there while others are
--   due. At the end of the day, after the payments of that day, the rest joins the customer's shared money: what falls due first of all
--   versions in force on that day is paid first. None is here whose account is sure to have no such rest: no shared money, and no commitment
--   to which more was directed than it amounts to.
-- columns:
--   payment_key: payment
--   target_id: the period_key, negated, whose versions share the rest
-- keep: no
with shareable as (
    select r.payment_key, p.account_key, i.period_key
    from matching.routes as r
    inner join matching.receipts as p on r.payment_key = p.payment_key
    asof inner join matching.in_force_periods as i on p.account_key = i.account_key and p.received_date >= i.starts_on
    where r.matched_by = 'exact_amount' and i.in_force_count > 1
),

totals as (
    select version_key, sum(amount_minor) as amount_minor,
    from matching.dues
    group by version_key
),

-- Everything ever directed to a commitment counts, whichever its version: the rest of an earlier one is credit for the next.
directed as (
    select
        r.payment_key,
        p.account_key,
        sum(p.amount_minor) over (partition by v.commitment_key order by r.payment_key rows unbounded preceding) > t.amount_minor as is_more,
    from matching.routes as r
    inner join matching.receipts as p on r.payment_key = p.payment_key
    inner join matching.version_keys as v on r.target_id = v.version_key
    inner join totals as t on r.target_id = t.version_key
    where v.account_key in (select account_key from shareable)
),

shared_accounts as (
    select p.account_key,
    from matching.routes as r
    inner join matching.receipts as p on r.payment_key = p.payment_key
    where r.target_id < 0
    union
    select d.account_key,
    from directed as d
    semi join shareable as s on d.payment_key = s.payment_key
    where d.is_more
)

select payment_key, -period_key as target_id,
from shareable
semi join shared_accounts using (account_key)
