-- grain: one row per version of core.versions
-- description: What judging needs of a version, under an integer key, so that the big joins and sorts run on numbers.
-- keep: no
-- columns:
--   version_key: number of the version in order of (commitment_id, version)
--   commitment_id: the commitment
--   version: the version
--   kind: promise, repeating_promise or plan
--   customer_id: the customer who committed
--   currency: ISO 4217 code
--   effective_from: first date on which the version is in force
--   effective_to: first date on which it no longer is; NULL while it is in force
--   end_kind: superseded or cancelled; NULL while it is in force
--   is_closed: whether it was closed rather than cancelled: then that is what its life cycle says
--   tolerance_minor: shortfall forgiven on every installment, whatever its amount (minor units)
--   tolerance_per_million: share of its amount forgiven on every installment, in millionths
--   is_tolerant: whether anything is forgiven at all
select
    row_number() over (order by v.commitment_id, v.version)::integer as version_key,
    v.commitment_id,
    v.version::integer as version,
    v.kind,
    v.customer_id,
    v.currency,
    v.effective_from,
    v.effective_to,
    v.end_kind,
    v.is_closed,
    coalesce((p.tolerance_amount * 1000)::bigint::hugeint * [1, 10, 100, 1000, 10000][c.exponent + 1] // 1000, 0)::bigint as tolerance_minor,
    coalesce((p.tolerance_percent * 10000)::bigint, 0) as tolerance_per_million,
    tolerance_minor > 0 or tolerance_per_million > 0 as is_tolerant,
from core.versions v
join ledger.currencies c using (currency)
left join ledger.kind_policy p using (kind)
