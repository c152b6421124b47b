-- grain: one row per row of the payments feed received by as_of
-- description: What became of every row: amount = allocated + unapplied + reversed. Of a reversal, the reversed part is the one that took effect.
-- columns:
--   payment_id: payment
--   customer_id: who paid
--   currency: ISO 4217 code
--   kind: payment, reversal, chargeback or refund
--   received_date: date of the money
--   amount_minor: amount of the row (minor units)
--   reversed_minor: part taken back by reversals (minor units)
--   allocated_minor: part applied to installments (minor units)
--   unapplied_minor: the rest (minor units)
--   match_status: matched, partially_matched, unmatched, reversed, set_aside, reversal or not_applied
--   matched_by: rule that routed it: override, commitment_id, invoice_id, reference, exact_amount, only_commitment or oldest_due (NULL = none).
--     Of an exact amount that went to other commitments altogether, oldest_due
--   target_commitment_id: the one commitment it was routed to (NULL = none, or several)
--   reason: why it stands as it does, in words
--   reference: reference text of the row
--   method: method of payment of the row
--   invoice_id: invoice named on the row
--   commitment_id: commitment named on the row
--   reverses_payment_id: payment that a reversal takes back
--   file_sha256: file the row came in
--   line_number: line of the file
with scales as (
    select currency, exponent, cast(10 ** exponent as bigint) as scale,
    from ledger.currencies
),

applied as (
    select a.payment_key, sum(a.amount_minor)::bigint as allocated_minor,
    from matching.applied as a
    anti join (select replay_id, from matching.epochs where valid_to is not null) as past on a.replay_id = past.replay_id
    group by a.payment_key
),

elsewhere as (
    select a.payment_key, sum(a.amount_minor)::bigint as elsewhere_minor,
    from matching.applied as a
    anti join (select replay_id, from matching.epochs where valid_to is not null) as past on a.replay_id = past.replay_id
    semi join matching.spills as l on a.payment_key = l.payment_key
    inner join matching.routes as r on a.payment_key = r.payment_key
    inner join matching.dues as d on a.installment_key = d.installment_key
    inner join matching.version_keys as v on d.version_key = v.version_key
    where v.commitment_id <> r.commitment_id
    group by a.payment_key
),

reversed as (
    select payment_key, sum(effective_minor)::bigint as reversed_minor,
    from matching.reversals
    where payment_key is not null
    group by payment_key
),

money_in as (
    select
        p.payment_id,
        coalesce(t.reversed_minor, 0) as reversed_minor,
        coalesce(a.allocated_minor, 0) as allocated_minor,
        p.amount_minor - coalesce(t.reversed_minor, 0) as net_minor,
        coalesce(e.elsewhere_minor = a.allocated_minor, false) as is_elsewhere,
        r.target_id,
        case when is_elsewhere then 'oldest_due' else r.matched_by end as matched_by,
        case when not is_elsewhere then r.commitment_id end as commitment_id,
        case
            when is_elsewhere then r.why_elsewhere
            when e.elsewhere_minor > 0
                then r.why || '; when nothing more was left to pay on ' || r.commitment_id || ', it went to what fell due first of the customer''s'
                    || ' other commitments'
            else r.why
        end as why,
        r.problem,
        r.note,
    from matching.receipts as p
    inner join matching.routes as r on p.payment_key = r.payment_key
    left join applied as a on p.payment_key = a.payment_key
    left join reversed as t on p.payment_key = t.payment_key
    left join elsewhere as e on p.payment_key = e.payment_key
),

judged as (
    select
        *,
        net_minor - allocated_minor as unapplied_minor,
        case
            when net_minor = 0 and reversed_minor > 0 then 'reversed'
            when matched_by = 'override' and target_id is null then 'set_aside'
            when allocated_minor = 0 then 'unmatched'
            when allocated_minor < net_minor then 'partially_matched'
            else 'matched'
        end as match_status,
    from money_in
),

outcomes as (
    select payment_id, reversed_minor, allocated_minor, unapplied_minor, match_status, matched_by, commitment_id, why, problem, note,
    from judged
    union all
    select
        payment_id,
        effective_minor,
        0,
        amount_minor - effective_minor,
        'reversal',
        null,
        null,
        null,
        problem,
        null,
    from matching.reversals
    union all
    select
        payment_id,
        0,
        0,
        amount_minor,
        'not_applied',
        null,
        null,
        null,
        'A ' || kind || ' is shown but not applied by this version.',
        null,
    from raw.payments
    where kind not in ('payment', 'reversal') and received_date <= (select as_of from ledger.params)
)

select
    p.payment_id,
    p.customer_id,
    p.currency,
    p.kind,
    p.received_date,
    p.amount_minor,
    o.reversed_minor,
    o.allocated_minor,
    o.unapplied_minor,
    o.match_status,
    o.matched_by,
    o.commitment_id as target_commitment_id,
    case
        when o.match_status = 'reversed' then 'Reversed in full: it counts as if it had never come.'
        when o.match_status = 'matched' then 'Applied in full, because ' || o.why || '.'
        when o.match_status = 'partially_matched'
            then 'Applied in part, because ' || o.why || '; the rest is more than was left to pay there.'
        when o.match_status = 'unmatched' and o.matched_by is not null
            then 'Not applied: it was routed because ' || o.why || ', but nothing was left to pay there.'
        when o.match_status = 'reversal' and o.problem is null
            then 'It takes back money of payment ' || p.reverses_payment_id || '.'
        else o.problem
    end
    || case
        when p.kind = 'payment' and o.reversed_minor > 0 and o.match_status <> 'reversed'
            then ' ' || (o.reversed_minor // s.scale)
                || case when s.exponent > 0 then '.' || lpad((o.reversed_minor % s.scale)::varchar, s.exponent, '0') else '' end
                || ' ' || p.currency || ' of it was reversed.'
        else ''
    end
    || coalesce(' ' || o.note, '') as reason,
    p.reference,
    p.method,
    p.invoice_id,
    p.commitment_id,
    p.reverses_payment_id,
    p.file_sha256,
    p.line_number,
from outcomes as o
inner join raw.payments as p on o.payment_id = p.payment_id
left join scales as s on p.currency = s.currency
order by p.payment_id
