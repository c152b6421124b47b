-- grain: one row per part of a decision in effect, except on payments received after as_of
-- description: People's decisions on payments, and which of them do not work out: stale ones are reported, not ignored.
-- columns:
--   payment_id: payment decided about
--   part: 1, 2 … within the payment; a payment that is not split is one part
--   commitment_id: where the part goes (NULL = set aside)
--   amount_minor: amount of the part (minor units; NULL = the whole payment)
--   decided_by: who decided
--   decided_at: when (UTC)
--   reason: why, in their words
--   is_stale: whether it does not work out as decided
--   problem: why not, what happens instead, and what to do, in words (NULL = it works out)
with params as (
    select as_of from ledger.params
),

decided as (
    select
        o.payment_id,
        o.part,
        o.commitment_id,
        o.amount_minor,
        o.decided_by,
        o.decided_at,
        o.reason,
        p.customer_id,
        p.currency,
        p.kind,
        p.received_date,
        p.amount_minor as payment_minor,
        c.customer_id as commitment_customer_id,
        c.currency as commitment_currency,
        o.commitment_id is not null and c.commitment_id is null as is_unknown,
    from ledger.overrides as o
    left join raw.payments as p on o.payment_id = p.payment_id
    left join ledger.commitments as c on o.commitment_id = c.commitment_id
    where p.payment_id is null or p.received_date <= (select as_of from params)
),

whole as (
    select
        payment_id,
        any_value(kind) as kind,
        any_value(currency) as currency,
        any_value(payment_minor) as payment_minor,
        sum(amount_minor)::bigint as parts_minor,
        min(commitment_id) filter (where is_unknown) as unknown_id,
    from decided
    group by payment_id
),

scales as (
    select currency, exponent, (10 ** exponent)::bigint as scale,
    from ledger.currencies
),

-- A split that does not add up is told to the cent; the words repeat in both amounts, so they are made once.
in_words as (
    select
        w.*,
        amount.label,
        amount.minor // s.scale || if(s.exponent > 0, '.' || lpad((amount.minor % s.scale)::varchar, s.exponent, '0'), '') || ' ' || w.currency
            as words,
    from whole as w
    inner join scales as s on w.currency = s.currency
    cross join unnest([
        {'label': 'parts', 'minor': w.parts_minor},
        {'label': 'payment', 'minor': w.payment_minor},
        {'label': 'difference', 'minor': abs(w.payment_minor - w.parts_minor)}
    ]) as amounts(amount)
    where w.parts_minor <> w.payment_minor
),

sums as (
    select
        payment_id,
        any_value(words) filter (where label = 'parts') as parts,
        any_value(words) filter (where label = 'payment') as payment,
        any_value(words) filter (where label = 'difference') as difference,
        any_value(parts_minor > payment_minor) as is_too_much,
    from in_words
    group by payment_id
),

in_force as (
    select d.payment_id, d.part,
    from decided as d
    inner join core.versions as v
        on d.commitment_id = v.commitment_id
        and d.received_date >= v.effective_from
        and (v.effective_to is null or d.received_date < v.effective_to)
),

told as (
    select
        d.*,
        -- of the decision as a whole: it is not followed
        case
            when d.kind is null then 'Payment ' || d.payment_id || ' is not in this book.'
            when d.kind <> 'payment' then d.payment_id || ' is a ' || d.kind || '; people decide on payments only.'
            when w.unknown_id is not null then 'Commitment ' || w.unknown_id || ' is not in this book.'
            when s.payment_id is not null
                then 'The parts add up to ' || s.parts || ', but the payment is ' || s.payment || ': ' || s.difference
                    || if(s.is_too_much, ' too much.', ' are missing.')
        end as not_followed,
        -- of one part: its money stays unapplied
        case
            when d.commitment_id is null then null
            when d.commitment_customer_id <> d.customer_id
                then 'Commitment ' || d.commitment_id || ' belongs to another customer, ' || d.commitment_customer_id || '.'
            when d.commitment_currency <> d.currency
                then 'The payment is in ' || d.currency || ', but commitment ' || d.commitment_id || ' is in ' || d.commitment_currency || '.'
            when f.payment_id is not null then null
            when h.first_agreed_on > d.received_date
                then 'Commitment ' || d.commitment_id || ' was agreed on ' || strftime(h.first_agreed_on, '%-d %b %Y')
                    || ', after the money came in on ' || strftime(d.received_date, '%-d %b %Y') || '.'
            when h.cancelled_on <= d.received_date
                then 'Commitment ' || d.commitment_id || ' was cancelled on ' || strftime(h.cancelled_on, '%-d %b %Y') || '.'
            when h.first_agreed_on is not null
                then 'Commitment ' || d.commitment_id || ' was not in force on ' || strftime(d.received_date, '%-d %b %Y') || '.'
            when h.is_pending then 'Commitment ' || d.commitment_id || ' is not approved yet.'
            when h.is_sent_back then 'Commitment ' || d.commitment_id || ' was sent back and is not approved.'
            else 'Commitment ' || d.commitment_id || ' was rejected.'
        end as not_applied,
        h.is_pending and h.first_agreed_on is null as is_waiting,
    from decided as d
    inner join whole as w on d.payment_id = w.payment_id
    left join sums as s on d.payment_id = s.payment_id
    left join matching.commitment_histories as h on d.commitment_id = h.commitment_id
    left join in_force as f on d.payment_id = f.payment_id and d.part = f.part
)

select
    payment_id,
    part,
    commitment_id,
    amount_minor,
    decided_by,
    decided_at,
    reason,
    not_followed is not null or not_applied is not null as is_stale,
    case
        when kind is null then not_followed || ' Nothing follows from the decision until the payment is received; undo it if the id is wrong.'
        when not_followed is not null then not_followed || ' The decision is not followed and the other rules hold; decide again, or undo it.'
        when is_waiting and not_applied is not null and commitment_customer_id = customer_id and commitment_currency = currency
            then not_applied || ' The money stays unapplied until it is.'
        when not_applied is not null and commitment_customer_id <> customer_id
            then not_applied || ' The money stays unapplied; correct the customer at the source, decide again, or undo the decision.'
        when not_applied is not null then not_applied || ' The money stays unapplied; decide again, or undo the decision.'
    end as problem,
from told
order by payment_id, part
