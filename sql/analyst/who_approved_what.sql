-- Who approved what: every approved version with who logged it, who approved it, in which role and when.
select
    approved_by,
    approved_role,
    approved_at,
    commitment_id,
    version,
    kind,
    customer_name,
    total_amount,
    discount_amount,
    currency,
    installment_count,
    logged_by,
    decision_reason,
from commitments
where approved_by is not null
order by approved_at desc, commitment_id, version;
