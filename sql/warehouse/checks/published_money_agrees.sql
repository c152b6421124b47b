-- check: published_money_agrees
-- stage: published
-- message: Paid money must be the same however it is cut, per currency: payments, allocations, installments, commitments.
with cuts as (
    select 'payments' as cut, currency, sum(allocated_amount) as paid from published.payments where kind = 'payment' group by all
    union all
    select 'allocations' as cut, currency, sum(amount) as paid from published.allocations group by all
    union all
    select 'installments' as cut, currency, sum(paid_amount) as paid from published.installments group by all
    union all
    select 'commitments' as cut, currency, sum(paid_amount) as paid from published.commitments group by all
)

select
    currency,
    coalesce(sum(paid) filter (where cut = 'payments'), 0) as payments,
    coalesce(sum(paid) filter (where cut = 'allocations'), 0) as allocations,
    coalesce(sum(paid) filter (where cut = 'installments'), 0) as installments,
    coalesce(sum(paid) filter (where cut = 'commitments'), 0) as commitments,
from cuts
group by currency
having payments <> allocations or allocations <> installments or installments <> commitments
