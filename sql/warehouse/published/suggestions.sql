-- grain: one row per suggestion where a payment may belong, at most three per payment
-- description: For payments with money left over, and those that name something this book does not hold: commitments they may belong to, best
--   first, with what speaks for each. Nothing follows from a suggestion until a person accepts it.
-- scope: whole
-- columns:
--   payment_id: the payment
--   rank: 1 is the best
--   customer_id: who paid
--   received_date: date of the money
--   currency: ISO 4217 code
--   amount: money that looks for a place
--   commitment_id: commitment it may belong to
--   version: version in force on the day of the payment, or within a week of it
--   sequence: installment the amount or the date points at; NULL if none in particular
--   commitment_customer_id: customer of the commitment
--   score: 0 to 100
--   reasons: what speaks for it
--   is_acceptable: whether a person may accept it as it stands
--   correction: what to correct at the source first; NULL when it is acceptable
--   note: how many payments were not looked at because there are too many; NULL when all were
select
    g.payment_id,
    g.rank,
    p.customer_id,
    p.received_date,
    p.currency,
    (g.amount_minor * s.unit)::decimal(18, 3) as amount,
    g.commitment_id,
    g.version,
    g.sequence,
    g.customer_id as commitment_customer_id,
    g.score,
    g.reasons,
    g.is_acceptable,
    g.correction,
    g.note,
from matching.suggestions g
join matching.payments p using (payment_id)
join published.scales s on p.currency = s.currency
order by payment_id, rank
