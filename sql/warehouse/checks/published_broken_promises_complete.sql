-- check: published_broken_promises_complete
-- stage: published
-- message: Every broken installment of a version in force must be on the list of broken promises, with reason and date.
select i.commitment_id, i.version, i.sequence, i.reason, i.broken_on, b.commitment_id is not null as is_listed
from published.installments i
join published.commitments c using (commitment_id, version)
left join published.broken_promises b using (commitment_id, version, sequence)
where i.status = 'broken' and c.effective_to is null and (b.commitment_id is null or coalesce(i.reason, '') = '' or i.broken_on is null)
