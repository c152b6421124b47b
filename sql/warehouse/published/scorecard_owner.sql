-- grain: one row per owner and currency with approved commitments
-- description: The kept-versus-broken scorecard by collector, over the commitments they own. Rates count
--   installments with a verdict, of every version that was in force, by due date. Amounts are of one currency only.
-- columns:
--   owner: user name of the collector; NULL for commitments without one
--   currency: ISO 4217 code of all amounts of the row
--   commitment_count: commitments approved so far
--   active_count: of them, in force and not completed
--   completed_count: of them, completed
--   defaulted_count: of them, in default
--   judged_count: installments with a verdict
--   kept_count: of them, kept
--   partially_kept_count: of them, paid in part by the deadline
--   broken_count: of them, not paid at all by the deadline
--   recovered_count: of those not kept, satisfied later
--   on_time_count: of those kept, kept without grace
--   kept_rate_by_count: kept_count divided by judged_count, from 0 to 1, rounded half up; NULL when nothing is judged
--   promised_amount: amount of the installments judged
--   paid_by_deadline_amount: of it, received by the deadline
--   kept_rate_by_amount: paid_by_deadline_amount divided by promised_amount, from 0 to 1, rounded half up
--   judged_count_90_days: installments judged and due in the last 90 days, as_of included
--   kept_count_90_days: of them, kept
--   kept_rate_by_count_90_days: kept divided by judged in the last 90 days
--   promised_amount_90_days: amount of the installments judged in the last 90 days
--   paid_by_deadline_amount_90_days: of it, received by the deadline
--   kept_rate_by_amount_90_days: paid by the deadline divided by promised in the last 90 days
--   broken_now_count: installments broken now, of versions in force
--   overdue_amount: outstanding on them
--   outstanding_amount: outstanding on all installments of versions in force
--   average_days_late: days_late of the installments judged, added up and divided by judged_count, one decimal, rounded half up
select
    s.owner,
    s.currency,
    s.commitment_count,
    s.active_count,
    s.completed_count,
    s.defaulted_count,
    s.judged_count,
    s.kept_count,
    s.partially_kept_count,
    s.broken_count,
    s.recovered_count,
    s.on_time_count,
    s.kept_rate_by_count,
    s.promised_amount,
    s.paid_by_deadline_amount,
    s.kept_rate_by_amount,
    s.judged_count_90_days,
    s.kept_count_90_days,
    s.kept_rate_by_count_90_days,
    s.promised_amount_90_days,
    s.paid_by_deadline_amount_90_days,
    s.kept_rate_by_amount_90_days,
    s.broken_now_count,
    s.overdue_amount,
    s.outstanding_amount,
    s.average_days_late,
from published.scores s
where not s.is_by_customer
order by owner, currency
