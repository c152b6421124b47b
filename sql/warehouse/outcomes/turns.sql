-- grain: one row per installment and date on which its own past came to be seen differently
-- description: A reversal takes money back that was known; credit pays with money that came earlier; a chargeback changes the amount.
--   On any other day nothing happens but that plain money comes.
-- keep: no
-- columns:
--   version_key: the version
--   sequence: the installment
--   turned_on: first date of the new view
select version_key, sequence, known_to as turned_on from outcomes.receipts where known_to < date '9999-12-31'
union
select version_key, sequence, known_from as turned_on from outcomes.receipts where known_from > received_date
union
select version_key, sequence, known_from as turned_on from outcomes.charges
union
select version_key, sequence, known_to as turned_on from outcomes.charges where known_to < date '9999-12-31'
