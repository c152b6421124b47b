-- grain: one row per commitment version and business date on which its life cycle or escalation changed
-- description: Life cycle and escalation of every approved version, counted up from the movements of its installments.
-- keep: no
-- columns:
--   commitment_id: the commitment
--   version: the version
--   moved_on: business date of the change
--   from_life: active, completed, defaulted, cancelled or superseded
--   to_life: the same after the change
--   from_stage: none, stage_1 or exec
--   to_stage: the same after the change
--   satisfied_count: installments kept or recovered after the change
--   broken_count: installments broken or recovered after the change, what default is counted by
--   broken_now_count: installments broken and not recovered after the change
--   installment_count: installments of the version
with installments as (
    select commitment_id, version, count(*) as installment_count from outcomes.terms group by all
),

steps as (
    select
        commitment_id,
        version,
        moved_on,
        (to_phase in ('kept', 'recovered'))::integer - (from_phase in ('kept', 'recovered'))::integer as satisfied_step,
        (to_phase in ('broken', 'recovered'))::integer - (from_phase in ('broken', 'recovered'))::integer as broken_step,
        (to_phase = 'broken')::integer - (from_phase = 'broken')::integer as broken_now_step,
    from outcomes.movements
    union all
    select commitment_id, version, effective_to, 0, 0, 0 from core.versions where effective_to is not null
),

days as (
    select
        commitment_id,
        version,
        moved_on,
        sum(satisfied_step) as satisfied_step,
        sum(broken_step) as broken_step,
        sum(broken_now_step) as broken_now_step,
    from steps
    group by all
),

counted as (
    select
        d.commitment_id,
        d.version,
        d.moved_on,
        v.effective_to,
        v.end_kind,
        i.installment_count,
        (sum(d.satisfied_step) over so_far)::bigint as satisfied_count,
        (sum(d.broken_step) over so_far)::bigint as broken_count,
        (sum(d.broken_now_step) over so_far)::bigint as broken_now_count,
    from days d
    join core.versions v using (commitment_id, version)
    join installments i using (commitment_id, version)
    window so_far as (partition by d.commitment_id, d.version order by d.moved_on)
),

lived as (
    select
        c.*,
        coalesce(c.moved_on >= c.effective_to, false) as is_ended,
        case
            when is_ended and c.end_kind = 'superseded' then 'superseded'
            when c.satisfied_count = c.installment_count then 'completed'
            when is_ended then c.end_kind
            when c.broken_count >= p.default_after_broken then 'defaulted'
            else 'active'
        end as to_life,
        case
            when to_life = 'defaulted' then 'exec'
            when to_life = 'active' and c.broken_now_count > 0 then 'stage_1'
            else 'none'
        end as to_stage,
    from counted c
    cross join ledger.params p
),

traced as (
    select
        *,
        lag(to_life, 1, 'active') over earlier as from_life,
        lag(to_stage, 1, 'none') over earlier as from_stage,
    from lived
    window earlier as (partition by commitment_id, version order by moved_on)
)

select
    commitment_id,
    version,
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
