-- Ageing of broken promises: what is missing by days since the due date, per currency.
select
    currency,
    case
        when days_late <= 7 then '1. up to 7 days'
        when days_late <= 30 then '2. 8 to 30 days'
        when days_late <= 60 then '3. 31 to 60 days'
        when days_late <= 90 then '4. 61 to 90 days'
        else '5. over 90 days'
    end as age,
    count(*) as installments,
    count(distinct customer_id) as customers,
    sum(outstanding_amount) as outstanding_amount,
from broken_promises
group by all
order by currency, age;
