-- grain: one row per payment that a person, or its own row, directs to a known commitment or sets aside
-- description: Explicit direction is followed or refused with a reason; it is never second-guessed by a later rule.
-- columns:
--   payment_key: payment
--   matched_by: override or commitment_id
--   commitment_id: commitment named (NULL = set aside)
--   version_key: its version in force on the received_date (NULL = not usable)
--   problem: why it is not usable, in words
--   decided_by: who made the override
--   decision_reason: the reason given for the override
-- keep: no
with overridden as (
    select p.payment_key, 'override' as matched_by, o.commitment_id, o.decided_by, o.reason,
    from matching.receipts as p
    inner join ledger.overrides as o on p.payment_id = o.payment_id
    where o.commitment_id is null or o.commitment_id in (select commitment_id from ledger.commitments)
),

directed as (
    select payment_key, matched_by, commitment_id, decided_by, reason,
    from overridden
    union all
    select p.payment_key, 'commitment_id', p.commitment_id, null, null,
    from matching.receipts as p
    semi join ledger.commitments as c on p.commitment_id = c.commitment_id
    anti join overridden as o on p.payment_key = o.payment_key
),

checked as (
    select
        d.*,
        p.received_date,
        p.currency,
        c.currency as commitment_currency,
        d.commitment_id is null or (c.customer_id = p.customer_id and c.currency = p.currency) as agrees,
        c.customer_id = p.customer_id as is_own,
        v.version_key,
    from directed as d
    inner join matching.receipts as p on d.payment_key = p.payment_key
    left join ledger.commitments as c on d.commitment_id = c.commitment_id
    left join matching.version_keys as v
        on d.commitment_id = v.commitment_id
        and p.received_date >= v.effective_from
        and (v.effective_to is null or p.received_date < v.effective_to)
),

history as (
    select
        commitment_id,
        min(agreed_on) filter (where decision = 'approve') as first_agreed_on,
        min(cancelled_on) filter (where decision = 'approve') as cancelled_on,
        bool_or(decision is null) as is_pending,
        bool_or(decision = 'send_back') as is_sent_back,
    from ledger.versions
    group by commitment_id
)

select
    c.payment_key,
    c.matched_by,
    c.commitment_id,
    case when c.agrees then c.version_key end as version_key,
    case
        when c.commitment_id is null or (c.agrees and c.version_key is not null) then null
        when not c.is_own then 'Commitment ' || c.commitment_id || ' belongs to another customer.'
        when not c.agrees
            then 'The payment is in ' || c.currency || ', but commitment ' || c.commitment_id || ' is in ' || c.commitment_currency || '.'
        when h.first_agreed_on > c.received_date
            then 'Commitment ' || c.commitment_id || ' was agreed on ' || strftime(h.first_agreed_on, '%-d %b %Y') || ', after the money came in on '
                || strftime(c.received_date, '%-d %b %Y') || '.'
        when h.cancelled_on <= c.received_date
            then 'Commitment ' || c.commitment_id || ' was cancelled on ' || strftime(h.cancelled_on, '%-d %b %Y') || '.'
        when h.first_agreed_on is not null
            then 'Commitment ' || c.commitment_id || ' was not in force on ' || strftime(c.received_date, '%-d %b %Y') || '.'
        when h.is_pending then 'Commitment ' || c.commitment_id || ' is not approved yet.'
        when h.is_sent_back then 'Commitment ' || c.commitment_id || ' was sent back and is not approved.'
        else 'Commitment ' || c.commitment_id || ' was rejected.'
    end as problem,
    c.decided_by,
    c.reason as decision_reason,
from checked as c
left join history as h on c.commitment_id = h.commitment_id
