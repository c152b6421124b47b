-- grain: one row per debit of a chargeback and span of dates in which the book said so
-- description: What chargebacks added to installments, or added as installments, and from when to when that was known.
-- keep: no
-- columns:
--   version_key: the version
--   sequence: the installment that got larger, or the new one
--   is_added: whether the installment is new
--   due_date: its due date
--   nominal_due_date: its due date before the business-day rule
--   grace_days: its days of grace
--   amount_minor: the debit (minor units)
--   payment_id: the payment that was charged back
--   debited_on: date of the chargeback
--   known_from: first date on which it counts
--   known_to: first date on which it no longer counts; 9999-12-31 while it does
select
    v.version_key,
    d.sequence,
    d.is_added,
    d.due_date,
    d.nominal_due_date,
    d.grace_days,
    d.amount_minor,
    coalesce(c.reverses_payment_id, d.payment_id) as payment_id,
    d.debited_on,
    greatest(d.debited_on, d.valid_from) as known_from,
    coalesce(d.valid_to, date '9999-12-31') as known_to,
from matching.debits d
join outcomes.versions v using (commitment_id, version)
left join matching.payments c on d.payment_id = c.payment_id
where known_from < known_to
