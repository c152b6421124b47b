-- check: approved_schedule_fits_terms
-- stage: core
-- message: The installments that were approved must have the amounts and the dates, before the business-day rule, that the terms make.
select
    coalesce(i.commitment_id, s.commitment_id) as commitment_id,
    coalesce(i.version, s.version) as version,
    coalesce(i.sequence, s.sequence) as sequence,
    i.nominal_due_date as approved_date,
    s.nominal_due_date as date_by_terms,
    i.amount_minor as approved_minor,
    s.amount_minor as minor_by_terms,
from core.installments i
full join core.scheduled s using (commitment_id, version, sequence)
where i.nominal_due_date is distinct from s.nominal_due_date or i.amount_minor is distinct from s.amount_minor
