-- grain: one row per part of a receipt applied to an installment on a day
-- description: Where the money went.
-- columns:
--   payment_id: payment
--   commitment_id: commitment
--   version: version of the commitment
--   sequence: installment
--   due_date: due date of the installment
--   amount_minor: amount applied (minor units)
--   received_date: date of the money; credit taken over by a later version keeps its date
--   applied_on: day on which it was applied: the received_date, or later for credit taken over by a version or held until something fell due
--   matched_by: the rule that sent the money there
--   matched_on: the evidence, where the rule does not say it all
--   is_elsewhere: whether it is what an exact amount left for other commitments
-- as: view
select payment_id, commitment_id, version, sequence, due_date, amount_minor, received_date, applied_on, matched_by, matched_on, is_elsewhere,
from matching.allocation_history
where valid_to is null
