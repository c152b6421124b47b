-- check: every_row_has_an_answer
-- stage: matching
-- message: Every row of the payments feed received by as_of is in matching.payments once, with a status, and a reason where it is not applied; no other row is.
with expected as (
    select payment_id,
    from raw.payments
    where received_date <= (select as_of from ledger.params)
),

found as (
    select payment_id, count(*) as row_count, bool_and(match_status is not null and (matched_by is not null or kind <> 'payment' or problem is not null)) as has_reason,
    from matching.payments
    group by payment_id
)

select coalesce(e.payment_id, f.payment_id) as payment_id, f.row_count, f.has_reason,
from expected as e
full join found as f on e.payment_id = f.payment_id
where e.payment_id is null or f.row_count is distinct from 1 or not f.has_reason
