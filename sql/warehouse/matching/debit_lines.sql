-- grain: one row per version and day on which the customer has a chargeback
-- description: Where such a debit stands: with the first installment due after that day; on the day on which the last is due, with that one; later,
--   on a new installment due that day. Whether there is a debit, and how large, comes out of the replay.
-- columns:
--   installment_key: the installment it makes larger, or the new one
--   version_key: version
--   debited_on: day of the chargeback
--   sequence: installment it belongs to
--   due_date: its due date
--   is_added: whether that installment is new
-- keep: no
with days as (
    select distinct v.version_key, l.first_line, l.last_sequence, l.last_due_date, r.received_date as debited_on,
    from matching.returned_rows as r
    inner join matching.version_keys as v
        on r.customer_id = v.customer_id
        and r.currency = v.currency
        and r.received_date >= v.effective_from
        and (v.effective_to is null or r.received_date < v.effective_to)
    inner join matching.version_lines as l on v.version_key = l.version_key
    where r.kind = 'chargeback' and r.may_touch
),

hosts as (
    select
        y.version_key,
        y.debited_on,
        y.first_line,
        y.last_sequence,
        min((d.due_date, d.sequence)) filter (where d.due_date > y.debited_on) as later,
        max((d.due_date, d.sequence)) filter (where d.due_date = y.debited_on and d.due_date = y.last_due_date) as last_today,
    from days as y
    inner join matching.dues as d on y.version_key = d.version_key
    group by all
),

placed as (
    select
        *,
        later is null and last_today is null as is_added,
        coalesce(
            later[2],
            last_today[2],
            last_sequence + row_number() over (partition by version_key, is_added order by debited_on)
        )::integer as sequence,
        coalesce(later[1], last_today[1], debited_on) as due_date,
    from hosts
)

select
    ((due_date - date '1900-01-01')::bigint << 36) + first_line + sequence as installment_key,
    version_key,
    debited_on,
    sequence,
    due_date,
    is_added,
from placed
