-- check: outcomes_every_installment_judged_once
-- stage: outcomes
-- message: Every scheduled installment must have exactly one outcome.
select commitment_id, version, sequence, count(o.commitment_id) as outcomes
from core.installments i
left join outcomes.installments o using (commitment_id, version, sequence)
group by all
having outcomes <> 1
