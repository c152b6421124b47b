-- grain: one row per customer, owner and currency with approved commitments
-- description: What both scorecards add up: counts and amounts of what a customer committed to one collector, in one currency.
-- scope: customer_id
-- columns:
--   customer_id: the customer
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
--   promised_amount: amount of the installments judged
--   paid_by_deadline_amount: of it, received by the deadline
--   judged_count_90_days: installments judged and due in the last 90 days, as_of included
--   kept_count_90_days: of them, kept
--   promised_amount_90_days: amount of the installments judged in the last 90 days
--   paid_by_deadline_amount_90_days: of it, received by the deadline
--   broken_now_count: installments broken now, of versions in force
--   overdue_amount: outstanding on them
--   outstanding_amount: outstanding on all installments of versions in force
--   late_days: days_late of the installments judged, added up
with dated as (
    select i.*, i.due_date > p.as_of - 90 and i.due_date <= p.as_of as is_recent,
    from outcomes.installments i
    cross join ledger.params p
),

lines as (
    select
        i.commitment_id,
        i.version,
        count(*) filter (where i.verdict <> 'open') as judged_count,
        count(*) filter (where i.verdict = 'kept') as kept_count,
        count(*) filter (where i.verdict = 'partially_kept') as partially_kept_count,
        count(*) filter (where i.verdict = 'broken') as broken_count,
        count(*) filter (where i.status = 'recovered') as recovered_count,
        count(*) filter (where i.on_time) as on_time_count,
        sum(i.amount_minor) filter (where i.verdict <> 'open') as promised_minor,
        sum(i.paid_by_deadline_minor) filter (where i.verdict <> 'open') as paid_by_deadline_minor,
        count(*) filter (where i.verdict <> 'open' and i.is_recent) as judged_count_90_days,
        count(*) filter (where i.verdict = 'kept' and i.is_recent) as kept_count_90_days,
        sum(i.amount_minor) filter (where i.verdict <> 'open' and i.is_recent) as promised_90_days_minor,
        sum(i.paid_by_deadline_minor) filter (where i.verdict <> 'open' and i.is_recent) as paid_90_days_minor,
        count(*) filter (where i.status = 'broken') as broken_now_count,
        sum(i.outstanding_minor) filter (where i.status = 'broken') as overdue_minor,
        sum(i.outstanding_minor) as outstanding_minor,
        sum(i.days_late) filter (where i.verdict <> 'open') as late_days,
    from dated i
    group by all
),

added_up as (
    select
        c.customer_id,
        c.owner,
        c.currency,
        count(distinct c.commitment_id) as commitment_count,
        count(*) filter (where c.is_current and c.status = 'active') as active_count,
        count(*) filter (where c.is_current and c.status = 'completed') as completed_count,
        count(*) filter (where c.is_current and c.status = 'defaulted') as defaulted_count,
        sum(l.judged_count) as judged_count,
        sum(l.kept_count) as kept_count,
        sum(l.partially_kept_count) as partially_kept_count,
        sum(l.broken_count) as broken_count,
        sum(l.recovered_count) as recovered_count,
        sum(l.on_time_count) as on_time_count,
        coalesce(sum(l.promised_minor), 0) as promised_minor,
        coalesce(sum(l.paid_by_deadline_minor), 0) as paid_by_deadline_minor,
        sum(l.judged_count_90_days) as judged_count_90_days,
        sum(l.kept_count_90_days) as kept_count_90_days,
        coalesce(sum(l.promised_90_days_minor), 0) as promised_90_days_minor,
        coalesce(sum(l.paid_90_days_minor), 0) as paid_90_days_minor,
        coalesce(sum(l.broken_now_count) filter (where c.status in ('active', 'defaulted')), 0) as broken_now_count,
        coalesce(sum(l.overdue_minor), 0) as overdue_minor,
        sum(l.outstanding_minor) as outstanding_minor,
        coalesce(sum(l.late_days), 0) as late_days,
    from outcomes.commitments c
    join lines l using (commitment_id, version)
    group by all
)

select
    a.customer_id,
    a.owner,
    a.currency,
    a.commitment_count::bigint as commitment_count,
    a.active_count::bigint as active_count,
    a.completed_count::bigint as completed_count,
    a.defaulted_count::bigint as defaulted_count,
    a.judged_count::bigint as judged_count,
    a.kept_count::bigint as kept_count,
    a.partially_kept_count::bigint as partially_kept_count,
    a.broken_count::bigint as broken_count,
    a.recovered_count::bigint as recovered_count,
    a.on_time_count::bigint as on_time_count,
    (a.promised_minor::bigint * s.unit)::decimal(18, 3) as promised_amount,
    (a.paid_by_deadline_minor::bigint * s.unit)::decimal(18, 3) as paid_by_deadline_amount,
    a.judged_count_90_days::bigint as judged_count_90_days,
    a.kept_count_90_days::bigint as kept_count_90_days,
    (a.promised_90_days_minor::bigint * s.unit)::decimal(18, 3) as promised_amount_90_days,
    (a.paid_90_days_minor::bigint * s.unit)::decimal(18, 3) as paid_by_deadline_amount_90_days,
    a.broken_now_count::bigint as broken_now_count,
    (a.overdue_minor::bigint * s.unit)::decimal(18, 3) as overdue_amount,
    (a.outstanding_minor::bigint * s.unit)::decimal(18, 3) as outstanding_amount,
    a.late_days::bigint as late_days,
from added_up a
join published.scales s using (currency)
order by customer_id, owner, currency
