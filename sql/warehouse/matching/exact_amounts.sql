-- grain: one row per receipt, not routed yet, that equals exactly one installment due near its date
-- description: Route by exact amount. An installment near a payment of its amount is a candidate from its window's first day (or its version's) to
--   the last; running totals of candidates per amount tell where there is exactly one. Whether it was paid already plays no part here: what
--   finds nothing to pay there goes on to the customer's other commitments (matching.spills).
-- columns:
--   receipt_key: receipt
--   installment_key: the installment it equals
-- keep: no
with unrouted as (
    select receipt_key, account_key, amount_minor, received_date,
    from matching.undirected
    anti join matching.mentions using (receipt_key)
),

-- Stretches as long as a window: of those around a payment at most two touch any window.
looked_at as (
    select distinct
        u.account_key,
        u.amount_minor,
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
    where v.account_key in (select account_key from unrouted)
),

candidates as (
    select account_key, amount_minor, installment_key, first_day, end_day,
    from windows
    where
        first_day < end_day
        and (
            (account_key, amount_minor, stretch) in (from looked_at)
            or (account_key, amount_minor, stretch + 1) in (from looked_at)
        )
),

changes as (
    select account_key, amount_minor, first_day as starts_on, 1 as change, installment_key as key_change,
    from candidates
    union all
    select account_key, amount_minor, end_day, -1, -installment_key,
    from candidates
),

by_day as (
    select account_key, amount_minor, starts_on, sum(change) as change, sum(key_change) as key_change,
    from changes
    group by all
),

periods as (
    select
        account_key,
        amount_minor,
        starts_on,
        sum(change) over running_total as candidate_count,
        sum(key_change) over running_total as key_sum,
    from by_day
    window running_total as (partition by account_key, amount_minor order by starts_on rows unbounded preceding)
)

select u.receipt_key, p.key_sum::bigint as installment_key,
from unrouted as u
asof inner join periods as p
    on u.account_key = p.account_key and u.amount_minor = p.amount_minor and u.received_date >= p.starts_on
where p.candidate_count = 1
