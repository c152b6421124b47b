-- check: loaded_rows_are_kept_once
-- stage: raw
-- message: What counts as loaded must be what the tables hold: each payment and contact once, each invoice in its newest form.
with counted as (
    select 'payments' as feed, count(*) as rows_kept, count(distinct payment_id) as ids,
    from raw.payments
    union all
    select 'contacts', count(*), count(distinct contact_id),
    from raw.contacts
),

loaded as (
    select feed, sum(rows_loaded) as rows_loaded,
    from raw.files
    group by feed
)

select counted.feed, rows_kept, ids, coalesce(rows_loaded, 0) as rows_loaded,
from counted
left join loaded on counted.feed = loaded.feed
where rows_kept <> ids or rows_kept <> coalesce(rows_loaded, 0)
union all
select 'invoices', count(*), count(distinct invoice_id), (select count(distinct invoice_id) from feed.invoices),
from raw.invoices
having count(*) <> count(distinct invoice_id) or count(*) <> (select count(distinct invoice_id) from feed.invoices)
