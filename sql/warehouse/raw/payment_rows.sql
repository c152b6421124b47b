-- grain: one row per accepted row of the payments feed whose payment_id came more than once
-- description: Of rows that share their payment_id: the first is loaded, the same again is a duplicate, other content under the same id goes to
--     quarantine. Rows whose id came once are not here; they are loaded.
-- columns:
--   payment_id: the payment
--   file_sha256: file the row came from
--   file_sequence: place of that file in the order of acceptance
--   line_number: line of that file
--   outcome: loaded, duplicate or quarantined
--   first_file_sha256: file of the row that was loaded under this id
--   first_line_number: line of that row
with largest as (
    select file_sequence,
    from feed.files
    where feed = 'payments'
    order by rows_in desc, file_sequence
    limit 1
),

looked_at as (
    select file_sequence,
    from feed.files
    where feed = 'payments' and (has_repeated_ids or file_sequence not in (from largest))
),

-- A small file beside a large book looks its ids up there; grouping all ids would cost more than everything else here. By hash, a
-- number, which takes half the time of the text: ids that only share it are told apart below.
shared as (
    select hash(payment_id) as id_hash,
    from feed.payments
    where file_sequence in (from looked_at)
    group by id_hash
    having count(*) > 1
    union
    select hash(payment_id),
    from feed.payments
    where
        file_sequence in (from largest)
        and payment_id in (select p.payment_id from feed.payments as p where p.file_sequence not in (from largest))
),

rows_of_shared as (
    select
        *,
        row(
            customer_id, received_date, amount_minor, currency, kind, reverses_payment_id, invoice_id, commitment_id, reference, method
        ) as content,
    from feed.payments
    where hash(payment_id) in (from shared)
)

select
    payment_id,
    file_sha256,
    file_sequence,
    line_number,
    case
        when row_number() over arrival = 1 then 'loaded'
        when content is not distinct from first_value(content) over arrival then 'duplicate'
        else 'quarantined'
    end as outcome,
    first_value(file_sha256) over arrival as first_file_sha256,
    first_value(line_number) over arrival as first_line_number,
from rows_of_shared
window arrival as (partition by payment_id order by file_sequence, line_number)
