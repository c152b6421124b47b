-- grain: one row per version of a commitment agreed on or before as_of, approved or not
-- description: Life cycle, totals and adherence of every version. is_current picks the one that speaks for the commitment.
-- columns:
--   commitment_id: the commitment
--   version: the version
--   is_current: whether it is the version to look at: the one in force, else the last that was, else the newest
--   kind: promise, repeating_promise or plan
--   customer_id: the customer who committed
--   owner: user name of the collector responsible
--   currency: ISO 4217 code
--   status: draft (sent back), pending_approval, rejected, active, completed, cancelled, closed, superseded or defaulted
--   agreed_on: business date on which the customer agreed
--   effective_to: first date on which it is no longer in force; NULL while it is, or never was
--   amount_minor: promised amount, of a repeating promise the amount of one period (minor units)
--   total_minor: debt it settles (minor units)
--   discount_minor: part of the total waived (minor units)
--   payable_minor: total less discount; with charged_back_minor what the installments add up to (minor units)
--   charged_back_minor: what chargebacks added to the installments (minor units)
--   paid_minor: allocated to its installments (minor units)
--   outstanding_minor: not paid on its installments; 0 unless in force (minor units)
--   overdue_minor: outstanding on installments that are broken now (minor units)
--   installment_count: installments of the schedule
--   judged_count: installments with a verdict
--   kept_count: of them, kept
--   broken_count: of them, not kept, whether recovered since or not
--   broken_now_count: of them, not recovered
--   adherence: kept_count divided by judged_count, 0 to 1; NULL before the first verdict
--   next_due_date: due date of the earliest installment neither satisfied nor broken; NULL unless in force. Of a repeating
--     promise the earliest not satisfied: a missed period does not roll
--   next_due_minor: outstanding on that installment (minor units)
--   broken_since: first broken_on of the installments that are broken now
--   completed_on: date on which everything was satisfied, of completed ones
--   defaulted_on: date on which so much had broken that it counts as defaulted, of defaulted ones
--   closure_reason: why it was closed or cancelled
--   escalation_stage: none, stage_1 (something is broken now) or exec (defaulted)
--   is_paused: whether chasing is suspended
with approved as (
    select commitment_id, version, effective_to, end_kind, is_closed from core.versions
),

known as (
    select
        v.*,
        c.kind,
        c.customer_id,
        c.owner,
        c.currency,
        p.default_after_broken,
        v.cancelled_on <= p.as_of as is_cancelled,
        a.commitment_id is not null as is_approved,
        a.effective_to,
        a.end_kind,
        a.is_closed,
        max(v.version) over (partition by v.commitment_id) > v.version as has_later,
        row_number() over (
            partition by v.commitment_id
            order by is_approved and a.effective_to is null desc, is_approved desc, v.version desc
        ) = 1 as is_current,
    from ledger.versions v
    join ledger.commitments c using (commitment_id)
    cross join ledger.params p
    left join approved a using (commitment_id, version)
    where v.agreed_on <= p.as_of
),

scored as (
    select
        i.commitment_id,
        i.version,
        count(*) as installment_count,
        sum(i.charged_back_minor)::bigint as charged_back_minor,
        sum(i.paid_minor)::bigint as paid_minor,
        sum(i.outstanding_minor)::bigint as outstanding_minor,
        sum(i.outstanding_minor) filter (where i.status = 'broken')::bigint as overdue_minor,
        count(*) filter (where i.verdict <> 'open') as judged_count,
        count(*) filter (where i.verdict = 'kept') as kept_count,
        count(*) filter (where i.verdict in ('broken', 'partially_kept')) as broken_count,
        count(*) filter (where i.status = 'broken') as broken_now_count,
        count(*) filter (where i.status in ('kept', 'recovered')) as satisfied_count,
        min(i.broken_on) filter (where i.status = 'broken') as broken_since,
        arg_min(row(i.due_date, i.outstanding_minor), row(i.due_date, i.sequence)) filter (
            where
            i.status in ('scheduled', 'due_soon', 'due_today', 'in_grace')
            or (i.status = 'broken' and i.kind = 'repeating_promise')
        ) as next_due,
    from outcomes.installments i
    group by all
),

turned as (
    select
        v.commitment_id,
        v.version,
        max(t.moved_on) filter (where t.to_life = 'completed') as completed_on,
        max(t.moved_on) filter (where t.to_life = 'defaulted') as defaulted_on,
    from outcomes.turning_points t
    join outcomes.versions v using (version_key)
    where t.from_life <> t.to_life
    group by all
),

lived as (
    select
        k.*,
        t.completed_on as last_completed_on,
        t.defaulted_on as last_defaulted_on,
        s.* exclude (commitment_id, version, installment_count),
        coalesce(s.installment_count, 0) as installments,
        case
            when not k.is_approved and k.is_cancelled then 'cancelled'
            when k.decision = 'reject' then 'rejected'
            when not k.is_approved and k.has_later then 'superseded'
            when k.decision = 'send_back' then 'draft'
            when not k.is_approved then 'pending_approval'
            when k.end_kind = 'superseded' then 'superseded'
            when s.satisfied_count = s.installment_count then 'completed'
            when k.end_kind = 'cancelled' then if(k.is_closed, 'closed', 'cancelled')
            when s.broken_count >= k.default_after_broken then 'defaulted'
            else 'active'
        end as status,
    from known k
    left join scored s using (commitment_id, version)
    left join turned t using (commitment_id, version)
)

select
    commitment_id,
    version,
    is_current,
    kind,
    customer_id,
    owner,
    currency,
    status,
    agreed_on,
    effective_to,
    amount_minor,
    total_minor,
    coalesce(discount_minor, 0) as discount_minor,
    total_minor - coalesce(discount_minor, 0) as payable_minor,
    coalesce(charged_back_minor, 0) as charged_back_minor,
    coalesce(paid_minor, 0) as paid_minor,
    coalesce(outstanding_minor, 0) as outstanding_minor,
    coalesce(overdue_minor, 0) as overdue_minor,
    installments as installment_count,
    coalesce(judged_count, 0) as judged_count,
    coalesce(kept_count, 0) as kept_count,
    coalesce(broken_count, 0) as broken_count,
    coalesce(broken_now_count, 0) as broken_now_count,
    -- whole ten-thousandths, rounded half up: a division of decimals would give a DOUBLE
    case
        when judged_count > 0 then (((2 * kept_count * 10000 + judged_count) // (2 * judged_count)) * 0.0001)::decimal(9, 4)
    end as adherence,
    case when status in ('active', 'defaulted') then next_due[1] end as next_due_date,
    case when status in ('active', 'defaulted') then next_due[2] end as next_due_minor,
    broken_since,
    case when status = 'completed' then last_completed_on end as completed_on,
    case when status = 'defaulted' then last_defaulted_on end as defaulted_on,
    case when status in ('closed', 'cancelled') then cancel_reason end as closure_reason,
    case
        when status = 'defaulted' then 'exec'
        when status = 'active' and broken_now_count > 0 then 'stage_1'
        else 'none'
    end as escalation_stage,
    coalesce(is_paused, false) as is_paused,
from lived
