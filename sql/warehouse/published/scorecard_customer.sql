-- grain: one row per customer and currency with approved commitments
-- description: The kept-versus-broken scorecard by customer. Rates count
--   installments with a verdict, of every version that was in force, by due date. Amounts are of one currency only.
-- scope: customer_id
-- columns:
--   customer_id: the customer
--   customer_name: name of the customer
--   segment: segment of the customer
--   owner: user name of the collector responsible for the customer
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
with totals as (
    select
        customer_id,
        currency,
        sum(commitment_count)::bigint as commitment_count,
        sum(active_count)::bigint as active_count,
        sum(completed_count)::bigint as completed_count,
        sum(defaulted_count)::bigint as defaulted_count,
        sum(judged_count)::bigint as judged_count,
        sum(kept_count)::bigint as kept_count,
        sum(partially_kept_count)::bigint as partially_kept_count,
        sum(broken_count)::bigint as broken_count,
        sum(recovered_count)::bigint as recovered_count,
        sum(on_time_count)::bigint as on_time_count,
        sum(promised_amount)::decimal(18, 3) as promised_amount,
        sum(paid_by_deadline_amount)::decimal(18, 3) as paid_by_deadline_amount,
        sum(judged_count_90_days)::bigint as judged_count_90_days,
        sum(kept_count_90_days)::bigint as kept_count_90_days,
        sum(promised_amount_90_days)::decimal(18, 3) as promised_amount_90_days,
        sum(paid_by_deadline_amount_90_days)::decimal(18, 3) as paid_by_deadline_amount_90_days,
        sum(broken_now_count)::bigint as broken_now_count,
        sum(overdue_amount)::decimal(18, 3) as overdue_amount,
        sum(outstanding_amount)::decimal(18, 3) as outstanding_amount,
        sum(late_days)::bigint as late_days,
    from published.scorecard_parts
    group by customer_id, currency
),

-- rates divide whole thousandths: a division of decimals would give a DOUBLE
scaled as (
    select
        *,
        (promised_amount * 1000)::bigint as promised,
        (paid_by_deadline_amount * 1000)::bigint as paid,
        (promised_amount_90_days * 1000)::bigint as promised_90_days,
        (paid_by_deadline_amount_90_days * 1000)::bigint as paid_90_days,
    from totals
)

select
    t.customer_id,
    c.customer_name,
    c.segment,
    c.owner,
    t.currency,
    t.commitment_count,
    t.active_count,
    t.completed_count,
    t.defaulted_count,
    t.judged_count,
    t.kept_count,
    t.partially_kept_count,
    t.broken_count,
    t.recovered_count,
    t.on_time_count,
    case
        when t.judged_count > 0 then (((2 * t.kept_count::hugeint * 10000 + t.judged_count) // (2 * t.judged_count)) * 0.0001)::decimal(9, 4)
    end as kept_rate_by_count,
    t.promised_amount,
    t.paid_by_deadline_amount,
    case
        when t.promised > 0 then (((2 * t.paid::hugeint * 10000 + t.promised) // (2 * t.promised)) * 0.0001)::decimal(9, 4)
    end as kept_rate_by_amount,
    t.judged_count_90_days,
    t.kept_count_90_days,
    case
        when t.judged_count_90_days > 0 then (((2 * t.kept_count_90_days::hugeint * 10000 + t.judged_count_90_days) // (2 * t.judged_count_90_days)) * 0.0001)::decimal(9, 4)
    end as kept_rate_by_count_90_days,
    t.promised_amount_90_days,
    t.paid_by_deadline_amount_90_days,
    case
        when t.promised_90_days > 0 then (((2 * t.paid_90_days::hugeint * 10000 + t.promised_90_days) // (2 * t.promised_90_days)) * 0.0001)::decimal(9, 4)
    end as kept_rate_by_amount_90_days,
    t.broken_now_count,
    t.overdue_amount,
    t.outstanding_amount,
    case
        when t.judged_count > 0 then (((20 * t.late_days + t.judged_count) // (2 * t.judged_count)) * 0.1)::decimal(9, 1)
    end as average_days_late,
from scaled t
left join core.customers c using (customer_id)
order by customer_id, currency
