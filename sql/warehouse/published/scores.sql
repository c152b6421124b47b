-- grain: one row per customer and currency, and one per owner and currency
-- description: What both scorecards are made of.
-- keep: no
-- columns:
--   is_by_customer: whether the row is a customer's; an owner's otherwise
--   customer_id: the customer; NULL in an owner's row
--   owner: the collector; NULL in a customer's row, and for commitments without one
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
with lines as (
    select
        c.customer_id,
        c.owner,
        i.currency,
        i.verdict,
        i.status,
        i.on_time,
        i.days_late,
        i.amount_minor,
        i.paid_by_deadline_minor,
        i.outstanding_minor,
        c.status as life,
        i.due_date > p.as_of - 90 and i.due_date <= p.as_of as is_recent,
    from outcomes.installments i
    join outcomes.commitments c using (commitment_id, version)
    cross join ledger.params p
),

counted as (
    select
        grouping(owner) = 1 as is_by_customer,
        customer_id,
        owner,
        currency,
        count(*) filter (where verdict <> 'open') as judged_count,
        count(*) filter (where verdict = 'kept') as kept_count,
        count(*) filter (where verdict = 'partially_kept') as partially_kept_count,
        count(*) filter (where verdict = 'broken') as broken_count,
        count(*) filter (where status = 'recovered') as recovered_count,
        count(*) filter (where on_time) as on_time_count,
        coalesce(sum(amount_minor) filter (where verdict <> 'open'), 0)::bigint as promised_minor,
        coalesce(sum(paid_by_deadline_minor) filter (where verdict <> 'open'), 0)::bigint as paid_by_deadline_minor,
        count(*) filter (where verdict <> 'open' and is_recent) as judged_count_90_days,
        count(*) filter (where verdict = 'kept' and is_recent) as kept_count_90_days,
        coalesce(sum(amount_minor) filter (where verdict <> 'open' and is_recent), 0)::bigint as promised_90_days_minor,
        coalesce(sum(paid_by_deadline_minor) filter (where verdict <> 'open' and is_recent), 0)::bigint as paid_90_days_minor,
        count(*) filter (where status = 'broken' and life in ('active', 'defaulted')) as broken_now_count,
        coalesce(sum(outstanding_minor) filter (where status = 'broken'), 0)::bigint as overdue_minor,
        sum(outstanding_minor)::bigint as outstanding_minor,
        coalesce(sum(days_late) filter (where verdict <> 'open'), 0)::bigint as late_days,
    from lines
    group by grouping sets ((customer_id, currency), (owner, currency))
),

bodies as (
    select
        grouping(c.owner) = 1 as is_by_customer,
        c.customer_id,
        c.owner,
        c.currency,
        count(distinct c.commitment_id) as commitment_count,
        count(*) filter (where c.is_current and c.status = 'active') as active_count,
        count(*) filter (where c.is_current and c.status = 'completed') as completed_count,
        count(*) filter (where c.is_current and c.status = 'defaulted') as defaulted_count,
    from outcomes.commitments c
    semi join core.versions v on c.commitment_id = v.commitment_id and c.version = v.version
    group by grouping sets ((c.customer_id, c.currency), (c.owner, c.currency))
)

select
    p.is_by_customer,
    p.customer_id,
    p.owner,
    p.currency,
    b.commitment_count,
    b.active_count,
    b.completed_count,
    b.defaulted_count,
    p.judged_count,
    p.kept_count,
    p.partially_kept_count,
    p.broken_count,
    p.recovered_count,
    p.on_time_count,
    case
        when p.judged_count > 0 then (((2 * p.kept_count * 10000 + p.judged_count) // (2 * p.judged_count)) * 0.0001)::decimal(9, 4)
    end as kept_rate_by_count,
    (p.promised_minor * s.unit)::decimal(18, 3) as promised_amount,
    (p.paid_by_deadline_minor * s.unit)::decimal(18, 3) as paid_by_deadline_amount,
    case
        when p.promised_minor > 0 then
            (((2 * p.paid_by_deadline_minor::hugeint * 10000 + p.promised_minor) // (2 * p.promised_minor)) * 0.0001)::decimal(9, 4)
    end as kept_rate_by_amount,
    p.judged_count_90_days,
    p.kept_count_90_days,
    case
        when p.judged_count_90_days > 0 then
            (((2 * p.kept_count_90_days * 10000 + p.judged_count_90_days) // (2 * p.judged_count_90_days)) * 0.0001)::decimal(9, 4)
    end as kept_rate_by_count_90_days,
    (p.promised_90_days_minor * s.unit)::decimal(18, 3) as promised_amount_90_days,
    (p.paid_90_days_minor * s.unit)::decimal(18, 3) as paid_by_deadline_amount_90_days,
    case
        when p.promised_90_days_minor > 0 then
            (((2 * p.paid_90_days_minor::hugeint * 10000 + p.promised_90_days_minor) // (2 * p.promised_90_days_minor)) * 0.0001)::decimal(9, 4)
    end as kept_rate_by_amount_90_days,
    p.broken_now_count,
    (p.overdue_minor * s.unit)::decimal(18, 3) as overdue_amount,
    (p.outstanding_minor * s.unit)::decimal(18, 3) as outstanding_amount,
    case
        when p.judged_count > 0 then (((20 * p.late_days + p.judged_count) // (2 * p.judged_count)) * 0.1)::decimal(9, 1)
    end as average_days_late,
from counted p
join bodies b
    on p.is_by_customer = b.is_by_customer
    and p.customer_id is not distinct from b.customer_id
    and p.owner is not distinct from b.owner
    and p.currency = b.currency
join published.scales s on p.currency = s.currency
