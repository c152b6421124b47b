-- grain: one row per accepted file
-- description: What became of the rows of every file: in = loaded + quarantined + duplicate.
-- columns:
--   file_sha256: its content
--   file_sequence: place in the order of acceptance
--   feed: invoices, payments, commitments, installments or contacts
--   file_name: name of the file
--   received_at: when it was received (UTC)
--   rows_in: rows of the file
--   rows_loaded: of them, loaded
--   rows_quarantined: of them, in quarantine
--   rows_duplicate: of them, left out because they were known
--   duplicate_of: files whose rows those of payments and contacts repeat, by name, separated by semicolons; NULL if there are none
with outcomes as (
    select 'invoices' as feed, file_sha256, outcome,
    from raw.invoice_rows
    union all
    select 'contacts', file_sha256, outcome,
    from raw.contact_rows
    union all
    select feed, file_sha256, outcome,
    from feed.commitment_lines
),

counted as (
    select
        feed,
        file_sha256,
        count(*) filter (where outcome = 'loaded') as rows_loaded,
        count(*) filter (where outcome = 'duplicate') as rows_duplicate,
    from outcomes
    group by feed, file_sha256
    union all
    select 'payments', p.file_sha256, p.rows_kept - coalesce(r.rows_left_out, 0), coalesce(r.rows_duplicate, 0),
    from (select file_sha256, count(*) as rows_kept from feed.payments group by file_sha256) as p
    left join (
        select
            file_sha256,
            count(*) filter (where outcome <> 'loaded') as rows_left_out,
            count(*) filter (where outcome = 'duplicate') as rows_duplicate,
        from raw.payment_rows
        group by file_sha256
    ) as r on p.file_sha256 = r.file_sha256
),

repeated as (
    select r.feed, r.file_sha256, string_agg(distinct f.file_name, ';' order by f.file_name) as duplicate_of,
    from (
        select 'payments' as feed, file_sha256, first_file_sha256, outcome,
        from raw.payment_rows
        union all
        select 'contacts', file_sha256, first_file_sha256, outcome,
        from raw.contact_rows
    ) as r
    inner join feed.files as f on r.feed = f.feed and r.first_file_sha256 = f.file_sha256
    where r.outcome = 'duplicate'
    group by r.feed, r.file_sha256
),

quarantined as (
    select feed, file_sha256, count(distinct line_number) as rows_quarantined,
    from raw.quarantine
    group by feed, file_sha256
)

select
    f.file_sha256,
    f.file_sequence,
    f.feed,
    f.file_name,
    f.received_at,
    f.rows_in,
    coalesce(c.rows_loaded, 0) as rows_loaded,
    coalesce(q.rows_quarantined, 0) as rows_quarantined,
    coalesce(c.rows_duplicate, 0) as rows_duplicate,
    d.duplicate_of,
from feed.files as f
left join repeated as d on f.feed = d.feed and f.file_sha256 = d.file_sha256
left join counted as c on f.feed = c.feed and f.file_sha256 = c.file_sha256
left join quarantined as q on f.feed = q.feed and f.file_sha256 = q.file_sha256
