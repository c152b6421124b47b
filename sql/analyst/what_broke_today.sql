-- What broke today, and why: installments that became broken on the build's own date.
select
    b.owner,
    b.customer_name,
    b.commitment_id,
    b.sequence,
    b.due_date,
    b.outstanding_amount,
    b.currency,
    b.reason,
from broken_promises b
cross join run_info r
where b.broken_since = r.as_of
order by b.owner, b.customer_name, b.commitment_id, b.sequence;
