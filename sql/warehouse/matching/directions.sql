-- grain: one row per receipt that a person, or its own row, directs to a known commitment or sets aside
-- description: Explicit direction is followed or refused with a reason (matching.misdirected); it is never second-guessed by a later rule.
-- columns:
--   receipt_key: receipt
--   payment_id: payment
--   account_key: customer and currency
--   received_date: date of the money
--   amount_minor: amount (minor units)
--   matched_by: override or commitment_id
--   commitment_id: commitment named (NULL = set aside)
--   decided_by: who made the override
--   version_key: its version in force on the received_date (NULL = set aside, or not usable)
-- keep: no
select
    r.receipt_key,
    r.payment_id,
    r.account_key,
    r.received_date,
    r.amount_minor,
    case when r.decided_by is null then 'commitment_id' else 'override' end as matched_by,
    r.commitment_id,
    r.decided_by,
    v.version_key,
from matching.receipts as r
left join matching.version_keys as v
    on r.commitment_id = v.commitment_id
    and r.account_key = v.account_key
    and r.received_date >= v.effective_from
    and (v.effective_to is null or r.received_date < v.effective_to)
where r.decided_by is not null or r.commitment_id in (select commitment_id from ledger.commitments)
