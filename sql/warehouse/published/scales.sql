-- grain: one row per currency
-- description: What a minor unit is worth in major units, to turn the integers of the run into published money.
-- keep: no
-- columns:
--   currency: ISO 4217 code
--   unit: value of one minor unit
select
    currency,
    ([1, 0.1, 0.01, 0.001, 0.0001]::decimal(5, 4)[])[exponent + 1] as unit,
from ledger.currencies
