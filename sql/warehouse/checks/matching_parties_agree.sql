-- check: parties_agree
-- stage: matching
-- message: Money goes only to commitments of the customer who paid, in the currency paid, and never to a version that ended before it came.
select a.payment_id, a.commitment_id, p.customer_id, v.customer_id as commitment_customer_id, p.currency, v.currency as commitment_currency,
from matching.allocations as a
inner join matching.payments as p on a.payment_id = p.payment_id
left join core.versions as v on a.commitment_id = v.commitment_id and a.version = v.version
where
    p.kind <> 'payment'
    or v.customer_id is distinct from p.customer_id
    or v.currency is distinct from p.currency
    or p.received_date >= v.effective_to
