-- grain: one row per installment of a version that forgives something
-- description: What the money of a version must add up to before nothing but tolerated cents is missing up to an installment.
-- keep: no
-- columns:
--   version_key: the version
--   sequence: the installment
--   place: its place in the order of due dates
--   due_before_minor: amounts of all earlier ones together (minor units)
--   threshold_minor: what must have come (minor units)
--   threshold_before_minor: the same up to the one before; NULL for the first
--   least_minor: what must have come before either it or the one before can be satisfied, chargebacks left out (minor units)
with tolerated as (
    select
        l.version_key,
        l.sequence,
        l.place,
        l.amount_minor,
        l.amount_minor - greatest(v.tolerance_minor, l.amount_minor::hugeint * v.tolerance_per_million // 1000000)::bigint as needed_minor,
        l.terms_minor - greatest(v.tolerance_minor, l.terms_minor::hugeint * v.tolerance_per_million // 1000000)::bigint as least_needed_minor,
    from outcomes.lines l
    join outcomes.versions v using (version_key)
    where v.is_tolerant and (not l.is_added or l.amount_minor > 0)
)

select
    version_key,
    sequence,
    place,
    (sum(amount_minor) over earlier - amount_minor)::bigint as due_before_minor,
    (sum(needed_minor) over earlier)::bigint as threshold_minor,
    case when row_number() over earlier > 1 then (threshold_minor - needed_minor)::bigint end as threshold_before_minor,
    least(sum(least_needed_minor) over earlier, sum(least_needed_minor) over earlier - least_needed_minor)::bigint as least_minor,
from tolerated
window earlier as (partition by version_key order by place rows between unbounded preceding and current row)
