-- grain: one row per account or commitment whose money must be replayed in turns
-- description: Money that does not touch other money is replayed by itself. A customer is one group when money is shared among commitments or was
--   charged back or refunded; else a commitment is, when it has several versions or a rule that depends on what was paid before (spread, last).
--   All other versions are done by two running totals (matching.turn_money, matching.turn_dues).
-- columns:
--   group_id: account_key or commitment_key
--   version_key: version of the group (NULL = an account without any)
-- keep: no
with shared_accounts as (
    select account_key,
    from matching.routes
    where target_id < 0
    union
    select r.account_key,
    from matching.spills as s
    inner join matching.routes as r on s.receipt_key = r.receipt_key
    union
    select account_key,
    from matching.charged_accounts
)

select s.account_key as group_id, v.version_key,
from shared_accounts as s
left join matching.version_keys as v on s.account_key = v.account_key
union all
select v.commitment_key, v.version_key,
from matching.version_keys as v
anti join shared_accounts as s on v.account_key = s.account_key
where v.version_count > 1 or v.overpayment_rule not in ('next', 'hold')
