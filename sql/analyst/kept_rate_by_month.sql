-- Kept rate by month of the due date, by count and by amount, per currency. Rates are exact to four digits.
select
    date_trunc('month', due_date)::date as month,
    currency,
    count(*) as judged,
    count(*) filter (where verdict = 'kept') as kept,
    (kept * 10000 // judged * 0.0001)::decimal(9, 4) as kept_rate_by_count,
    sum(amount) as promised_amount,
    sum(paid_by_deadline) as paid_by_deadline_amount,
    ((sum(paid_by_deadline) * 1000)::hugeint * 10000 // (sum(amount) * 1000)::hugeint * 0.0001)::decimal(9, 4) as kept_rate_by_amount,
from installments
where verdict <> 'open'
group by all
order by month, currency;
