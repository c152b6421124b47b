-- grain: one row per part of a decision in effect, except on payments received after as_of
-- description: Where people sent payments by hand, and which of these decisions do not work out.
-- scope: customer_id
-- columns:
--   payment_id: payment decided about
--   part: 1, 2 … within the payment; a payment that is not split is one part
--   customer_id: who paid; NULL when the payment is not in the book
--   commitment_id: where the part goes; NULL when it is set aside
--   currency: ISO 4217 code of the amount; NULL when the payment is not in the book
--   amount: amount of the part, of an unsplit payment all of it; NULL when the payment is not in the book
--   decided_by: who decided
--   decided_at: when (UTC)
--   reason: why, in their words
--   is_stale: whether it does not work out as decided
--   problem: why not, what happens instead, and what to do; NULL when it works out
select
    d.payment_id,
    d.part,
    p.customer_id,
    d.commitment_id,
    p.currency,
    (coalesce(d.amount_minor, p.amount_minor) * s.unit)::decimal(18, 3) as amount,
    d.decided_by,
    make_timestamp(epoch_us(d.decided_at)) as decided_at,
    d.reason,
    d.is_stale,
    d.problem,
from matching.decisions d
left join raw.payments p using (payment_id)
left join published.scales s on p.currency = s.currency
order by payment_id, part
