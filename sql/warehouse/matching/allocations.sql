-- grain: one row per part of a payment applied to an installment
-- description: Where the money went, each part with one sentence that can be read to the customer.
-- columns:
--   payment_id: payment
--   commitment_id: commitment
--   version: version of the commitment
--   sequence: installment
--   amount_minor: amount applied (minor units)
--   received_date: date of the money; credit taken over by a later version keeps its date
--   matched_by: the rule that sent the money there: of what an exact amount leaves for other commitments, oldest_due
--   explanation: what went where and why, in one sentence
with scales as (
    select currency, exponent, cast(10 ** exponent as bigint) as scale,
    from ledger.currencies
)

select
    p.payment_id,
    v.commitment_id,
    v.version,
    d.sequence,
    a.amount_minor,
    p.received_date,
    case when r.matched_by = 'exact_amount' and v.commitment_id <> r.commitment_id then 'oldest_due' else r.matched_by end as matched_by,
    -- One concat: a chain of || copies the sentence at every link.
    concat(
        a.amount_minor // s.scale,
        case when s.exponent > 0 then '.' || lpad((a.amount_minor % s.scale)::varchar, s.exponent, '0') end,
        ' ',
        p.currency,
        ' of payment ',
        p.payment_id,
        ' (received ',
        strftime(p.received_date, '%-d %b %Y'),
        ') went to ',
        case
            when v.kind = 'promise' then ''
            when d.is_down_payment then 'the down payment of '
            else concat('installment ', d.sequence, ' of ')
        end,
        replace(v.kind, '_', ' '),
        ' ',
        v.commitment_id,
        case when v.version > 1 then concat(' (version ', v.version, ')') end,
        ', due ',
        strftime(d.due_date, '%-d %b %Y'),
        ', because ',
        case when r.matched_by = 'exact_amount' and v.commitment_id <> r.commitment_id then r.why_elsewhere else r.why end,
        case
            when p.received_date < v.effective_from
                then concat(', as credit taken over when that version began on ', strftime(v.effective_from, '%-d %b %Y'))
        end,
        '.'
    ) as explanation,
from matching.applied as a
inner join matching.receipts as p on a.payment_key = p.payment_key
inner join matching.routes as r on a.payment_key = r.payment_key
inner join matching.dues as d on a.installment_key = d.installment_key
inner join matching.version_keys as v on d.version_key = v.version_key
inner join scales as s on p.currency = s.currency
anti join (select replay_id, from matching.epochs where valid_to is not null) as past on a.replay_id = past.replay_id
order by p.payment_id, v.commitment_id, v.version, d.sequence
