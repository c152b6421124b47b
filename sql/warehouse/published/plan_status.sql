-- grain: one row per plan or repeating promise, as its current version stands
-- description: The plan-status report: how far each plan is, what is next, what is wrong with it.
-- scope: customer_id
-- columns:
--   commitment_id: the plan
--   version: its current version
--   kind: plan or repeating_promise
--   customer_id: the customer
--   customer_name: name of the customer
--   owner: user name of the collector responsible
--   currency: ISO 4217 code of all amounts of the row
--   status: draft, pending_approval, rejected, active, completed, cancelled, closed, superseded or defaulted
--   total_amount: debt it settles, before the discount
--   discount_amount: part of the total that is waived
--   paid_amount: allocated to this version
--   outstanding_amount: not yet paid under this version
--   overdue_amount: part of it on broken installments
--   progress: paid_amount divided by what is payable, from 0 to 1, rounded half up
--   adherence: installments kept divided by installments judged, from 0 to 1, rounded half up
--   installment_count: installments of the schedule
--   kept_count: installments kept
--   broken_count: installments not kept, whether recovered since or not
--   broken_now_count: installments broken and not recovered
--   next_due_date: next date money is due
--   next_due_amount: outstanding on that installment
--   broken_since: first day of what is broken now
--   days_late: days since the oldest due date that is broken now
--   reason: why the oldest broken installment is broken; NULL when none is
--   escalation_stage: none, stage_1 or exec
--   agreed_on: date of the current terms
--   first_due_date: due date agreed for the first installment
--   last_due_date: due date of the last installment
--   invoice_ids: invoices it covers, in order, separated by semicolons
--   is_paused: whether chasing is suspended
--   approved_by: who approved the current terms
--   approved_at: when (UTC)
with lines as (
    select
        commitment_id,
        version,
        max(due_date) as last_due_date,
        max(days_late) filter (where status = 'broken') as days_late,
    from published.installments
    group by all
),

-- sentences are made when read: only those of what is broken are asked for
oldest_broken as (
    select commitment_id, version, reason
    from published.installments
    where status = 'broken'
    qualify row_number() over (partition by commitment_id, version order by due_date, sequence) = 1
)

select
    c.commitment_id,
    c.version,
    c.kind,
    c.customer_id,
    c.customer_name,
    c.owner,
    c.currency,
    c.status,
    c.total_amount,
    c.discount_amount,
    c.paid_amount,
    c.outstanding_amount,
    c.overdue_amount,
    case
        when o.payable_minor > 0
            then (((2 * o.paid_minor::hugeint * 10000 + o.payable_minor) // (2 * o.payable_minor)) * 0.0001)::decimal(9, 4)
    end as progress,
    c.adherence,
    c.installment_count,
    c.kept_count,
    c.broken_count,
    c.broken_now_count,
    c.next_due_date,
    c.next_due_amount,
    c.broken_since,
    l.days_late,
    b.reason,
    c.escalation_stage,
    c.agreed_on,
    c.first_due_date,
    l.last_due_date,
    c.invoice_ids,
    c.is_paused,
    c.approved_by,
    c.approved_at,
from published.commitments c
join outcomes.commitments o using (commitment_id, version)
left join lines l using (commitment_id, version)
left join oldest_broken b using (commitment_id, version)
where c.is_current and c.kind in ('plan', 'repeating_promise')
order by commitment_id
