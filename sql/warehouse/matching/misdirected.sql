-- grain: one row per receipt directed to a commitment that cannot take it
-- description: Why not, in words.
-- columns:
--   receipt_key: receipt
--   problem: why the commitment named cannot take the money
-- keep: no
select
    d.receipt_key,
    case
        when c.customer_id <> p.customer_id then 'Commitment ' || d.commitment_id || ' belongs to another customer.'
        when c.currency <> p.currency
            then 'The payment is in ' || p.currency || ', but commitment ' || d.commitment_id || ' is in ' || c.currency || '.'
        when h.first_agreed_on > d.received_date
            then 'Commitment ' || d.commitment_id || ' was agreed on ' || strftime(h.first_agreed_on, '%-d %b %Y') || ', after the money came in on '
                || strftime(d.received_date, '%-d %b %Y') || '.'
        when h.cancelled_on <= d.received_date
            then 'Commitment ' || d.commitment_id || ' was cancelled on ' || strftime(h.cancelled_on, '%-d %b %Y') || '.'
        when h.first_agreed_on is not null
            then 'Commitment ' || d.commitment_id || ' was not in force on ' || strftime(d.received_date, '%-d %b %Y') || '.'
        when h.is_pending then 'Commitment ' || d.commitment_id || ' is not approved yet.'
        when h.is_sent_back then 'Commitment ' || d.commitment_id || ' was sent back and is not approved.'
        else 'Commitment ' || d.commitment_id || ' was rejected.'
    end as problem,
from matching.directions as d
inner join matching.receipts as r on d.receipt_key = r.receipt_key
inner join raw.payments as p on r.payment_id = p.payment_id
inner join ledger.commitments as c on d.commitment_id = c.commitment_id
left join matching.commitment_histories as h on d.commitment_id = h.commitment_id
where d.version_key is null
