-- check: outcomes_installments_within_amount
-- stage: outcomes
-- message: No installment may be paid more than its amount, and while its version is in force paid and outstanding must add up to it.
select i.commitment_id, i.version, i.sequence, i.amount_minor, i.paid_minor, i.outstanding_minor
from outcomes.installments i
where
    i.paid_minor not between 0 and i.amount_minor
    or i.outstanding_minor <> if(i.effective_to is null, i.amount_minor - i.paid_minor, 0)
    or i.paid_in_advance_minor + i.paid_late_minor > i.paid_minor
    or i.paid_by_deadline_minor > i.paid_minor
    or i.charged_back_minor not between 0 and i.amount_minor
    or (i.is_added and i.charged_back_minor <> i.amount_minor)
