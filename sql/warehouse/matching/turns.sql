-- grain: one row per replay and entry, and per replay and new version that may find credit left by earlier ones
-- description: When each entry has its turn. Within a turn nothing depends on anything but the order of payments, so that a whole turn of
--   every group is one statement. A turn ends where money directed to one commitment meets money shared by several, where the versions in force
--   change for shared money, where a new version takes over credit (before the payments of that day), and where exact amounts leave something
--   for the customer's other commitments (after the payments of that day).
-- columns:
--   replay_id: replay
--   turn: 1, 2, 3 … within the replay
--   target_id: versions that may be paid
--   payment_key: payment (NULL = credit left by earlier versions)
--   amount_minor: money of the entry (minor units; NULL for credit). Of an entry that has its second turn, and of credit, only what is
--     left when its turn comes is applied
-- keep: no
with targeted as (
    select replay_id, target_id, received_date, valid_to,
    from matching.entries
    union all
    select e.replay_id, s.target_id, e.received_date, e.valid_to,
    from matching.entries as e
    inner join matching.spills as s on e.payment_key = s.payment_key
),

releases as (
    select distinct e.replay_id, v.version_key, v.effective_from,
    from targeted as e
    inner join matching.credit_sources as s on e.target_id = s.target_id
    inner join matching.version_keys as v on s.version_key = v.version_key
    where e.received_date < v.effective_from and (e.valid_to is null or v.effective_from < e.valid_to)
),

events as (
    select
        replay_id,
        received_date as on_date,
        1 as place,
        payment_key as place_key,
        -- All directed money may share a turn: its targets do not overlap.
        least(target_id, 0) as kind_of_turn,
        target_id,
        payment_key,
        amount_minor,
    from matching.entries
    where not is_simple
    union all
    select e.replay_id, e.received_date, 2, e.payment_key, s.target_id, s.target_id, e.payment_key, e.amount_minor,
    from matching.entries as e
    inner join matching.spills as s on e.payment_key = s.payment_key
    union all
    select replay_id, effective_from, 0, version_key, version_key, version_key, null, null,
    from releases
),

marked as (
    select
        *,
        -- Within a turn money is applied in order of payments, so that what is left over may not share that of payments before it.
        kind_of_turn is distinct from lag(kind_of_turn) over in_order or (place = 2 and lag(place) over in_order < 2) as is_new_turn,
    from events
    window in_order as (partition by replay_id order by on_date, place, place_key)
)

select replay_id, 1::bigint as turn, target_id, payment_key, amount_minor,
from matching.entries
where is_simple
union all
select
    replay_id,
    (count(*) filter (where is_new_turn) over (
        partition by replay_id
        order by on_date, place, place_key
        rows unbounded preceding
    )) as turn,
    target_id,
    payment_key,
    amount_minor,
from marked
