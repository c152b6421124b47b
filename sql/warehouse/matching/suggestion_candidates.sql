-- grain: one row per payment and commitment version it may belong to
-- description: Versions in force on the day of the payment, or within a week of it, in its currency, that have something to do with it: an open
--   installment of just its amount, the same customer or one that is named alike, an id or a name in its reference. Each way yields the nearest
--   few, so that the work grows with the payments to be placed and not with their product with the book.
-- columns:
--   payment_id: payment
--   commitment_id: commitment
--   version: version
--   customer_id: who committed
--   is_in_force: whether it was in force on the day of the payment itself
--   effective_from: first day in force
--   effective_to: first day no longer in force (NULL = open)
-- keep: no
with days as (
    select min(received_date) - 90 as first_day, max(received_date) + 90 as last_day,
    from matching.suggestion_payments
),

wanted as (
    select p.payment_id, p.currency, p.received_date, p.amount_minor, p.is_placed, c.customer_id,
    from matching.suggestion_payments as p
    inner join matching.suggestion_customers as c on p.payment_id = c.payment_id
),

live as (
    select v.commitment_id, v.version, v.customer_id, v.currency,
    from core.versions as v
    inner join days as d
        on v.effective_from <= d.last_day
        and (v.effective_to is null or (v.effective_to >= d.first_day and v.effective_to > v.effective_from))
),

lines as (
    select l.customer_id, l.currency, i.commitment_id, i.version, i.sequence, i.due_date, i.amount_minor,
    from core.installments as i
    inner join live as l on i.commitment_id = l.commitment_id and i.version = l.version
    where (l.customer_id, l.currency) in (select (customer_id, currency) from wanted)
        or (
            (l.currency, i.amount_minor) in (select (currency, amount_minor) from matching.suggestion_payments where not is_placed)
            and i.due_date >= (select first_day from days)
            and i.due_date <= (select last_day from days)
        )
),

paid as (
    select a.commitment_id, a.version, a.sequence, sum(a.amount_minor)::bigint as amount_minor,
    from matching.allocations as a
    semi join lines as l on a.commitment_id = l.commitment_id and a.version = l.version and a.sequence = l.sequence
    group by all
),

open_lines as (
    select l.customer_id, l.currency, l.commitment_id, l.version, l.sequence, l.due_date, l.amount_minor - coalesce(p.amount_minor, 0) as open_minor,
    from lines as l
    left join paid as p on l.commitment_id = p.commitment_id and l.version = p.version and l.sequence = p.sequence
    where l.amount_minor > coalesce(p.amount_minor, 0)
),

-- Open lines in a row, by amount and by customer. A payment looks at the places around its own date: with everybody's installment at 100.00 a
-- join on the amount would be payments times installments.
in_a_row as (
    select
        'amount ' || open_minor as what,
        currency,
        due_date,
        commitment_id,
        version,
        row_number() over (partition by currency, open_minor order by due_date, commitment_id, version, sequence) as place,
    from open_lines
    union all
    select
        'customer ' || customer_id,
        currency,
        due_date,
        commitment_id,
        version,
        row_number() over (partition by currency, customer_id order by due_date, commitment_id, version, sequence),
    from open_lines
),

by_day as (
    select what, currency, due_date, min(place) as place,
    from in_a_row
    group by all
),

looks as (
    select distinct payment_id, 'amount ' || amount_minor as what, currency, received_date,
    from wanted
    where not is_placed
    union all
    select payment_id, 'customer ' || customer_id, currency, received_date,
    from wanted
),

own_places as (
    select l.payment_id, l.what, l.currency, coalesce(d.place, 1) as place,
    from looks as l
    asof left join by_day as d on l.what = d.what and l.currency = d.currency and l.received_date >= d.due_date
),

near as (
    select payment_id, what, currency, unnest(range(place - 3, place + 5)) as place,
    from own_places
),

found as (
    select n.payment_id, r.commitment_id, r.version,
    from near as n
    inner join in_a_row as r on n.what = r.what and n.currency = r.currency and n.place = r.place
    union
    select payment_id, commitment_id, version,
    from matching.suggestion_mentions
    where kind <> 'customer'
),

-- where its money went already is no suggestion
held as (
    select distinct a.payment_id, a.commitment_id,
    from matching.allocations as a
    semi join matching.suggestion_payments as p on a.payment_id = p.payment_id
)

select
    f.payment_id,
    f.commitment_id,
    f.version,
    v.customer_id,
    p.received_date >= v.effective_from and (v.effective_to is null or p.received_date < v.effective_to) as is_in_force,
    v.effective_from,
    v.effective_to,
from found as f
inner join matching.suggestion_payments as p on f.payment_id = p.payment_id
inner join core.versions as v
    on f.commitment_id = v.commitment_id
    and f.version = v.version
    and p.currency = v.currency
    and p.received_date >= v.effective_from - 7
    and (v.effective_to is null or (v.effective_to > v.effective_from and p.received_date < v.effective_to + 7))
anti join held as h on f.payment_id = h.payment_id and f.commitment_id = h.commitment_id
-- of several versions near the day, the one in force on it
qualify row_number() over (partition by f.payment_id, f.commitment_id order by is_in_force desc, v.effective_from desc, f.version desc) = 1
