-- grain: one row per receipt that goes somewhere
-- description: Where each goes and by which rule, the first that applies: override, commitment_id, invoice_id, reference, exact_amount,
--   only_commitment, oldest_due. Routes do not depend on what goes back, nor on what other payments did: what a receipt routed by exact_amount
--   does not find to pay there goes on as matching.spills says.
-- columns:
--   receipt_key: receipt
--   payment_id: payment
--   account_key: customer and currency
--   received_date: date of the money
--   amount_minor: amount before anything went back (minor units)
--   matched_by: the rule that routed it
--   matched_on: the evidence, where the rule does not say it all
--   target_id: version_key of the one version it goes to, or the period_key, negated, whose versions share it
-- keep: no
with mentioned as (
    select u.receipt_key, u.payment_id, u.account_key, u.received_date, u.amount_minor, m.matched_by, m.mentioned, m.version_key,
    from matching.mentions as m
    inner join matching.undirected as u on m.receipt_key = u.receipt_key
),

exact as (
    select
        u.receipt_key,
        u.payment_id,
        u.account_key,
        u.received_date,
        u.amount_minor,
        concat(
            'installment ', d.sequence, ' of ', replace(v.kind, '_', ' '), ' ', v.commitment_id, ', due ', strftime(d.due_date, '%-d %b %Y')
        ) as matched_on,
        d.version_key,
    from matching.exact_amounts as e
    inner join matching.undirected as u on e.receipt_key = u.receipt_key
    inner join matching.dues as d on e.installment_key = d.installment_key
    inner join matching.version_keys as v on d.version_key = v.version_key
),

shared as (
    select u.receipt_key, u.payment_id, u.account_key, u.received_date, u.amount_minor, p.period_key, p.in_force_count, p.only_version_key,
    from (
        from matching.undirected
        anti join matching.mentions using (receipt_key)
        anti join matching.exact_amounts using (receipt_key)
    ) as u
    asof inner join matching.in_force_periods as p on u.account_key = p.account_key and u.received_date >= p.starts_on
    where p.in_force_count > 0
)

select receipt_key, payment_id, account_key, received_date, amount_minor, matched_by, decided_by as matched_on, version_key as target_id,
from matching.directions
where version_key is not null
union all
select receipt_key, payment_id, account_key, received_date, amount_minor, matched_by, mentioned, version_key,
from mentioned
union all
select receipt_key, payment_id, account_key, received_date, amount_minor, 'exact_amount', matched_on, version_key,
from exact
union all
select
    receipt_key,
    payment_id,
    account_key,
    received_date,
    amount_minor,
    case when in_force_count = 1 then 'only_commitment' else 'oldest_due' end,
    case when in_force_count > 1 then in_force_count::varchar end,
    coalesce(only_version_key, -period_key),
from shared
