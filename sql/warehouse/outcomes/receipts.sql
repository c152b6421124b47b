-- grain: one row per allocation and span of knowledge it was known in
-- description: Money of a version in the order it came, with its running total, once for each span of outcomes.epochs.
-- keep: no
-- columns:
--   commitment_id: the commitment
--   version: the version
--   known_from: first date of the span; 0001-01-01 for the beginning
--   sequence: installment it was applied to
--   received_date: date on which the money came
--   amount_minor: part of the payment applied to the installment (minor units)
--   running_minor: all money of the version up to and with this (minor units)
--   position: place of the installment in the order of due dates
--   is_in_order: whether every earlier installment was full when this one got money
with known as (
    select
        h.commitment_id,
        h.version,
        coalesce(e.known_from, date '0001-01-01') as known_from,
        h.sequence,
        h.payment_id,
        h.received_date,
        h.amount_minor,
    from matching.allocation_history h
    left join outcomes.epochs e using (commitment_id, version)
    where
        e.known_from is null
        or (
            coalesce(h.valid_from, date '0001-01-01') <= e.known_from
            and e.known_from < coalesce(h.valid_to, date '9999-12-31')
        )
)

select
    k.commitment_id,
    k.version,
    k.known_from,
    k.sequence,
    k.received_date,
    k.amount_minor,
    (sum(k.amount_minor) over so_far)::bigint as running_minor,
    t.position,
    sum(k.amount_minor) over so_far - k.amount_minor >= t.due_before_minor as is_in_order,
from known k
join outcomes.terms t using (commitment_id, version, sequence)
window so_far as (
    partition by k.commitment_id, k.version, k.known_from
    order by k.received_date, k.payment_id, t.position
    rows between unbounded preceding and current row
)
