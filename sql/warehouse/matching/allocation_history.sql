-- grain: one row per part of a receipt applied to an installment on a day, and interval in which the book said so
-- description: What was allocated as known on a business date D: rows with applied_on <= D and valid_from <= D < valid_to (NULL = unbounded). Rows
--   with valid_to NULL are what holds as of the run.
-- columns:
--   commitment_id: commitment
--   version: version of the commitment
--   sequence: installment
--   due_date: due date of the installment
--   payment_id: payment
--   received_date: date of the money
--   applied_on: day on which it was applied: the received_date, or later for credit taken over by a version or held until something fell due
--   amount_minor: amount applied (minor units)
--   valid_from: first day on which the book said so (NULL = from applied_on on)
--   valid_to: first day on which it no longer did (NULL = still so)
--   matched_by: the rule that sent the money there
--   matched_on: the evidence, where the rule does not say it all
--   is_elsewhere: whether it is what an exact amount left for other commitments
with covered as (
    select m.receipt_key, max(e.valid_to) as valid_from,
    from matching.replayed_money as m
    inner join matching.epochs as e on m.line_id = e.replay_id
    group by m.receipt_key
),

plain as (
    select
        a.receipt_key,
        coalesce(e.group_id, a.line_id) as version_key,
        a.installment_key,
        a.amount_minor,
        null::date as applied_on,
        case when e.replay_id is null then c.valid_from else e.valid_from end as valid_from,
        e.valid_to,
    from matching.applied as a
    left join matching.epochs as e on a.line_id = e.replay_id
    left join covered as c on a.receipt_key = c.receipt_key
),

grouped as (
    select g.receipt_key, g.version_key, g.installment_key, g.amount_minor, g.applied_on, e.valid_from, e.valid_to,
    from matching.group_applied as g
    inner join matching.epochs as e on g.replay_id = e.replay_id
    union all
    select g.receipt_key, g.version_key, g.installment_key, g.amount_minor, g.applied_on, max(e.valid_to), null,
    from matching.group_applied as g
    left join matching.epochs as e on g.replay_id = e.group_id and g.event_key >= e.from_key and g.applied_on < e.valid_to
    where g.replay_id in (select group_id from matching.groups)
    group by g.event_key, g.receipt_key, g.version_key, g.installment_key, g.amount_minor, g.applied_on
),

-- A day may bring the same money to the same installment twice: when it comes, and as the rest of an exact amount.
merged as (
    select
        receipt_key,
        version_key,
        installment_key,
        sum(amount_minor)::bigint as amount_minor,
        applied_on,
        valid_from,
        valid_to,
    from grouped
    group by all
),

everything as (
    from plain
    union all
    from merged
)

select
    l.commitment_id,
    l.version,
    ((a.installment_key & ((1::bigint << 36) - 1)) - l.first_line)::integer as sequence,
    date '1900-01-01' + (a.installment_key >> 36)::integer as due_date,
    r.payment_id,
    r.received_date,
    case
        when a.applied_on is not null then a.applied_on
        when v.overpayment_rule = 'hold' then greatest(r.received_date, date '1900-01-01' + (a.installment_key >> 36)::integer)
        else r.received_date
    end as applied_on,
    a.amount_minor,
    a.valid_from,
    a.valid_to,
    r.matched_by,
    r.matched_on,
    r.matched_by = 'exact_amount' and v.commitment_key <> t.commitment_key as is_elsewhere,
from everything as a
inner join matching.routes as r on a.receipt_key = r.receipt_key
inner join matching.version_lines as l on a.version_key = l.version_key
inner join matching.version_keys as v on a.version_key = v.version_key
left join matching.version_keys as t on r.target_id = t.version_key
