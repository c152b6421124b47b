-- Cash expected: what is promised for the next four weeks by commitments in force, per week, currency and owner.
select
    date_trunc('week', i.due_date)::date as week,
    i.currency,
    c.owner,
    count(*) as installments,
    sum(i.outstanding_amount) as expected_amount,
from installments i
join commitments c using (commitment_id, version)
cross join run_info r
where i.status in ('scheduled', 'due_soon', 'due_today', 'in_grace') and i.due_date < r.as_of + 28 and i.outstanding_amount > 0
group by all
order by week, i.currency, c.owner;
