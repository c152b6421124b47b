-- grain: one row per receipt, not routed yet, that equals exactly one installment due near its date
-- description: Route by exact amount. An installment is a candidate from its window's first day (or its version's) to the last: counted for each
--   day on which payments of its amount came. Whether it was paid already plays no part here: what finds nothing to pay there goes on to the
--   customer's other commitments (matching.spills).
-- columns:
--   receipt_key: receipt
--   installment_key: the installment it equals
-- keep: no
with unrouted as (
    select receipt_key, account_key, amount_minor, received_date,
    from matching.undirected
    anti join matching.mentions using (receipt_key)
),

-- Stretches as long as a window: a day is in windows that begin in its stretch, or in the one before it.
days as (
    select distinct
        u.account_key,
        u.amount_minor,
        u.received_date,
        (u.received_date - date '1900-01-01') // (2 * p.exact_amount_window_days + 1) as stretch,
    from unrouted as u
    cross join ledger.params as p
),

windows as (
    select
        v.account_key,
        d.amount_minor,
        d.installment_key,
        greatest(v.effective_from, d.due_date - p.exact_amount_window_days) as first_day,
        least(v.effective_to, d.due_date + p.exact_amount_window_days + 1) as end_day,
        (d.due_date - p.exact_amount_window_days - date '1900-01-01') // (2 * p.exact_amount_window_days + 1) as stretch,
    from matching.dues as d
    inner join matching.version_keys as v on d.version_key = v.version_key
    cross join ledger.params as p
),

-- A window has few days, however many payments come on each.
found as (
    select d.account_key, d.amount_minor, d.received_date, any_value(w.installment_key) as installment_key,
    from (
        select account_key, amount_minor, received_date, unnest([stretch - 1, stretch]) as stretch,
        from days
    ) as d
    inner join windows as w
        on d.account_key = w.account_key
        and d.amount_minor = w.amount_minor
        and d.stretch = w.stretch
        and d.received_date >= w.first_day
        and d.received_date < w.end_day
    group by d.account_key, d.amount_minor, d.received_date
    having count(*) = 1
)

select u.receipt_key, f.installment_key,
from unrouted as u
inner join found as f
    on u.account_key = f.account_key and u.amount_minor = f.amount_minor and u.received_date = f.received_date
