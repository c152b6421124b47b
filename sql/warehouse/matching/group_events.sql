-- grain: one row per thing that happens in a group, in the order in which it counts
-- description: On each day: credit is taken over or falls due, payments come in, exact amounts leave a rest, money is charged back, refunds are paid.
-- columns:
--   group_id: group
--   event_key: order within the group; of a payment its receipt_key
--   kind: credit, payment, rest, chargeback or refund
--   on_date: day
--   target_id: versions that may be paid (NULL for chargebacks and refunds)
--   receipt_key: money of a payment or rest
--   commitment_key: commitment whose credit is applied
--   returned_by: the chargeback or refund
-- keep: no
with begun as (
    select version_key, effective_from as on_date,
    from matching.version_keys
    where version_count > 1
    qualify effective_from > min(effective_from) over (partition by commitment_key)
),

fallen_due as (
    select v.version_key, d.due_date as on_date,
    from (
        select version_key, due_date from matching.dues
        union
        select version_key, due_date from matching.debit_lines
    ) as d
    inner join matching.version_keys as v on d.version_key = v.version_key
    where
        v.overpayment_rule = 'hold'
        and d.due_date >= v.effective_from
        and (v.effective_to is null or d.due_date < v.effective_to)
        and d.due_date <= (select as_of from ledger.params)
),

credits as (
    select c.version_key, c.on_date, dense_rank() over (order by v.commitment_id) as place, v.commitment_key, g.group_id,
    from (from begun union from fallen_due) as c
    inner join matching.version_keys as v on c.version_key = v.version_key
    inner join matching.groups as g on c.version_key = g.version_key
)

select
    group_id,
    ((on_date - date '1900-01-01')::bigint << 36) + place as event_key,
    'credit' as kind,
    on_date,
    version_key as target_id,
    null::bigint as receipt_key,
    commitment_key,
    null as returned_by,
from credits
union all
select group_id, receipt_key, 'payment', received_date, target_id, receipt_key, null, null,
from matching.group_receipts
where target_id is not null
union all
select group_id, receipt_key + (1::bigint << 34), 'rest', received_date, spill_target_id, receipt_key, null, null,
from matching.group_receipts
where spill_target_id is not null
union all
select
    a.account_key,
    ((r.received_date - date '1900-01-01')::bigint << 36) + (3::bigint << 34) + row_number() over (order by r.kind, r.payment_id),
    r.kind,
    r.received_date,
    null,
    null,
    null,
    r.payment_id,
from matching.returned_rows as r
inner join matching.accounts as a on r.customer_id = a.customer_id and r.currency = a.currency
where r.may_touch and r.kind = 'chargeback' or r.kind = 'refund' and (r.may_touch or r.reverses_payment_id is null)
