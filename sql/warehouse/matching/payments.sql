-- grain: one row per row of the payments feed received by as_of
-- description: What became of every row: amount = allocated + unapplied + reversed. Of money going back, the reversed part is the one that took effect.
-- columns:
--   payment_id: payment
--   customer_id: who paid
--   currency: ISO 4217 code
--   kind: payment, reversal, chargeback or refund
--   received_date: date of the money
--   amount_minor: amount of the row (minor units)
--   reversed_minor: part that went back: by reversals, and unapplied money by refunds and chargebacks (minor units)
--   charged_back_minor: part charged back, whether it met unapplied money or became a new debit (minor units)
--   allocated_minor: part applied to installments (minor units)
--   unapplied_minor: the rest (minor units)
--   match_status: matched, partially_matched, unmatched, reversed, set_aside, reversal, chargeback or refund
--   matched_by: rule that routed it: override, commitment_id, invoice_id, reference, exact_amount, only_commitment or oldest_due (NULL = none).
--     Of an exact amount that went to other commitments altogether, oldest_due
--   matched_on: the evidence, where the rule does not say it all
--   target_commitment_id: the one commitment it was routed to (NULL = none, or several)
--   elsewhere_minor: of an exact amount, what went to other commitments (minor units)
--   problem: why it, or a part of it, has no effect, in words (NULL = all is well)
--   note: what is odd about the row although it was routed, in words
--   reference: reference text of the row
--   method: method of payment of the row
--   invoice_id: invoice named on the row
--   commitment_id: commitment named on the row
--   reverses_payment_id: payment that the row takes money back of
--   file_sha256: file the row came in
--   line_number: line of the file
with applied as (
    select receipt_key, sum(amount_minor)::bigint as allocated_minor,
    from (
        select receipt_key, amount_minor,
        from matching.applied
        where line_id not in (select replay_id from matching.epochs)
        union all
        select receipt_key, amount_minor,
        from matching.group_applied
        where replay_id in (select group_id from matching.groups)
    )
    group by receipt_key
),

elsewhere as (
    select a.receipt_key, sum(a.amount_minor)::bigint as elsewhere_minor,
    from matching.group_applied as a
    inner join matching.spills as s on a.receipt_key = s.receipt_key
    inner join matching.routes as r on a.receipt_key = r.receipt_key
    inner join matching.version_keys as v on a.version_key = v.version_key
    inner join matching.version_keys as t on r.target_id = t.version_key
    where v.commitment_key <> t.commitment_key and a.replay_id in (select group_id from matching.groups)
    group by a.receipt_key
),

split as (
    select payment_id, any_value(decided_by) as decided_by,
    from matching.override_parts
    group by payment_id
    having count(*) > 1
),

whole as (
    select
        r.payment_id,
        coalesce(a.allocated_minor, 0) as allocated_minor,
        coalesce(e.elsewhere_minor, 0) as elsewhere_minor,
        r.matched_by,
        r.matched_on,
        v.commitment_id as target_commitment_id,
        false as is_set_aside,
        false as is_stranger,
        null as problem,
    from matching.routes as r
    left join applied as a on r.receipt_key = a.receipt_key
    left join elsewhere as e on r.receipt_key = e.receipt_key
    left join matching.version_keys as v on r.target_id = v.version_key
    where r.payment_id not in (select payment_id from split)
    union all
    select
        r.payment_id,
        0,
        0,
        case when r.decided_by is not null and r.commitment_id is null then 'override' end,
        case when r.decided_by is not null and r.commitment_id is null then r.decided_by end,
        null,
        r.decided_by is not null and r.commitment_id is null,
        -- Not core.customers: that one also holds whoever merely paid.
        r.account_key is null and p.customer_id not in (select customer_id from core.invoices union select customer_id from ledger.commitments),
        case
            when r.decided_by is not null and r.commitment_id is null
                then 'Set aside by ' || r.decided_by || coalesce(': ' || nullif(r.decision_reason, ''), '') || '.'
            else m.problem
        end,
    from matching.receipts as r
    anti join matching.routes as o on r.receipt_key = o.receipt_key
    inner join raw.payments as p on r.payment_id = p.payment_id
    left join matching.misdirected as m on r.receipt_key = m.receipt_key
    where r.payment_id not in (select payment_id from split)
    union all
    select
        r.payment_id,
        coalesce(sum(a.allocated_minor), 0)::bigint,
        0,
        case when count(o.receipt_key) > 0 or count(r.commitment_id) < count(*) then 'override' end,
        any_value(s.decided_by),
        case when count(distinct v.commitment_id) = 1 then any_value(v.commitment_id) end,
        count(r.commitment_id) = 0,
        false,
        string_agg(m.problem, ' ' order by r.part),
    from split as s
    inner join matching.receipts as r on s.payment_id = r.payment_id
    left join matching.routes as o on r.receipt_key = o.receipt_key
    left join applied as a on r.receipt_key = a.receipt_key
    left join matching.version_keys as v on o.target_id = v.version_key
    left join matching.misdirected as m on r.receipt_key = m.receipt_key
    group by r.payment_id
),

returned as (
    select payment_id, sum(amount_minor)::bigint as reversed_minor,
    from matching.returns
    group by payment_id
),

charged as (
    select payment_id, (sum(amount_minor) filter (where problem is null))::bigint as charged_back_minor,
    from matching.group_charges
    where replay_id in (select group_id from matching.groups)
    group by payment_id
),

results as (
    select
        w.payment_id,
        w.allocated_minor,
        coalesce(t.reversed_minor, 0) as reversed_minor,
        coalesce(c.charged_back_minor, 0) as charged_back_minor,
        w.elsewhere_minor,
        w.elsewhere_minor > 0 and w.elsewhere_minor = w.allocated_minor as is_elsewhere,
        case when is_elsewhere then 'oldest_due' else w.matched_by end as matched_by,
        w.matched_on,
        case when not is_elsewhere then w.target_commitment_id end as target_commitment_id,
        w.is_set_aside,
        w.is_stranger,
        w.problem,
    from whole as w
    left join returned as t on w.payment_id = t.payment_id
    left join charged as c on w.payment_id = c.payment_id
    union all
    select payment_id, 0, effective_minor, 0, 0, false, null, null, null, false, false, problem,
    from matching.returned_outcomes
),

-- Few rows: looked up once, not for every payment.
unknown_names as (
    select distinct r.payment_id, r.commitment_id,
    from matching.receipts as r
    anti join matching.directions as d on r.receipt_key = d.receipt_key
    where r.commitment_id is not null
)

select
    p.payment_id,
    p.customer_id,
    p.currency,
    p.kind,
    p.received_date,
    p.amount_minor,
    o.reversed_minor,
    o.charged_back_minor,
    o.allocated_minor,
    p.amount_minor - o.reversed_minor - o.allocated_minor as unapplied_minor,
    case
        when p.kind <> 'payment' then p.kind
        when o.reversed_minor = p.amount_minor then 'reversed'
        when o.is_set_aside then 'set_aside'
        when o.allocated_minor = 0 then 'unmatched'
        when unapplied_minor > 0 then 'partially_matched'
        else 'matched'
    end as match_status,
    o.matched_by,
    o.matched_on,
    o.target_commitment_id,
    o.elsewhere_minor,
    case
        when o.problem is not null or o.matched_by is not null or p.kind <> 'payment' then o.problem
        when o.is_stranger then 'Customer ' || p.customer_id || ' has no invoices or commitments in this book.'
        else 'Customer ' || p.customer_id || ' had no approved commitment in ' || p.currency || ' in force on '
            || strftime(p.received_date, '%-d %b %Y') || '.'
    end as problem,
    case
        when u.payment_id is not null then 'The payment names commitment ' || u.commitment_id || ', which this book does not hold.'
    end as note,
    p.reference,
    p.method,
    p.invoice_id,
    p.commitment_id,
    p.reverses_payment_id,
    p.file_sha256,
    p.line_number,
from raw.payments as p
inner join results as o on p.payment_id = o.payment_id
left join unknown_names as u on p.payment_id = u.payment_id
