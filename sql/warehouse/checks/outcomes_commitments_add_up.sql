-- check: outcomes_commitments_add_up
-- stage: outcomes
-- message: Paid, outstanding, payable and charged back of a commitment version must be the sums over its installments.
with summed as (
    select
        commitment_id,
        version,
        sum(amount_minor) as amount_minor,
        sum(charged_back_minor) as charged_back_minor,
        sum(paid_minor) as paid_minor,
        sum(outstanding_minor) as outstanding_minor,
    from outcomes.installments
    group by all
)

select
    commitment_id,
    version,
    c.payable_minor,
    s.amount_minor,
    c.charged_back_minor,
    s.charged_back_minor as installments_charged_back_minor,
    c.paid_minor,
    s.paid_minor as installments_paid_minor,
    c.outstanding_minor,
    s.outstanding_minor as installments_outstanding_minor,
from summed s
left join outcomes.commitments c using (commitment_id, version)
where
    c.commitment_id is null
    or c.payable_minor + c.charged_back_minor <> s.amount_minor
    or c.charged_back_minor <> s.charged_back_minor
    or c.paid_minor <> s.paid_minor
    or c.outstanding_minor <> s.outstanding_minor
