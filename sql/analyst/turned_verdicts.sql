-- Turned verdicts: installments judged one way when their deadline passed and another way now, mostly by returned payments.
select
    i.commitment_id,
    i.version,
    i.sequence,
    c.customer_name,
    i.due_date,
    i.first_verdict,
    i.verdict,
    t.effective_on as turned_on,
    t.cause,
from installments i
join commitments c using (commitment_id, version)
left join transitions t
    on i.commitment_id = t.commitment_id
    and i.version = t.version
    and i.sequence = t.sequence
    and t.from_state in ('kept', 'recovered')
where i.first_verdict <> i.verdict
order by t.effective_on, i.commitment_id, i.version, i.sequence;
