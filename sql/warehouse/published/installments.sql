-- grain: one row per installment of an approved version of a commitment
-- description: What is due when, what arrived, and the verdict. A promise has exactly one installment, unless a chargeback added one.
-- scope: customer_id
-- columns:
--   commitment_id: the commitment
--   version: the version
--   sequence: place in the schedule, from 1
--   customer_id: the customer who committed
--   currency: ISO 4217 code of all amounts of the row
--   due_date: date on which it is due, after the business-day rule
--   nominal_due_date: due date before the business-day rule
--   grace_days: calendar days of grace
--   deadline: last day to satisfy it: due date plus grace, of a repeating promise not before the day it rolled there; NULL
--     while a repeating promise has not rolled to it
--   amount: amount due, with what chargebacks added
--   charged_back_amount: of it, added by chargebacks
--   is_added: whether a chargeback added the whole installment
--   tolerance: shortfall this installment forgives; tolerances of a version add up, as shortfalls do
--   paid_amount: allocated to it
--   paid_in_advance: of it, received before the due date
--   paid_late: of it, received after the due date
--   paid_by_deadline: of it, received by the deadline: what kept rates by amount count
--   outstanding_amount: amount less paid_amount; 0 once the version has ended, since nothing is owed under it
--   status: scheduled, due_soon, due_today, in_grace, broken, kept, recovered, cancelled or superseded
--   verdict: kept (satisfied by the deadline), partially_kept (something came, not enough), broken (nothing came) or open;
--     NULL when it is not scored: its version ended before it was due, or while grace was running and it was not satisfied
--   first_verdict: verdict when the deadline passed, by what was known on that day; a payment returned later does not change it
--   on_time: whether it was kept by the due date itself, without grace; NULL while open
--   kept_on: received date of the money that satisfied it, in time or late; NULL if not satisfied
--   broken_on: first day after a deadline that passed unsatisfied
--   days_late: days from the due date to kept_on, to as_of while not satisfied, or to the end of the version
--   effective_to: first date on which its version is no longer in force; NULL while it is
--   reason: one sentence saying why it is in this state
select
    i.commitment_id,
    i.version::integer as version,
    i.sequence::integer as sequence,
    i.customer_id,
    i.currency,
    i.due_date,
    i.nominal_due_date,
    i.grace_days::integer as grace_days,
    i.deadline,
    (i.amount_minor * s.unit)::decimal(18, 3) as amount,
    (i.charged_back_minor * s.unit)::decimal(18, 3) as charged_back_amount,
    i.is_added,
    (i.tolerance_minor * s.unit)::decimal(18, 3) as tolerance,
    (i.paid_minor * s.unit)::decimal(18, 3) as paid_amount,
    (i.paid_in_advance_minor * s.unit)::decimal(18, 3) as paid_in_advance,
    (i.paid_late_minor * s.unit)::decimal(18, 3) as paid_late,
    (i.paid_by_deadline_minor * s.unit)::decimal(18, 3) as paid_by_deadline,
    (i.outstanding_minor * s.unit)::decimal(18, 3) as outstanding_amount,
    i.status,
    i.verdict,
    i.first_verdict,
    i.on_time,
    i.kept_on,
    i.broken_on,
    i.days_late,
    i.effective_to,
from outcomes.installments i
join published.scales s using (currency)
order by commitment_id, version, sequence
