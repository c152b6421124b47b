"""Rounds of the matching stage: money that depends on other money, all events of a group at once, by guessing and correcting.

Event after event would take a score of statements for each payment of the customer who has most. Instead all events of a group are computed
together from a guess of what the earlier ones did, then again from what came out, until nothing changes. An event depends only on those
before it: what no longer changes is what event after event gives, and the first event that is not settled yet is, one round later.

What an event brings to each version is all that has to be guessed. The rest follows from running totals: `next` and `hold` are paid from
the front, held money as far as things have fallen due; of `last` and `spread` the surplus so far is the running maximum of money less dues.
A spread gives the same share to a run of installments and what is left to the one after them; a change at both ends of each run and one
running total say what every installment got, and so what was still due of it on its day.

That holds while no installment is filled by a spread before its version is, while no two versions spread the same money, and while shared
money leaves nothing that held credit could take. A group stops where it does not (`round_stops`), and the turns of `allocation` go on
from that event. Groups with chargebacks, refunds or several versions of a commitment are not for here at all.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import duckdb

# Groups within which nothing but payments, rests of exact amounts and held money happens.
ELIGIBLE = """
select g.group_id
from matching.groups as g
left join matching.version_keys as v on g.version_key = v.version_key
group by g.group_id
having bool_and(v.version_count = 1 and v.account_key not in (from matching.charged_accounts)) is true
"""

# Versions, installments and events, each joined with what never changes from round to round. A place is a version an event may pay.
# A version that is paid from the front asks of money directed to it only how much came before: no place, unless its rest goes on.
_START = """
create or replace table matching.round_replays as select replay_id from matching.book_replays;

create or replace table matching.round_events as
select r.replay_id, e.event_key, e.kind, e.on_date, e.target_id, e.receipt_key
from matching.book_replays as r
inner join matching.group_events as e
    on r.group_id = e.group_id and e.event_key >= r.from_key and (r.valid_to is null or e.on_date < r.valid_to);

create or replace table matching.round_versions as
select row_number() over () as line_id, r.replay_id, r.from_key, v.version_key,
    v.overpayment_rule::enum ('next', 'last', 'spread', 'hold') as rule,
    least(p.as_of, r.valid_to - 1, k.effective_to - 1) as last_on
from matching.book_replays as r
inner join matching.groups as g on r.group_id = g.group_id
inner join matching.book_versions as v on g.version_key = v.version_key
inner join matching.version_keys as k on v.version_key = k.version_key
cross join ledger.params as p;

-- Of what is paid from the front the running total is known; the place of a line counts only where a surplus skips some.
create or replace table matching.round_lines as
with means as (
    select replay_id, sum(left_minor) as minor from matching.book_money group by replay_id
)

select v.line_id, v.rule, d.installment_key, d.due_date, 0::bigint as position,
    least(d.amount_minor, d.upto_minor - p.paid_minor) as left_minor,
    d.upto_minor - p.paid_minor as upto_minor
from matching.book_paid as p
inner join means as m on p.replay_id = m.replay_id
inner join matching.round_versions as v on p.replay_id = v.replay_id and p.version_key = v.version_key
inner join matching.book_lines as d
    on p.version_key = d.version_key and d.upto_minor > p.paid_minor and d.upto_minor - d.amount_minor < p.paid_minor + m.minor
union all
select v.line_id, v.rule, d.installment_key, l.due_date, row_number() over in_order, d.left_minor, (sum(d.left_minor) over in_order)::bigint
from matching.book_dues as d
inner join matching.book_lines as l on d.installment_key = l.installment_key
inner join matching.round_versions as v on d.replay_id = v.replay_id and d.version_key = v.version_key
where d.left_minor > 0
window in_order as (partition by v.line_id order by d.installment_key rows unbounded preceding);

create or replace table matching.round_money as
with totals as (
    select line_id, max(upto_minor) as total_minor, max(position) as line_count from matching.round_lines group by line_id
),

versions as (
    select v.*, t.total_minor, t.line_count
    from matching.round_versions as v inner join totals as t on v.line_id = t.line_id
),

-- Money held since before the replay begins comes first.
events as (
    select replay_id, event_key, kind, on_date, target_id, receipt_key from matching.round_events where kind <> 'credit'
    union all
    select m.replay_id, m.receipt_key, 'payment', date '1900-01-01' + (m.receipt_key >> 36)::integer, m.target_id, m.receipt_key
    from matching.book_money as m
    inner join versions as v on m.replay_id = v.replay_id and m.target_id = v.version_key
    where v.rule = 'hold' and m.receipt_key < v.from_key
),

select
    e.* exclude (kind, target_id),
    e.kind = 'rest' as is_rest,
    e.target_id < 0 as is_shared,
    v.line_id,
    v.rule,
    v.rule in ('last', 'spread') as has_surplus,
    v.total_minor,
    v.line_count,
    m.left_minor as money_minor,
    has_surplus or is_shared or m.spill_target_id is not null as is_place
from events as e
inner join matching.book_members as t on e.target_id = t.target_id
inner join versions as v on e.replay_id = v.replay_id and t.version_key = v.version_key
inner join matching.book_money as m on e.replay_id = m.replay_id and e.receipt_key = m.receipt_key
where m.left_minor > 0;

create or replace table matching.round_directed as
select line_id, event_key, total_minor, money_minor,
    (sum(money_minor) over (partition by line_id order by event_key rows unbounded preceding))::bigint as upto_minor
from matching.round_money
where not is_place;

create or replace table matching.round_places as
with by_day as (
    select line_id, due_date, max(position) as position, max(upto_minor) as upto_minor
    from matching.round_lines
    where rule in ('last', 'spread')
    group by line_id, due_date
)

select
    p.* exclude (is_place),
    -- Shared money makes versions depend on each other: rounds look only so many shared events ahead.
    count(*) filter (where p.is_shared) over (partition by p.replay_id order by p.event_key) as step,
    coalesce(m.upto_minor, 0) as directed_minor,
    coalesce(d.position, 0) as due_count,
    coalesce(d.upto_minor, 0) as due_minor,
    case when p.is_shared then 0 else p.money_minor end as minor
from matching.round_money as p
asof left join matching.round_directed as m on p.line_id = m.line_id and p.event_key >= m.event_key
asof left join by_day as d on p.line_id = d.line_id and p.on_date >= d.due_date
where p.is_place;

create or replace table matching.round_reach as
select replay_id, {look} as step, max(step) as last_step from matching.round_places group by replay_id;

create or replace table matching.round_active as
select p.*, null::bigint as anchor_minor
from matching.round_places as p inner join matching.round_reach as r on p.replay_id = r.replay_id
where p.step <= r.step;

create or replace table matching.round_settled as
select *, minor as paid_minor, minor as surplus_minor, minor as surplus_before from matching.round_places where false;

create or replace table matching.round_spreads_settled (
    replay_id bigint, line_id bigint, event_key bigint, due_count bigint, full_count bigint, share_minor bigint, rest_minor bigint
)
"""
LOOK_AHEAD = 6

_NOTHING_SPREAD = """
create or replace table matching.round_spread as
select v.replay_id, d.line_id, d.position, d.installment_key, d.due_date, d.left_minor, d.upto_minor as terms_minor,
    0::bigint as guessed_minor, 0::bigint as share_minor, d.upto_minor
from matching.round_lines as d inner join matching.round_versions as v on d.line_id = v.line_id
where d.rule = 'spread'
"""

# Where every version stands at each event, by the guess. An anchor is the last settled event of a version, with all that was before it.
_STAND = """
create or replace table matching.round_standing as
with dated as (
    select p.* exclude (due_minor), coalesce(s.upto_minor, p.due_minor) as due_minor
    from matching.round_active as p
    left join matching.round_spread as s on p.line_id = s.line_id and p.due_count = s.position
),

running as (
    select *, (directed_minor + sum(minor) over (partition by line_id order by event_key rows unbounded preceding))::bigint as upto_minor
    from dated
)

select
    * exclude (upto_minor),
    least(total_minor, upto_minor) as paid_minor,
    least(total_minor, upto_minor - minor) as paid_before,
    case when has_surplus then greatest(0, max(coalesce(anchor_minor, paid_minor - due_minor)) over in_order) else 0 end as surplus_minor,
    case when has_surplus then greatest(0, max(coalesce(anchor_minor, paid_minor - due_minor)) over earlier) else 0 end as surplus_before
from running
window
    in_order as (partition by line_id order by event_key rows unbounded preceding),
    earlier as (partition by line_id order by event_key rows between unbounded preceding and 1 preceding)
"""

# What each event then brings to each version. Shared money looks at single installments, past and due today first.
_GIVE = """
create or replace table matching.round_given as
with rests as (
    select replay_id, receipt_key from matching.round_standing where is_rest and anchor_minor is null
),

spent as (
    select replay_id, receipt_key, least(money_minor, total_minor - paid_before) as minor
    from matching.round_standing semi join rests using (replay_id, receipt_key)
    where not is_shared and anchor_minor is null
    union all
    select replay_id, receipt_key, minor
    from matching.round_settled semi join rests using (replay_id, receipt_key)
    where not is_shared
),

pool as (
    select
        s.*,
        s.money_minor - case when s.is_rest then coalesce(a.minor, 0) else 0 end as have_minor,
        s.paid_before - s.surplus_before as front_minor,
        case when s.rule = 'last' then s.total_minor - s.surplus_before else s.total_minor end as end_minor
    from matching.round_standing as s
    left join spent as a on s.is_rest and s.replay_id = a.replay_id and s.receipt_key = a.receipt_key
    where s.is_shared and s.anchor_minor is null and have_minor > 0 and s.paid_before < s.total_minor
),

candidates as (
    select
        p.event_key, p.line_id, p.replay_id, p.have_minor,
        case when d.due_date <= p.on_date then 0 when p.rule = 'next' then 1 else 3 end as step,
        case when d.due_date > p.on_date and p.rule = 'last' then -d.installment_key else d.installment_key end as place,
        least(d.upto_minor, p.end_minor) - greatest(d.upto_minor - d.left_minor, p.front_minor) as left_minor
    from pool as p
    inner join matching.round_lines as d
        on p.line_id = d.line_id and d.upto_minor > p.front_minor and d.upto_minor - d.left_minor < p.end_minor
    where
        p.rule <> 'spread'
        and (d.due_date <= p.on_date or p.rule = 'next' or p.rule = 'last' and d.upto_minor > p.end_minor - p.have_minor)
        and (p.rule = 'last' or d.upto_minor - d.left_minor < p.front_minor + p.have_minor)
    union all
    select p.event_key, p.line_id, p.replay_id, p.have_minor, 0, d.installment_key,
        d.upto_minor - greatest(d.upto_minor - (d.left_minor - d.share_minor), p.front_minor)
    from pool as p
    inner join matching.round_spread as d on p.line_id = d.line_id and d.upto_minor > p.front_minor and d.due_date <= p.on_date
    where p.rule = 'spread'
    union all
    select event_key, line_id, replay_id, have_minor, 2, line_id, total_minor - paid_before - greatest(0, due_minor - front_minor)
    from pool
    where rule = 'spread'
),

taken as (
    select
        event_key,
        line_id,
        greatest(0, least(left_minor, have_minor - (sum(left_minor) over in_order - left_minor))) as minor
    from candidates
    window in_order as (partition by replay_id, event_key order by step, place rows unbounded preceding)
)

select event_key, line_id, sum(minor)::bigint as minor from taken group by all
"""

# The nearest share for `full_count` installments, what is left for the one after them: rounded shares, odd cents on the last.
_SPREAD = """
create or replace table matching.round_spreads as
select
    replay_id,
    line_id,
    event_key,
    due_count,
    surplus_minor - surplus_before as to_spread_minor,
    line_count - due_count as open_count,
    (2 * to_spread_minor + open_count) // (2 * open_count) as share_minor,
    case when share_minor = 0 then open_count - 1 else least(open_count - 1, to_spread_minor // share_minor) end as full_count,
    to_spread_minor - share_minor * full_count as rest_minor
from matching.round_standing
where
    rule = 'spread'
    and anchor_minor is null
    and surplus_minor > surplus_before
    and due_count < line_count
    and paid_minor < total_minor
"""
# A share that changes at a place counts once for each place from there on: one window gives the shares and their running total.
_SHARE = """
create or replace table matching.round_spread as
with spreads as (
    select line_id, due_count, full_count, share_minor, rest_minor from matching.round_spreads_settled
    union all
    select line_id, due_count, full_count, share_minor, rest_minor from matching.round_spreads
),

changes as (
    select line_id, due_count + 1 as position, share_minor as change from spreads
    union all
    select line_id, due_count + full_count + 1, rest_minor - share_minor from spreads
    union all
    select line_id, due_count + full_count + 2, -rest_minor from spreads
),

by_position as (
    select line_id, position, sum(change) as change, sum(change) * position as change_at
    from changes
    group by line_id, position
)

select
    s.* exclude (guessed_minor, share_minor, upto_minor),
    s.share_minor as guessed_minor,
    (sum(coalesce(c.change, 0)) over in_order)::bigint as share_minor,
    (
        s.terms_minor - (s.position + 1) * sum(coalesce(c.change, 0)) over in_order + sum(coalesce(c.change_at, 0)) over in_order
    )::bigint as upto_minor
from matching.round_spread as s
{only_active}
left join by_position as c on s.line_id = c.line_id and s.position = c.position
window in_order as (partition by s.line_id order by s.position rows unbounded preceding)
"""

# Settled is what comes before the first change of a group.
_COMPARE = """
create or replace table matching.round_next as
select s.*, coalesce(g.minor, case when s.is_shared then 0 else least(s.money_minor, s.total_minor - s.paid_before) end) as next_minor
from matching.round_standing as s
left join matching.round_given as g on s.is_shared and s.event_key = g.event_key and s.line_id = g.line_id;

create or replace table matching.round_ends as
select replay_id, min(event_key) as event_key
from (
    select replay_id, event_key from matching.round_next where minor <> next_minor and anchor_minor is null
    union all
    select replay_id, (due_date - date '1900-01-01')::bigint << 36 from matching.round_spread where share_minor <> guessed_minor
)
group by replay_id;

insert into matching.round_settled by name
select n.* exclude (paid_before, anchor_minor, next_minor)
from matching.round_next as n left join matching.round_ends as e on n.replay_id = e.replay_id
where n.anchor_minor is null and (e.event_key is null or n.event_key < e.event_key);

insert into matching.round_spreads_settled by name
select s.* exclude (to_spread_minor, open_count)
from matching.round_spreads as s left join matching.round_ends as e on s.replay_id = e.replay_id
where e.event_key is null or s.event_key < e.event_key;

create or replace table matching.round_reach as
with unsettled as (
    select n.replay_id, min(n.step) as step
    from matching.round_next as n inner join matching.round_ends as e on n.replay_id = e.replay_id and n.event_key >= e.event_key
    where n.anchor_minor is null
    group by n.replay_id
)

select r.replay_id, r.last_step, r.step as step_before, greatest(r.step, coalesce(u.step, r.step) + {look}) as step
from matching.round_reach as r left join unsettled as u on r.replay_id = u.replay_id
where u.replay_id is not null or r.step < r.last_step;

create or replace table matching.round_active as
with lasts as (
    select n.line_id, max(n.event_key) as event_key
    from matching.round_next as n
    inner join matching.round_reach as r on n.replay_id = r.replay_id
    left join matching.round_ends as e on n.replay_id = e.replay_id
    where e.event_key is null or n.event_key < e.event_key
    group by n.line_id
)

select n.* exclude (minor, next_minor, paid_minor, paid_before, surplus_minor, surplus_before), n.next_minor as minor
from matching.round_next as n
inner join matching.round_ends as e on n.replay_id = e.replay_id and n.event_key >= e.event_key
where n.anchor_minor is null
union all by name
select n.* exclude (minor, next_minor, paid_minor, paid_before, surplus_minor, surplus_before, anchor_minor),
    n.paid_minor - n.directed_minor as minor, n.surplus_minor as anchor_minor
from matching.round_next as n
inner join lasts as a on n.line_id = a.line_id and n.event_key = a.event_key
union all by name
select p.*, null::bigint as anchor_minor
from matching.round_places as p
inner join matching.round_reach as r on p.replay_id = r.replay_id
where p.step > r.step_before and p.step <= r.step
"""

# From which event on a group cannot be done here.
_STOPS = """
create or replace table matching.round_stops as
with
-- An installment that is full takes no part in the next spread.
crowded as (
    select line_id, position, left_minor from matching.round_spread where share_minor >= left_minor
),

filling as (
    select s.replay_id, s.event_key, c.left_minor,
        sum(case when c.position <= s.due_count + s.full_count then s.share_minor else s.rest_minor end)
            over (partition by c.line_id, c.position order by s.event_key rows unbounded preceding) as upto_minor
    from crowded as c
    inner join matching.round_spreads_settled as s
        on c.line_id = s.line_id and c.position > s.due_count and c.position <= s.due_count + s.full_count + 1
),

-- Two versions that spread the same money share it out among all their installments.
spread_together as (
    select replay_id, event_key
    from matching.round_settled
    where is_shared and rule = 'spread'
    group by all
    having count(*) > 1 and sum(surplus_minor - surplus_before) > 0
),

-- What shared money leaves is credit of several commitments.
used as (
    select replay_id, receipt_key, sum(minor) as minor from matching.round_settled group by all
),

left_over as (
    select m.replay_id, m.receipt_key, unnest([m.target_id, m.spill_target_id]) as target_id
    from matching.book_money as m
    left join used as u on m.replay_id = u.replay_id and m.receipt_key = u.receipt_key
    where (m.target_id < 0 or m.spill_target_id < 0) and m.left_minor > coalesce(u.minor, 0)
),

released as (
    select m.replay_id, e.event_key
    from left_over as m
    inner join matching.book_members as t on m.target_id = t.target_id
    inner join matching.round_events as e
        on m.replay_id = e.replay_id and e.kind = 'credit' and t.version_key = e.target_id and m.receipt_key < e.event_key
)

select replay_id, min(event_key) as event_key
from (
    select replay_id, event_key from filling where upto_minor >= left_minor
    union all
    from spread_together
    union all
    from released
)
group by replay_id
"""

# What directed money found left to pay, now that the shared money between is settled.
_DIRECTED = """
insert into matching.round_settled by name
with paid as (
    select line_id, event_key, total_minor, money_minor as minor, true as is_directed from matching.round_directed
    union all
    select line_id, event_key, total_minor, minor, false from matching.round_settled where not has_surplus
),

running as (
    select *, sum(minor) over (partition by line_id order by event_key rows unbounded preceding) as upto_minor from paid
)

select line_id, event_key, least(minor, total_minor - (upto_minor - minor))::bigint as minor, 0 as surplus_minor, 0 as surplus_before
from running
where is_directed and upto_minor - minor < total_minor
"""

# The settled money of each version laid beside its dues: from the front, and, of rule `last`, from the back (the line's number negated).
_LINES = """
create or replace table matching.turn_money as
with parts as (
    select line_id, event_key, minor - (surplus_minor - surplus_before) as minor from matching.round_settled
    union all
    select -line_id, event_key, surplus_minor - surplus_before from matching.round_settled where rule = 'last'
)

select
    line_id,
    event_key as receipt_key,
    (sum(minor) over (partition by line_id order by event_key rows unbounded preceding))::bigint as upto_minor
from parts
where minor > 0;

create or replace table matching.turn_dues as
select d.line_id, d.installment_key, d.upto_minor
from matching.round_lines as d
inner join matching.round_versions as v on d.line_id = v.line_id
where d.rule in ('next', 'last') or d.rule = 'hold' and d.due_date <= v.last_on
union all
select
    line_id,
    installment_key,
    (sum(left_minor - share_minor) over (partition by line_id order by position rows unbounded preceding))::bigint
from matching.round_spread
where share_minor < left_minor
union all
select
    -line_id,
    installment_key,
    (sum(left_minor) over (partition by line_id order by installment_key desc rows unbounded preceding))::bigint
from matching.round_lines
where rule = 'last'
"""
_RECORD = """
insert into matching.group_applied
with spread_out as (
    select s.line_id, s.event_key, d.installment_key,
        case when d.position <= s.due_count + s.full_count then s.share_minor else s.rest_minor end as amount_minor
    from matching.round_spreads_settled as s
    inner join matching.round_spread as d
        on s.line_id = d.line_id and d.position between s.due_count + 1 and s.due_count + s.full_count + 1
    union all
    -- The last surplus fills all there is.
    select s.line_id, s.event_key, d.installment_key, d.left_minor - d.share_minor
    from matching.round_settled as s
    inner join matching.round_spread as d on s.line_id = d.line_id and d.position > s.due_count
    where s.rule = 'spread' and s.surplus_minor > s.surplus_before and s.paid_minor = s.total_minor
),

applied as (
    select abs(line_id) as line_id, receipt_key as event_key, installment_key, amount_minor from matching.turn_applied
    union all
    from spread_out
),

-- The event of a payment has its receipt_key.
rests as (
    select distinct event_key, receipt_key from matching.round_settled where is_rest
),

dated as (
    select
        v.replay_id,
        v.version_key,
        coalesce(r.receipt_key, a.event_key) as receipt_key,
        a.installment_key,
        a.amount_minor,
        coalesce(c.event_key, a.event_key) as event_key,
        date '1900-01-01' + (a.event_key >> 36)::integer as came_on,
        coalesce(c.on_date, came_on) as on_date
    from applied as a
    inner join matching.round_versions as v on a.line_id = v.line_id
    left join rests as r on a.event_key = r.event_key
    -- Held money pays an installment on the day it falls due.
    left join matching.round_events as c
        on v.rule = 'hold' and c.kind = 'credit' and v.replay_id = c.replay_id and v.version_key = c.target_id
        and c.on_date > date '1900-01-01' + (a.event_key >> 36)::integer
        and c.on_date = date '1900-01-01' + (a.installment_key >> 36)::integer
)

select d.replay_id, d.event_key, d.on_date, d.receipt_key, d.version_key, d.installment_key, sum(d.amount_minor)::bigint
from dated as d
left join matching.round_stops as s on d.replay_id = s.replay_id
where d.amount_minor > 0 and d.event_key < coalesce(s.event_key, d.event_key + 1)
group by all
"""


def settle(con: "duckdb.DuckDBPyConnection", overlap: str) -> None:
    """Fill group_applied for the replays of book_replays, as far as round_stops says. `overlap` is the statement of matching.applied."""
    con.execute(_START.format(look=LOOK_AHEAD))
    con.execute(_NOTHING_SPREAD)
    while con.execute("select exists(from matching.round_reach)").fetchall()[0][0]:
        con.execute(_STAND)
        con.execute(_GIVE)
        con.execute(_SPREAD)
        con.execute(_SHARE.format(only_active="semi join matching.round_reach as r on s.replay_id = r.replay_id"))
        con.execute(_COMPARE.format(look=LOOK_AHEAD))
    con.execute("create or replace table matching.round_spreads as from matching.round_spreads_settled where false")
    con.execute(_NOTHING_SPREAD)
    con.execute(_SHARE.format(only_active=""))
    con.execute(_STOPS)
    con.execute(_DIRECTED)
    con.execute(_LINES)
    con.execute(f"create or replace table matching.turn_applied as\n{overlap}")
    con.execute(_RECORD)
