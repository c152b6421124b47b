-- grain: one row per commitment version that is in force on at least one day
-- description: Versions with integer keys, so that the big joins and sorts run on numbers. Keys rise with (agreed_on, commitment_id,
--   version): the lowest key of several is the one a route prefers.
-- columns:
--   version_key: number of the version in order of (agreed_on, commitment_id, version)
--   commitment_key: lowest version_key of the commitment
--   account_key: lowest version_key of the customer and currency
--   version_count: how many versions of the commitment were ever in force
--   commitment_id: commitment
--   version: version of the commitment
--   kind: promise, repeating_promise or plan
--   customer_id: who committed
--   currency: ISO 4217 code
--   effective_from: first day in force
--   effective_to: first day no longer in force (NULL = open)
--   overpayment_rule: next, last, spread or hold
-- keep: no
with numbered as (
    select
        row_number() over (order by effective_from, commitment_id, version) as version_key,
        commitment_id,
        version,
        kind,
        customer_id,
        currency,
        effective_from,
        effective_to,
        overpayment_rule,
    from core.versions
    where effective_to is null or effective_from < effective_to
)

select
    version_key,
    min(version_key) over (partition by commitment_id) as commitment_key,
    min(version_key) over (partition by customer_id, currency) as account_key,
    count(*) over (partition by commitment_id) as version_count,
    commitment_id,
    version,
    kind,
    customer_id,
    currency,
    effective_from,
    effective_to,
    overpayment_rule,
from numbered
