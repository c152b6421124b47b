-- grain: one row per word of a payment that may be an id; a short word and the number after it are one too
-- description: What a payment says about where it belongs. A word that is an id of this book means that id and nothing like it: INV-1005 is no
--   misspelt INV-1004.
-- columns:
--   payment_id: payment
--   source: reference, commitment_id, invoice_id or customer_id: where it stands
--   written: the word as it stands there
--   folded: the word without punctuation, letters that look like digits made digits
--   is_known: whether it, or the number of a pair, is an id of this book
-- keep: no
with texts as (
    select
        payment_id,
        string_split(translate(trim(reference), e'\t\n\r' || chr(160) || ',;:|()[]{}<>"''=&+!?*', repeat(' ', 24)), ' ') as words,
    from matching.suggestion_payments
    where reference is not null
),

-- twelve words are more than a bank prints in a line; longer texts are prose
split as (
    select payment_id, list_filter(words, lambda word: word <> '')[:12] as words,
    from texts
),

found as (
    select payment_id, 'reference' as source, unnest([[word] for word in words]) as pieces,
    from split
    union all
    -- INV 1004
    select payment_id, 'reference', unnest([[words[i], words[i + 1]] for i in range(1, len(words)) if regexp_full_match(words[i], '[[:alpha:]]{1,5}')]),
    from split
    union all
    select payment_id, 'commitment_id', [commitment_id],
    from matching.suggestion_payments
    where commitment_id is not null
    union all
    select payment_id, 'invoice_id', [invoice_id],
    from matching.suggestion_payments
    where invoice_id is not null
    union all
    select p.payment_id, 'customer_id', [p.customer_id],
    from matching.suggestion_payments as p
    anti join ledger.commitments as c on p.customer_id = c.customer_id
),

folded as (
    select distinct
        payment_id,
        source,
        pieces,
        array_to_string(pieces, ' ') as written,
        translate(upper(written), 'OQILSBZ-_/.# ', '0011582') as folded,
    from found
    where regexp_matches(written, '[0-9]') and len(folded) between 3 and 24
    qualify row_number() over (partition by payment_id order by source, len(written) desc, written) <= 10
),

ids as (
    select lower(commitment_id) as id, from ledger.commitments
    union
    select lower(invoice_id), from core.commitment_invoices
    union
    select lower(invoice_id), from core.invoices
),

pieces as (
    select payment_id, source, written, lower(trim(unnest(pieces), '.#/-_')) as id,
    from folded
    where source <> 'customer_id'
),

known as (
    select distinct payment_id, source, written,
    from pieces
    semi join ids using (id)
)

select f.payment_id, f.source, f.written, f.folded, k.payment_id is not null as is_known,
from folded as f
left join known as k on f.payment_id = k.payment_id and f.source = k.source and f.written = k.written
