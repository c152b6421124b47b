-- grain: one row per receipt routed by exact_amount that may leave something for the customer's other commitments
-- description: An amount is weak evidence: what such a payment does not find to pay on its commitment must not wait there while others are
--   due. At the end of the day, after the payments of that day, the rest joins the customer's shared money: what falls due first of all
--   versions in force on that day is paid first. None is here whose account is sure to have no such rest: no shared money, and no commitment
--   to which more was directed than it amounts to. Where a commitment holds its surplus the rest waits there.
-- columns:
--   receipt_key: receipt
--   target_id: the period_key, negated, whose versions share the rest
-- keep: no
with shareable as (
    select r.receipt_key, r.account_key, i.period_key,
    from matching.routes as r
    asof inner join matching.in_force_periods as i on r.account_key = i.account_key and r.received_date >= i.starts_on
    inner join matching.version_keys as v on r.target_id = v.version_key
    where r.matched_by = 'exact_amount' and i.in_force_count > 1 and v.overpayment_rule <> 'hold'
),

totals as (
    select version_key, max(upto_minor) as amount_minor,
    from matching.dues
    group by version_key
),

-- Everything ever directed to a commitment counts, whichever its version: the rest of an earlier one is credit for the next.
directed as (
    select
        r.receipt_key,
        r.account_key,
        sum(r.amount_minor) over (partition by v.commitment_key order by r.receipt_key rows unbounded preceding) > t.amount_minor as is_more,
    from matching.routes as r
    inner join matching.version_keys as v on r.target_id = v.version_key
    inner join totals as t on r.target_id = t.version_key
    where r.account_key in (select account_key from shareable)
),

shared_accounts as (
    select distinct account_key,
    from matching.routes
    where target_id < 0
    union
    select account_key,
    from matching.charged_accounts
    union
    select d.account_key,
    from directed as d
    semi join shareable as s on d.receipt_key = s.receipt_key
    where d.is_more
)

select receipt_key, -period_key as target_id,
from shareable
semi join shared_accounts using (account_key)
