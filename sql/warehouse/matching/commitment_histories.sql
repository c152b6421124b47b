-- grain: one row per commitment of the ledger
-- description: What became of a commitment's terms, to say why it cannot take money.
-- columns:
--   commitment_id: commitment
--   first_agreed_on: when its first approved terms were agreed (NULL = none were approved)
--   cancelled_on: first day on which it is cancelled (NULL = it is not)
--   is_pending: whether terms wait for approval
--   is_sent_back: whether terms were sent back
-- keep: no
select
    commitment_id,
    min(agreed_on) filter (where decision = 'approve') as first_agreed_on,
    min(cancelled_on) filter (where decision = 'approve') as cancelled_on,
    bool_or(decision is null) as is_pending,
    bool_or(decision = 'send_back') as is_sent_back,
from ledger.versions
group by commitment_id
