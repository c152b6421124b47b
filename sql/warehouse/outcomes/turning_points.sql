-- grain: one row per commitment version and business date on which its life cycle or escalation changed
-- description: Life cycle and escalation of every approved version, counted up from the movements of its installments.
-- keep: no
-- columns:
--   version_key: the version
--   moved_on: business date of the change
--   from_life: active, completed, defaulted, cancelled, closed or superseded
--   to_life: the same after the change
--   from_stage: none, stage_1 or exec
--   to_stage: the same after the change
--   satisfied_count: installments kept or recovered after the change
--   broken_count: installments broken or recovered after the change, what default is counted by
--   broken_now_count: installments broken and not recovered after the change
--   installment_count: installments of the version, with those chargebacks have added by then
with installments as (
    select version_key, count(*) as installment_count from outcomes.lines where not is_added group by version_key
),

-- an installment a chargeback adds is there from one span of knowledge to another
added as (
    select
        version_key,
        sequence,
        known_from,
        is_there::integer - lag(is_there::integer, 1, 0) over (partition by version_key, sequence order by known_from) as count_step,
    from outcomes.judgements
    where is_added
),

-- Four counts in one number, 30 bits each, so that one running sum does for all: broken now, broken ever, satisfied, added by chargebacks.
steps as (
    select
        version_key,
        moved_on,
        (to_phase = 'broken')::hugeint - (from_phase = 'broken')::hugeint
        + ((to_phase in ('broken', 'recovered'))::hugeint - (from_phase in ('broken', 'recovered'))::hugeint) * (1::hugeint << 30)
        + ((to_phase in ('kept', 'recovered'))::hugeint - (from_phase in ('kept', 'recovered'))::hugeint) * (1::hugeint << 60) as step,
    from outcomes.movements
    union all
    select version_key, effective_to as moved_on, 0::hugeint as step from outcomes.versions where effective_to is not null
    union all
    select version_key, known_from as moved_on, count_step * (1::hugeint << 90) as step from added where count_step <> 0
),

totals as (
    select version_key, moved_on, sum(step) over (partition by version_key order by moved_on) as total
    from steps
    -- all changes of a day count together
    qualify moved_on is distinct from lead(moved_on) over (partition by version_key order by moved_on)
),

counted as (
    select
        version_key,
        moved_on,
        ((total >> 60) & ((1::hugeint << 30) - 1))::bigint as satisfied_count,
        ((total >> 30) & ((1::hugeint << 30) - 1))::bigint as broken_count,
        (total & ((1::hugeint << 30) - 1))::bigint as broken_now_count,
        (total >> 90)::bigint as added_count,
    from totals
),

lived as (
    select
        c.version_key,
        c.moved_on,
        c.satisfied_count,
        c.broken_count,
        c.broken_now_count,
        i.installment_count + c.added_count as installment_count,
        coalesce(c.moved_on >= v.effective_to, false) as is_ended,
        case
            when is_ended and v.end_kind = 'superseded' then 'superseded'
            when c.satisfied_count = i.installment_count + c.added_count then 'completed'
            when is_ended then if(v.is_closed, 'closed', v.end_kind)
            when c.broken_count >= p.default_after_broken then 'defaulted'
            else 'active'
        end as to_life,
        case
            when to_life = 'defaulted' then 'exec'
            when to_life = 'active' and c.broken_now_count > 0 then 'stage_1'
            else 'none'
        end as to_stage,
    from counted c
    join outcomes.versions v using (version_key)
    join installments i using (version_key)
    cross join ledger.params p
),

traced as (
    select
        *,
        lag(to_life, 1, 'active') over earlier as from_life,
        lag(to_stage, 1, 'none') over earlier as from_stage,
    from lived
    window earlier as (partition by version_key order by moved_on)
)

select
    version_key,
    moved_on,
    from_life,
    to_life,
    from_stage,
    to_stage,
    satisfied_count,
    broken_count,
    broken_now_count,
    installment_count,
from traced
where from_life <> to_life or from_stage <> to_stage
