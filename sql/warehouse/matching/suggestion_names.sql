-- grain: one row per id of a commitment that was in force near the day of a payment with words that may be ids
-- description: Ids a payer may have meant: of the commitment, of the invoices it covers, of its customer. Without such words there are none.
-- columns:
--   kind: commitment, invoice or customer
--   name: the id
--   folded: the id without punctuation, letters that look like digits made digits
--   commitment_id: the commitment; NULL for a customer
--   version: the version; NULL for a customer
--   currency: ISO 4217 code
-- keep: no
with days as (
    select min(received_date) - 7 as first_day, max(received_date) + 7 as last_day,
    from matching.suggestion_payments
    semi join matching.suggestion_words using (payment_id)
    having count(*) > 0
),

live as (
    select v.commitment_id, v.version, v.customer_id, v.currency,
    from core.versions as v
    inner join days as d
        on v.effective_from <= d.last_day
        and (v.effective_to is null or (v.effective_to > d.first_day and v.effective_to > v.effective_from))
),

named as (
    select 'commitment' as kind, commitment_id as name, commitment_id, version, currency,
    from live
    union all
    select 'invoice', i.invoice_id, l.commitment_id, l.version, l.currency,
    from core.commitment_invoices as i
    inner join live as l on i.commitment_id = l.commitment_id and i.version = l.version
    union all
    select distinct 'customer', customer_id, null, null::integer, currency,
    from live
)

select kind, name, translate(upper(name), 'OQILSBZ-_/.# ', '0011582') as folded, commitment_id, version, currency,
from named
