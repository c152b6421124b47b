-- grain: one row per reversal, chargeback or refund received by as_of
-- description: What each of them did.
-- columns:
--   payment_id: the row
--   effective_minor: part that took effect (minor units)
--   problem: why the rest did not, in words (NULL = all did)
-- keep: no
with charges as (
    select returned_by, (sum(amount_minor) filter (where problem is null))::bigint as effective_minor, min(problem) as problem,
    from matching.group_charges
    where replay_id in (select group_id from matching.groups)
    group by returned_by
),

refunds as (
    select returned_by, sum(amount_minor)::bigint as effective_minor,
    from matching.returns
    group by returned_by
)

select payment_id, effective_minor, problem,
from matching.reversals
union all
select
    r.payment_id,
    coalesce(c.effective_minor, 0),
    case
        when r.problem is not null then r.problem
        when c.problem is not null then c.problem
        when coalesce(c.effective_minor, 0) < r.amount_minor then 'It charges back more than was left of payment ' || r.reverses_payment_id || '.'
    end,
from matching.returned_rows as r
left join charges as c on r.payment_id = c.returned_by
where r.kind = 'chargeback'
union all
select
    r.payment_id,
    coalesce(f.effective_minor, 0),
    case
        when r.problem is not null then r.problem
        when coalesce(f.effective_minor, 0) < r.amount_minor
            then 'It refunds more than was unapplied on ' || strftime(r.received_date, '%-d %b %Y') || '.'
    end,
from matching.returned_rows as r
left join refunds as f on r.payment_id = f.returned_by
where r.kind = 'refund'
