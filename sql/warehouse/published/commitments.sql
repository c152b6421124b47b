-- grain: one row per version of a commitment agreed on or before as_of, approved or not; `is_current` picks one per commitment
-- description: Every commitment with its terms, who approved them, where it stands and how well it is kept.
-- scope: customer_id
-- columns:
--   commitment_id: the commitment
--   version: the version; new terms make a new version
--   is_current: whether this version speaks for the commitment: the one in force, else the last that was, else the newest
--   kind: promise, repeating_promise or plan
--   customer_id: the customer who committed
--   customer_name: name of the customer
--   owner: user name of the collector responsible
--   currency: ISO 4217 code of all amounts of the row
--   amount: promised amount; of a repeating promise the amount of one period
--   total_amount: debt it settles, before the discount
--   discount_amount: part of the total that is waived
--   payable_amount: total_amount less discount_amount, what the installments add up to
--   paid_amount: allocated to its installments
--   outstanding_amount: not yet paid on its installments; 0 unless the version is in force
--   overdue_amount: part of outstanding_amount that is on broken installments
--   status: draft (sent back), pending_approval, rejected, active, completed, cancelled, closed, superseded or defaulted
--   adherence: kept_count divided by judged_count, from 0 to 1, rounded half up; NULL before the first verdict
--   installment_count: installments of its schedule; 0 while not approved
--   judged_count: installments with a verdict
--   kept_count: of them, kept
--   broken_count: of them, not kept, whether recovered since or not; default is counted by it
--   broken_now_count: of them, still not satisfied
--   next_due_date: due date of the earliest installment neither satisfied nor broken; of a repeating promise of the earliest not
--     satisfied, since a missed period does not roll; NULL unless in force
--   next_due_amount: outstanding on that installment
--   broken_since: first broken_on of the installments that are broken now
--   completed_on: date on which everything was satisfied; NULL unless completed
--   defaulted_on: date on which it went into default; NULL unless defaulted
--   closed_on: first date on which it no longer counted because it was closed or cancelled, or its completed_on; NULL while it is open
--   closure_reason: reason given for closing or cancelling it
--   risk_score: 0 to 100; NULL until the risk score is there
--   tier: A to D; NULL until the risk score is there
--   escalation_stage: none, stage_1 (something is broken now) or exec (defaulted)
--   agreed_on: business date on which the customer agreed to this version
--   effective_to: first date on which the version is no longer in force; NULL while it is, or never was
--   frequency: once, weekly, biweekly, semimonthly, monthly, quarterly or custom
--   first_due_date: due date agreed for the first installment after the down payment, before the business-day rule
--   overpayment_rule: where surplus money goes: next, last, spread or hold
--   invoice_ids: invoices it covers, in order, separated by semicolons
--   is_paused: whether chasing is suspended; verdicts are not
--   channel: how the customer committed
--   contact_name: who committed
--   contact_email: their address
--   confidence: 0 to 100, the collector's own estimate
--   logged_by: user who logged the version
--   logged_at: when it was logged (UTC)
--   approved_by: user who approved it, `policy` for an automatic approval; NULL while not approved
--   approved_role: role in which it was approved
--   approved_at: when it was approved (UTC)
--   decision_reason: reason given for the last decision, whatever it was
select
    o.commitment_id,
    o.version::integer as version,
    o.is_current,
    o.kind,
    o.customer_id,
    cu.customer_name,
    o.owner,
    o.currency,
    (o.amount_minor * s.unit)::decimal(18, 3) as amount,
    (o.total_minor * s.unit)::decimal(18, 3) as total_amount,
    (o.discount_minor * s.unit)::decimal(18, 3) as discount_amount,
    (o.payable_minor * s.unit)::decimal(18, 3) as payable_amount,
    (o.paid_minor * s.unit)::decimal(18, 3) as paid_amount,
    (o.outstanding_minor * s.unit)::decimal(18, 3) as outstanding_amount,
    (o.overdue_minor * s.unit)::decimal(18, 3) as overdue_amount,
    o.status,
    o.adherence,
    o.installment_count,
    o.judged_count,
    o.kept_count,
    o.broken_count,
    o.broken_now_count,
    o.next_due_date,
    (o.next_due_minor * s.unit)::decimal(18, 3) as next_due_amount,
    o.broken_since,
    o.completed_on,
    o.defaulted_on,
    case when o.status in ('closed', 'cancelled') then o.effective_to else o.completed_on end as closed_on,
    o.closure_reason,
    null::integer as risk_score,
    null::varchar as tier,
    o.escalation_stage,
    o.agreed_on,
    o.effective_to,
    v.frequency,
    v.first_due_date,
    coalesce(f.overpayment_rule, v.overpayment_rule) as overpayment_rule,
    array_to_string(list_sort(v.invoice_ids), ';') as invoice_ids,
    o.is_paused,
    c.channel,
    c.contact_name,
    c.contact_email,
    c.confidence::integer as confidence,
    v.logged_by,
    make_timestamp(epoch_us(v.logged_at)) as logged_at,
    case when v.decision = 'approve' then v.decided_by end as approved_by,
    case when v.decision = 'approve' then v.decided_role end as approved_role,
    case when v.decision = 'approve' then make_timestamp(epoch_us(v.decided_at)) end as approved_at,
    v.decision_reason,
from outcomes.commitments o
join ledger.versions v using (commitment_id, version)
join ledger.commitments c using (commitment_id)
join published.scales s on o.currency = s.currency
left join core.versions f using (commitment_id, version)
left join core.customers cu on o.customer_id = cu.customer_id
order by commitment_id, version
