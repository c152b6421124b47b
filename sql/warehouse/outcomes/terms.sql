-- grain: one row per installment of a version of core.versions
-- description: What satisfying an installment takes: its place in the order of due dates, its tolerance, and the running total the
--   version's receipts must reach.
-- keep: no
-- columns:
--   commitment_id: the commitment
--   version: the version
--   sequence: place in the schedule
--   kind: promise, repeating_promise or plan
--   currency: ISO 4217 code
--   scale: minor units in one major unit
--   nominal_due_date: due date before the business-day rule
--   due_date: date on which it is due
--   grace_days: calendar days of grace
--   amount_minor: amount due (minor units)
--   tolerance_minor: shortfall this installment forgives, the larger of the policy's amount and percentage (minor units)
--   position: place in the order of due date and sequence, from 1
--   due_before_minor: amounts of all earlier positions together (minor units)
--   threshold_minor: running total of receipts at which nothing but tolerated cents is missing up to here (minor units)
--   effective_from: first date on which the version is in force
--   effective_to: first date on which it no longer is; NULL while it is in force
--   end_kind: superseded or cancelled; NULL while it is in force
--   base_deadline: last day to satisfy it, due date plus grace
with policy as (
    select
        kind,
        (tolerance_amount * 1000)::bigint as tolerance_thousandths,
        (tolerance_percent * 10000)::bigint as tolerance_per_million,
    from ledger.kind_policy
),

tolerated as (
    select
        i.commitment_id,
        i.version,
        i.sequence,
        v.kind,
        v.currency,
        [1, 10, 100, 1000, 10000][c.exponent + 1]::bigint as scale,
        i.nominal_due_date,
        i.due_date,
        i.grace_days,
        i.amount_minor,
        greatest(
            coalesce(p.tolerance_thousandths, 0)::hugeint * scale // 1000,
            i.amount_minor::hugeint * coalesce(p.tolerance_per_million, 0) // 1000000
        )::bigint as tolerance_minor,
        v.effective_from,
        v.effective_to,
        v.end_kind,
    from core.installments i
    join core.versions v using (commitment_id, version)
    join ledger.currencies c using (currency)
    left join policy p using (kind)
)

select
    commitment_id,
    version,
    sequence,
    kind,
    currency,
    scale,
    nominal_due_date,
    due_date,
    grace_days,
    amount_minor,
    tolerance_minor,
    row_number() over earlier as position,
    (sum(amount_minor) over earlier - amount_minor)::bigint as due_before_minor,
    (sum(amount_minor) over earlier - sum(tolerance_minor) over earlier)::bigint as threshold_minor,
    effective_from,
    effective_to,
    end_kind,
    due_date + grace_days as base_deadline,
from tolerated
window earlier as (partition by commitment_id, version order by due_date, sequence rows between unbounded preceding and current row)
