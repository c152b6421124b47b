-- Promised and paid by week: what fell due each week and what of it had arrived by its deadline, later, or not at all.
select
    date_trunc('week', due_date)::date as week,
    currency,
    count(*) as installments,
    sum(amount) as promised_amount,
    sum(paid_by_deadline) as in_time_amount,
    sum(paid_amount - paid_by_deadline) as later_amount,
    sum(outstanding_amount) as missing_amount,
from installments
cross join run_info
where due_date <= as_of and verdict is not null
group by all
order by week, currency;
