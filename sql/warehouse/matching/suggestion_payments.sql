-- grain: one row per payment with money that looks for a place, at most 500
-- description: What suggestions are made for: payments with money left over, and payments that name a commitment or invoice nobody knows although
--   another rule found them a place. Credit that a commitment holds until its next due date waits on purpose and is not here, nor what is left
--   of a payment from which a person set a part aside. The newest are taken: more than people look through in a week, and a book with a hundred
--   thousand of them costs no more than this.
-- columns:
--   payment_id: payment
--   customer_id: who paid
--   currency: ISO 4217 code
--   received_date: date of the money
--   amount_minor: money that looks for a place (minor units)
--   is_placed: whether all of it went somewhere already
--   reference: reference text of the row
--   commitment_id: commitment named on the row
--   invoice_id: invoice named on the row
--   left_out: how many payments were not looked at because there are too many
-- keep: no
with known_invoices as (
    select invoice_id, from core.commitment_invoices
    union
    select invoice_id, from core.invoices
),

-- A row that names a known commitment or a covered invoice was routed by it.
strangers as (
    select payment_id, customer_id, currency, received_date, allocated_minor, reference, commitment_id, invoice_id,
    from matching.payments
    where kind = 'payment'
        and match_status = 'matched'
        and matched_by not in ('override', 'commitment_id', 'invoice_id')
        and (
            (commitment_id is not null and commitment_id not in (select commitment_id from ledger.commitments))
            or (invoice_id is not null and invoice_id not in (select invoice_id from known_invoices))
        )
),

homeless as (
    select
        p.payment_id,
        p.customer_id,
        p.currency,
        p.received_date,
        p.unapplied_minor,
        p.reference,
        p.commitment_id,
        p.invoice_id,
        p.matched_by,
        p.target_commitment_id,
    from matching.payments as p
    anti join (select payment_id from matching.decisions where commitment_id is null and not is_stale) as d on p.payment_id = d.payment_id
    where p.kind = 'payment' and p.match_status in ('unmatched', 'partially_matched') and p.unapplied_minor > 0
),

holding as (
    select v.commitment_id, v.version, v.customer_id, v.currency,
    from core.versions as v
    semi join homeless as h on v.customer_id = h.customer_id and v.currency = h.currency and h.matched_by is not null
    where v.overpayment_rule = 'hold' and v.effective_to is null
),

due_there as (
    select i.commitment_id, sum(i.amount_minor) as amount_minor,
    from core.installments as i
    semi join holding as v on i.commitment_id = v.commitment_id and i.version = v.version
    group by i.commitment_id
),

paid_there as (
    select a.commitment_id, sum(a.amount_minor) as amount_minor,
    from matching.allocations as a
    semi join holding as v on a.commitment_id = v.commitment_id and a.version = v.version
    group by a.commitment_id
),

waiting_for_due as (
    select v.commitment_id, v.customer_id, v.currency,
    from holding as v
    inner join due_there as d on v.commitment_id = d.commitment_id
    left join paid_there as p on v.commitment_id = p.commitment_id
    where d.amount_minor > coalesce(p.amount_minor, 0)
),

held as (
    select h.payment_id,
    from homeless as h
    inner join waiting_for_due as w
        on h.customer_id = w.customer_id
        and h.currency = w.currency
        and coalesce(h.target_commitment_id, w.commitment_id) = w.commitment_id
    where h.matched_by is not null
),

wanted as (
    select payment_id, customer_id, currency, received_date, unapplied_minor as amount_minor, false as is_placed, reference, commitment_id, invoice_id,
    from homeless
    anti join held using (payment_id)
    union all
    select payment_id, customer_id, currency, received_date, allocated_minor, true, reference, commitment_id, invoice_id,
    from strangers
)

select
    payment_id,
    customer_id,
    currency,
    received_date,
    amount_minor::bigint as amount_minor,
    is_placed,
    reference,
    commitment_id,
    invoice_id,
    greatest((select count(*) from wanted) - 500, 0)::bigint as left_out,
from wanted
order by is_placed, received_date desc, payment_id desc
limit 500
