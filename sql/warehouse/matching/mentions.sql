-- grain: one row per undirected receipt that mentions an invoice or a commitment of its customer
-- description: Routes by invoice_id and by reference. A reference is cut into words; a word must equal an id, upper or lower case: part of
--   a word never counts, or INV-10 would take the money of INV-100.
-- columns:
--   receipt_key: receipt
--   matched_by: invoice_id or reference
--   version_key: version in force that is named or covers the invoice; of several, the one agreed first
--   mentioned: what was named, in words
-- keep: no
with mentioning as (
    select u.receipt_key, u.account_key, u.received_date, p.invoice_id, p.reference,
    from matching.undirected as u
    inner join raw.payments as p on u.payment_id = p.payment_id
    where u.has_mention
),

covered as (
    select v.account_key, v.version_key, v.effective_from, v.effective_to, ci.invoice_id,
    from core.commitment_invoices as ci
    inner join matching.version_keys as v on ci.commitment_id = v.commitment_id and ci.version = v.version
),

by_invoice as (
    select u.receipt_key, min(c.version_key) as version_key, any_value(u.invoice_id) as invoice_id,
    from mentioning as u
    inner join covered as c
        on u.account_key = c.account_key
        and u.invoice_id = c.invoice_id
        and u.received_date >= c.effective_from
        and (c.effective_to is null or u.received_date < c.effective_to)
    group by u.receipt_key
),

names as (
    select account_key, version_key, effective_from, effective_to, 'commitment ' as what, commitment_id as name,
    from matching.version_keys
    union all
    select account_key, version_key, effective_from, effective_to, 'invoice ', invoice_id,
    from covered
),

words as (
    select
        receipt_key,
        account_key,
        received_date,
        unnest(
            list_prepend(
                lower(trim(reference)),
                string_split(translate(lower(reference), e'\t\n\r' || chr(160) || ',;:|()[]{}<>"''=&+!?*', repeat(' ', 24)), ' ')
            )
        ) as word,
    from mentioning
    anti join by_invoice using (receipt_key)
    where reference is not null
),

tokens as (
    select receipt_key, account_key, received_date, word as token,
    from words
    union all
    select receipt_key, account_key, received_date, trim(word, '.#/-_'),
    from words
    where word <> trim(word, '.#/-_')
),

by_reference as (
    select
        t.receipt_key,
        min((n.what <> 'commitment ', n.version_key, n.name)) as best,
    from tokens as t
    inner join names as n
        on t.account_key = n.account_key
        and t.token = lower(n.name)
        and t.token <> ''
        and t.received_date >= n.effective_from
        and (n.effective_to is null or t.received_date < n.effective_to)
    group by t.receipt_key
)

select receipt_key, 'invoice_id' as matched_by, version_key, 'invoice ' || invoice_id as mentioned,
from by_invoice
union all
select receipt_key, 'reference', best[2], case when best[1] then 'invoice ' else 'commitment ' end || best[3],
from by_reference
