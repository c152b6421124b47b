-- Unmatched money: how much waits for a decision, by customer and currency, and since when.
select
    customer_id,
    customer_name,
    owner,
    currency,
    count(*) as payments,
    sum(unapplied_amount) as unapplied_amount,
    min(received_date) as oldest,
    max(days_waiting) as days_waiting,
from unmatched_payments
where kind = 'payment'
group by all
order by unapplied_amount desc, customer_id, currency;
