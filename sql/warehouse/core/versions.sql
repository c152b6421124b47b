-- grain: one row per approved version of a commitment agreed on or before as_of
-- description: The terms that count, and from when to when. A version is in force from agreed_on until the next approved
--   version is agreed or the commitment is cancelled. Only business dates decide: when something was recorded or approved
--   does not matter, and what is agreed or cancelled after as_of is not known yet.
-- columns:
--   commitment_id: the commitment
--   version: number of the version within its commitment, from 1
--   kind: promise, repeating_promise or plan
--   customer_id: the customer who committed
--   currency: ISO 4217 code of all amounts of the version
--   owner: user name of the collector responsible
--   agreed_on: business date on which the customer agreed to these terms
--   amount_minor: promised amount; of a repeating promise the amount of one period (minor units)
--   total_minor: debt the version settles, before the discount (minor units)
--   discount_minor: part of the total that is waived (minor units)
--   down_payment_minor: part of the total due on agreed_on (minor units)
--   frequency: once, weekly, biweekly, semimonthly, monthly, quarterly or custom
--   installment_count: installments agreed, without the down payment; NULL when it follows from the amounts
--   first_due_date: nominal due date of the first installment after the down payment
--   grace_days: calendar days of grace agreed for this version; NULL for the org's policy
--   overpayment_rule: where surplus money goes: next, last, spread or hold
--   invoice_ids: invoices the version covers
--   custom_schedule: the listed installments of a custom schedule
--   terms_digest: digest of the terms, the one that was approved
--   schedule: what a person approved besides the terms, as JSON: [nominal due date, due date, amount_minor, grace_days] of every
--     installment; NULL when policy approved
--   approval_fits: whether terms and schedule still are what the approval says was approved
--   logged_by: user who logged the version
--   logged_at: when it was logged (UTC)
--   decided_by: user who approved it, or `policy`
--   decided_role: role in which it was approved
--   decided_at: when it was approved (UTC)
--   decision_reason: why it was approved
--   is_paused: whether chasing is suspended; the verdict is not
--   effective_from: first date on which the version is in force
--   effective_to: first date on which it no longer is; NULL while it is in force. Equal to effective_from when it never was
--   end_kind: superseded or cancelled; NULL while it is in force
--   cancelled_on: date from which the commitment is cancelled or closed, if known by as_of
--   cancel_reason: why it was cancelled or closed
--   is_closed: whether it was closed (written off, settled otherwise) rather than called off
with params as (
    select as_of from ledger.params
),

known as (
    select
        v.* exclude (cancelled_on, cancel_reason, ended_by),
        case when v.cancelled_on <= p.as_of then v.cancelled_on end as cancelled_on,
        case when v.cancelled_on <= p.as_of then v.cancel_reason end as cancel_reason,
        coalesce(v.cancelled_on <= p.as_of and v.ended_by = 'close', false) as is_closed,
        -- the least over all later versions, not just the next: one agreed with an earlier date ends those before it too
        min(v.agreed_on) over (
            partition by v.commitment_id order by v.version
            rows between 1 following and unbounded following
        ) as superseded_on,
    from ledger.versions v
    cross join params p
    where v.decision = 'approve' and v.agreed_on <= p.as_of
)

select
    v.commitment_id,
    v.version,
    c.kind,
    c.customer_id,
    c.currency,
    c.owner,
    v.agreed_on,
    v.amount_minor,
    v.total_minor,
    v.discount_minor,
    v.down_payment_minor,
    v.frequency,
    v.installment_count,
    v.first_due_date,
    v.grace_days,
    v.overpayment_rule,
    v.invoice_ids,
    v.custom_schedule,
    v.terms_digest,
    v.schedule,
    v.approval_fits,
    v.logged_by,
    v.logged_at,
    v.decided_by,
    v.decided_role,
    v.decided_at,
    v.decision_reason,
    v.is_paused,
    v.agreed_on as effective_from,
    -- least() and greatest() pass over NULL
    case
        when v.cancelled_on is not null or v.superseded_on is not null
            then greatest(v.agreed_on, least(v.superseded_on, v.cancelled_on))
    end as effective_to,
    case
        when v.cancelled_on is null and v.superseded_on is null then null
        when v.cancelled_on < coalesce(v.superseded_on, date 'infinity') then 'cancelled'
        else 'superseded'
    end as end_kind,
    v.cancelled_on,
    v.cancel_reason,
    v.is_closed,
from known v
join ledger.commitments c using (commitment_id)
