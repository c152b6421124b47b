-- grain: one row per row of kind payment received by as_of
-- description: Where each payment goes and by which rule, the first that applies: override, commitment_id, invoice_id, reference, exact_amount,
--   only_commitment, oldest_due. Routes do not depend on reversals, nor on what other payments did: what a payment routed by exact_amount
--   does not find to pay there goes on as matching.spills says.
-- columns:
--   payment_key: payment
--   matched_by: the rule that routed it (NULL = it fits nothing)
--   target_id: version_key of the one version it goes to, or the period_key, negated, whose versions share it (NULL = nowhere)
--   commitment_id: the one commitment it goes to
--   why: the rule in words, to follow the word "because"
--   why_elsewhere: the rule in words for what an exact amount leaves for other commitments
--   problem: why it goes nowhere, in words
--   note: what is odd about the row although it was routed, in words
-- keep: no
with undirected as (
    select payment_key, account_key, received_date,
    from matching.receipts
    anti join matching.directions using (payment_key)
    anti join matching.mentions using (payment_key)
    anti join matching.exact_amounts using (payment_key)
    where account_key is not null
),

by_period as (
    select u.payment_key, p.period_key, p.in_force_count, p.only_version_key,
    from undirected as u
    asof inner join matching.in_force_periods as p on u.account_key = p.account_key and u.received_date >= p.starts_on
    where p.in_force_count > 0
),

routed as (
    select
        payment_key,
        case when version_key is not null or commitment_id is null then matched_by end as matched_by,
        version_key as target_id,
        null as mentioned,
        null as installment_key,
        null as in_force_count,
        problem,
        decided_by,
        decision_reason,
    from matching.directions
    union all
    select payment_key, matched_by, version_key, mentioned, null, null, null, null, null,
    from matching.mentions
    union all
    select e.payment_key, 'exact_amount', d.version_key, null, e.installment_key, null, null, null, null,
    from matching.exact_amounts as e
    inner join matching.dues as d on e.installment_key = d.installment_key
    union all
    select
        payment_key,
        case when in_force_count = 1 then 'only_commitment' else 'oldest_due' end,
        coalesce(only_version_key, -period_key),
        null,
        null,
        in_force_count,
        null,
        null,
        null,
    from by_period
),

customers as (
    -- Not core.customers: that one also holds whoever merely paid.
    select customer_id, from core.invoices
    union
    select customer_id, from ledger.commitments
)

select
    p.payment_key,
    r.matched_by,
    r.target_id,
    v.commitment_id,
    case r.matched_by
        when 'override' then r.decided_by || ' assigned it by hand'
        when 'commitment_id' then 'the payment names commitment ' || v.commitment_id
        when 'invoice_id' then 'the payment names ' || r.mentioned
        when 'reference' then 'its reference names ' || r.mentioned
        when 'exact_amount' then 'it is exactly the amount of installment ' || d.sequence || ' of ' || replace(v.kind, '_', ' ') || ' '
            || v.commitment_id || ', due ' || strftime(d.due_date, '%-d %b %Y') || ', and of no other due near that day'
        when 'only_commitment' then 'that was the customer''s only commitment in force on that day'
        when 'oldest_due' then 'the customer had ' || r.in_force_count || ' commitments in force, and what fell due first is paid first'
    end as why,
    case
        when r.matched_by = 'exact_amount'
            then 'nothing more was left to pay on ' || v.commitment_id || ', an installment of which it equals, and what fell due first of the'
                || ' customer''s other commitments is paid first'
    end as why_elsewhere,
    case
        when r.problem is not null then r.problem
        when r.matched_by = 'override' and r.target_id is null
            then 'Set aside by ' || r.decided_by || coalesce(': ' || nullif(r.decision_reason, ''), '') || '.'
        when r.matched_by is not null then null
        when c.customer_id is null then 'Customer ' || p.customer_id || ' has no invoices or commitments in this book.'
        else 'Customer ' || p.customer_id || ' had no approved commitment in ' || p.currency || ' in force on '
            || strftime(p.received_date, '%-d %b %Y') || '.'
    end as problem,
    case
        when p.commitment_id is not null and r.matched_by is distinct from 'override' and k.commitment_id is null
            then 'The payment names commitment ' || p.commitment_id || ', which this book does not hold.'
    end as note,
from matching.receipts as p
left join routed as r on p.payment_key = r.payment_key
left join matching.version_keys as v on r.target_id = v.version_key
left join matching.dues as d on r.installment_key = d.installment_key
left join ledger.commitments as k on p.commitment_id = k.commitment_id
left join customers as c on p.customer_id = c.customer_id
