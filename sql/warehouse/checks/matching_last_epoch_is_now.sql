-- check: last_epoch_is_now
-- stage: matching
-- message: The rows of matching.allocation_history that still hold are exactly matching.allocations.
with open_history as (
    select payment_id, commitment_id, version, sequence, amount_minor, received_date,
    from matching.allocation_history
    where valid_to is null
),

now_allocated as (
    select payment_id, commitment_id, version, sequence, amount_minor, received_date,
    from matching.allocations
)

(from open_history except all from now_allocated)
union all
(from now_allocated except all from open_history)
