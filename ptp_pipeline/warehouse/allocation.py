"""The order of work in the matching stage, for money that depends on what was paid before: first rounds, then turns.

1. Closed form: money of a version that nothing else touches, rule `next` or `hold`, is done by sql/warehouse/matching/applied.sql alone.
2. Rounds (`rounds`): the groups of matching.groups in which only payments happen, with whatever rule. All events at once, by guessing and
   correcting until nothing changes.
3. Turns (here): groups with chargebacks, refunds or several versions of a commitment, and what rounds leave. Event by event, the k-th
   turn of every group at once: whose turn it is, which dues it may pay in which order, what chargebacks and refunds take.

Each group is replayed as it holds today, then in every epoch before a reversal. How money and dues are laid side by side stays in
applied.sql, whoever uses it.
"""

from typing import TYPE_CHECKING

from ptp_pipeline.warehouse.models import PythonStep, stage_models
from ptp_pipeline.warehouse.rounds import ELIGIBLE, settle
from ptp_pipeline.warehouse.suggestions import SUGGESTION_STEPS

if TYPE_CHECKING:
    import duckdb

# What a group's replay has changed so far is in tables book_*; what was done in group_applied and the first three of these.
_TABLES = """
create table matching.book_returns (
    replay_id bigint, event_key bigint, receipt_key bigint, returned_by varchar, returned_on date, amount_minor bigint
);
create table matching.book_charges (
    replay_id bigint, event_key bigint, returned_by varchar, payment_id varchar, commitment_key bigint, amount_minor bigint, problem varchar
);
create table matching.book_debits (
    replay_id bigint, event_key bigint, returned_by varchar, version_key bigint, installment_key bigint, debited_on date,
    amount_minor bigint
);

-- Money no epoch needs to look at.
create table matching.used_at_once (receipt_key bigint);

-- What rounds had a go at, and the event from which on they leave it to turns.
create table matching.round_replays (replay_id bigint);
create table matching.round_stops (replay_id bigint, event_key bigint);

-- An epoch begins with what the replay that holds today did up to there.
create view matching.replayed_applied as
select replay_id, receipt_key, version_key, installment_key, amount_minor from matching.group_applied
union all
select e.replay_id, a.receipt_key, a.version_key, a.installment_key, a.amount_minor
from matching.epochs as e inner join matching.group_applied as a on e.group_id = a.replay_id and a.event_key < e.from_key
where e.is_grouped
"""

# Money directed to one version waits only for what was done to that version; shared money, credit and money going back touch several, and
# split the events into segments. Within one, payments to a version that takes its surplus in order share a turn: between them nothing
# depends on a date.
_EVENTS = """
create or replace table matching.book_events as
with runs as (
    select m.target_id, bool_and(v.overpayment_rule = 'next') as is_run
    from matching.book_members as m
    inner join matching.book_versions as v on m.version_key = v.version_key
    group by m.target_id
),

known as (
    select
        r.replay_id,
        e.* exclude (group_id),
        coalesce(u.is_run, false) as is_run,
        case
            when e.kind = 'payment' and e.target_id > 0 then null
            when e.kind = 'payment' and u.is_run then e.target_id
            else e.event_key
        end as barrier
    from matching.book_replays as r
    inner join matching.group_events as e
        on r.group_id = e.group_id and e.event_key >= r.from_key and (r.valid_to is null or e.on_date < r.valid_to)
    left join runs as u on e.target_id = u.target_id
),

marked as (
    select
        *,
        barrier is distinct from lag(barrier) over in_order or row_number() over in_order = 1 as is_new
    from known
    window in_order as (partition by replay_id order by event_key)
),

segmented as (
    select *, count(*) filter (where is_new) over (partition by replay_id order by event_key rows unbounded preceding) as segment
    from marked
),

levelled as (
    select
        *,
        case
            when is_run or barrier is not null then 1
            else row_number() over (partition by replay_id, segment, target_id order by event_key)
        end as level
    from segmented
),

lengths as (
    select
        replay_id,
        segment,
        sum(max(level)) over (partition by replay_id order by segment rows unbounded preceding) - max(level) as before
    from levelled
    group by replay_id, segment
)

select l.* exclude (is_run, barrier, is_new, segment, level), n.before + l.level as turn
from levelled as l inner join lengths as n on l.replay_id = n.replay_id and l.segment = n.segment
order by turn, l.replay_id
"""

# All replays of one kind, and which of them are up now: first those that rounds can do, then what they leave.
_FINAL_REPLAYS = "select distinct group_id as replay_id, group_id, 0 as from_key, null::date as valid_to from matching.groups"
_EPOCH_REPLAYS = "select replay_id, group_id, from_key, valid_to from matching.epochs where is_grouped"
_FOR_ROUNDS = f"""
create or replace table matching.book_replays as
select *, from_key as base_key from ({{replays}}) where group_id in ({ELIGIBLE})
"""
_FOR_TURNS = """
create or replace table matching.book_replays as
select r.* replace (greatest(r.from_key, s.event_key) as from_key), r.from_key as base_key
from ({replays}) as r
left join matching.round_stops as s on r.replay_id = s.replay_id
where s.replay_id is not null or r.replay_id not in (from matching.round_replays)
"""

# What the replays that are up may pay: late turns of a few groups must not scan the whole book.
_BOOKS = """
-- Versions that are always paid from the front need only a running total; the others need every line.
create or replace table matching.book_versions as
select v.version_key, v.overpayment_rule, v.overpayment_rule in ('next', 'hold') and not l.is_recharged as is_in_order
from matching.version_keys as v
inner join matching.version_lines as l on v.version_key = l.version_key
where v.version_key in (select version_key from matching.groups where group_id in (select group_id from matching.book_replays));

create or replace table matching.book_members as
select target_id, version_key, commitment_key
from matching.target_members where version_key in (select version_key from matching.book_versions);

create or replace table matching.book_lines as
select installment_key, version_key, due_date, amount_minor, upto_minor
from matching.dues where version_key in (select version_key from matching.book_versions)
union all
select installment_key, version_key, due_date, 0, 0
from matching.debit_lines where is_added and version_key in (select version_key from matching.book_versions)
"""

# Money that was used up, all of it, when it came, by the replay that holds today: an epoch that begins later finds nothing of it. What was
# reversed is not all used. Chargebacks and refunds ask for used money too.
_USED = """
insert into matching.used_at_once
select g.receipt_key
from matching.group_receipts as g
inner join matching.group_applied as a on g.group_id = a.replay_id and g.receipt_key = a.receipt_key and a.receipt_key = a.event_key
where g.group_id not in (from matching.charged_accounts)
group by g.receipt_key, g.amount_minor
having sum(a.amount_minor) = g.amount_minor
"""

# Where each replay stands before its first event. An epoch begins where the replay that holds today stood before the first thing a later
# reversal changed; what rounds have done already counts too.
_STATE = """
create or replace view matching.book_before as
select r.replay_id, a.receipt_key, a.version_key, a.installment_key, a.amount_minor
from matching.book_replays as r inner join matching.group_applied as a on r.replay_id = a.replay_id
union all
select r.replay_id, a.receipt_key, a.version_key, a.installment_key, a.amount_minor
from matching.book_replays as r inner join matching.group_applied as a on r.group_id = a.replay_id and a.event_key < r.base_key
where r.replay_id <> r.group_id;

create or replace table matching.book_receipts as
select r.replay_id, r.group_id, r.base_key, r.valid_to, g.receipt_key, g.target_id, g.spill_target_id, g.amount_minor
from matching.book_replays as r
inner join matching.group_receipts as g on r.group_id = g.group_id and (r.valid_to is null or g.received_date < r.valid_to)
where g.receipt_key >= r.base_key or g.receipt_key not in (from matching.used_at_once);

create or replace table matching.book_money as
with spent as (
    select replay_id, receipt_key, sum(amount_minor) as amount_minor
    from (
        select a.replay_id, a.receipt_key, a.amount_minor
        from matching.book_replays as r inner join matching.group_applied as a on r.replay_id = a.replay_id
        union all
        select m.replay_id, m.receipt_key, a.amount_minor
        from matching.book_receipts as m
        inner join matching.group_applied as a on m.group_id = a.replay_id and m.receipt_key = a.receipt_key and a.event_key < m.base_key
        where m.replay_id <> m.group_id and m.receipt_key < m.base_key
        union all
        select r.replay_id, b.receipt_key, b.amount_minor
        from matching.book_replays as r
        inner join matching.book_returns as b on r.replay_id <> r.group_id and r.group_id = b.replay_id and b.event_key < r.base_key
    )
    group by all
),

taken as (
    select m.replay_id, m.receipt_key, sum(t.amount_minor) as amount_minor
    from matching.book_receipts as m
    inner join matching.reversed_parts as t on m.receipt_key = t.receipt_key and (m.valid_to is null or t.returned_on < m.valid_to)
    group by all
)

select
    m.replay_id,
    m.receipt_key,
    m.target_id,
    m.spill_target_id,
    (m.amount_minor - coalesce(t.amount_minor, 0))::bigint as known_minor,
    (known_minor - coalesce(s.amount_minor, 0))::bigint as left_minor
from matching.book_receipts as m
left join taken as t on m.replay_id = t.replay_id and m.receipt_key = t.receipt_key
left join spent as s on m.replay_id = s.replay_id and m.receipt_key = s.receipt_key;

create or replace table matching.book_paid as
with paid as (select replay_id, version_key, sum(amount_minor) as amount_minor from matching.book_before group by all)

select r.replay_id, g.version_key, coalesce(p.amount_minor, 0)::bigint as paid_minor
from matching.book_replays as r
inner join matching.groups as g on r.group_id = g.group_id
inner join matching.book_versions as v on g.version_key = v.version_key
left join paid as p on r.replay_id = p.replay_id and g.version_key = p.version_key
where v.is_in_order;

create or replace table matching.book_dues as
with changes as (
    select replay_id, installment_key, sum(amount_minor) as amount_minor
    from (
        select replay_id, installment_key, -amount_minor as amount_minor
        from matching.book_before where version_key in (select version_key from matching.book_versions where not is_in_order)
        union all
        select r.replay_id, d.installment_key, d.amount_minor
        from matching.book_replays as r
        inner join matching.book_debits as d on r.replay_id <> r.group_id and r.group_id = d.replay_id and d.event_key < r.base_key
    )
    group by all
)

select r.replay_id, d.version_key, d.installment_key, (d.amount_minor + coalesce(c.amount_minor, 0))::bigint as left_minor
from matching.book_replays as r
inner join matching.groups as g on r.group_id = g.group_id
inner join matching.book_versions as v on g.version_key = v.version_key
inner join matching.book_lines as d on v.version_key = d.version_key
left join changes as c on r.replay_id = c.replay_id and d.installment_key = c.installment_key
where not v.is_in_order;

insert into matching.book_charges
select r.replay_id, c.event_key, c.returned_by, c.payment_id, c.commitment_key, c.amount_minor, c.problem
from matching.book_replays as r
inner join matching.book_charges as c on r.replay_id <> r.group_id and r.group_id = c.replay_id and c.event_key < r.base_key
"""

# Chargebacks ask what a payment amounted to, used or not.
_KNOWN = """
create or replace table matching.book_known as
select m.replay_id, m.receipt_key, m.known_minor
from matching.book_money as m
where m.receipt_key in (
    select p.receipt_key
    from matching.receipts as p inner join matching.returned_rows as r on p.payment_id = r.reverses_payment_id
    where r.kind = 'chargeback'
)
"""

# Late turns must not scan what early ones have used up.
_FORGET = """
create or replace table matching.still_going as select distinct replay_id from matching.book_events where turn > {turn};

create or replace table matching.book_money as
select * from matching.book_money where left_minor > 0 and replay_id in (select replay_id from matching.still_going);

create or replace table matching.book_paid as
select * from matching.book_paid where replay_id in (select replay_id from matching.still_going);

create or replace table matching.book_dues as
select * from matching.book_dues
where
    replay_id in (select replay_id from matching.still_going)
    and (left_minor > 0 or version_key in (select version_key from matching.version_lines where is_recharged))
"""
_FORGET_EVERY = 8

# Money of the turn. Credit is all a commitment could have got and nobody has used; a rest is what an exact amount has left.
_MONEY = """
create or replace table matching.now_up as select * from matching.book_events where turn = {turn};

create or replace table matching.offered as
with credits as (
    select n.replay_id, n.target_id, n.event_key, n.on_date, m.target_id as could_have
    from matching.now_up as n
    inner join (select distinct target_id, commitment_key from matching.book_members) as m on n.commitment_key = m.commitment_key
    where n.kind = 'credit'
),

credit_money as (
    select c.replay_id, c.target_id, c.event_key, c.on_date, m.receipt_key, m.left_minor
    from credits as c
    inner join matching.book_money as m on c.replay_id = m.replay_id and c.could_have = m.target_id
    where m.receipt_key < c.event_key and m.left_minor > 0
    union
    select c.replay_id, c.target_id, c.event_key, c.on_date, m.receipt_key, m.left_minor
    from credits as c
    inner join matching.book_money as m on c.replay_id = m.replay_id and c.could_have = m.spill_target_id
    where m.receipt_key < c.event_key and m.left_minor > 0
)

select n.replay_id, n.target_id, n.event_key, n.on_date, m.receipt_key, m.left_minor
from matching.now_up as n
inner join matching.book_money as m on n.replay_id = m.replay_id and n.receipt_key = m.receipt_key
where m.left_minor > 0
union all
from credit_money;

create or replace table matching.lines as
select row_number() over () as line_id, replay_id, target_id, min(on_date) as on_date, sum(left_minor)::bigint as money_minor
from matching.offered
group by replay_id, target_id
"""

# Which dues the money of a line may pay, in which order: past due and due today first, then the surplus by rule.
_DUES = """
create or replace table matching.candidates as
with members as (
    select l.*, v.version_key, v.overpayment_rule, v.is_in_order
    from matching.lines as l
    inner join matching.book_members as t on l.target_id = t.target_id
    inner join matching.book_versions as v on t.version_key = v.version_key
),

open_lines as (
    select m.line_id, m.on_date, m.overpayment_rule, d.version_key, d.installment_key, d.due_date,
        least(d.amount_minor, d.upto_minor - p.paid_minor) as left_minor
    from members as m
    inner join matching.book_paid as p on m.replay_id = p.replay_id and m.version_key = p.version_key
    inner join matching.book_lines as d
        on m.version_key = d.version_key and d.upto_minor > p.paid_minor and d.upto_minor - d.amount_minor < p.paid_minor + m.money_minor
    where m.is_in_order
    union all
    select m.line_id, m.on_date, m.overpayment_rule, d.version_key, d.installment_key, l.due_date, d.left_minor
    from members as m
    inner join matching.book_dues as d on m.replay_id = d.replay_id and m.version_key = d.version_key
    inner join matching.book_lines as l on d.installment_key = l.installment_key
    where not m.is_in_order and d.left_minor > 0
)

select
    line_id,
    version_key,
    installment_key,
    left_minor,
    case when due_date <= on_date then 0 else ['next', 'spread', 'last'].list_position(overpayment_rule) end as step,
    case when step = 3 then -installment_key else installment_key end as place
from open_lines
where due_date <= on_date or overpayment_rule <> 'hold'
"""

# Each round gives every installment of a line the same rounded share, the last one the odd cents; what does not fit goes round again.
_SPREAD_START = """
create or replace table matching.spread_money as
with before as (
    select line_id, sum(left_minor) filter (where step < 2) as minor, count(*) filter (where step = 2) as spread_count
    from matching.candidates group by line_id
)

select l.line_id, (l.money_minor - coalesce(b.minor, 0))::bigint as minor
from matching.lines as l inner join before as b on l.line_id = b.line_id
where b.spread_count > 0;

create or replace table matching.spread_dues as
select c.line_id, c.installment_key, c.left_minor as open_minor
from matching.candidates as c inner join matching.spread_money as m on c.line_id = m.line_id
where c.step = 2
"""
_SPREAD_ROUND = """
create or replace table matching.spread_takes as
with shares as (
    select
        d.line_id,
        d.installment_key,
        d.open_minor,
        m.minor,
        count(*) over (partition by d.line_id) as due_count,
        row_number() over (partition by d.line_id order by d.installment_key) as position,
        (2 * m.minor + due_count) // (2 * due_count) as share
    from matching.spread_dues as d
    inner join matching.spread_money as m on d.line_id = m.line_id
    where m.minor > 0 and d.open_minor > 0
),

wanted as (
    select *, least(open_minor, case when position < due_count then share else greatest(0, minor - share * (due_count - 1)) end) as want
    from shares
)

select
    line_id,
    installment_key,
    greatest(0, least(want, minor - (sum(want) over in_order - want)))::bigint as take
from wanted
window in_order as (partition by line_id order by installment_key rows unbounded preceding)
qualify take > 0
"""
_SPREAD_STEP = """
update matching.spread_dues as d set open_minor = d.open_minor - t.take
from matching.spread_takes as t where d.line_id = t.line_id and d.installment_key = t.installment_key;

update matching.spread_money as m set minor = m.minor - t.take
from (select line_id, sum(take)::bigint as take from matching.spread_takes group by line_id) as t where m.line_id = t.line_id
"""
_SPREAD_END = """
update matching.candidates as c set left_minor = c.left_minor - d.open_minor
from matching.spread_dues as d where c.line_id = d.line_id and c.installment_key = d.installment_key;

delete from matching.candidates where left_minor = 0
"""

_LINES = """
create or replace table matching.turn_money as
select
    l.line_id,
    o.receipt_key,
    sum(o.left_minor) over (partition by l.line_id order by o.receipt_key rows unbounded preceding) as upto_minor
from matching.offered as o
inner join matching.lines as l on o.replay_id = l.replay_id and o.target_id = l.target_id;

create or replace table matching.turn_dues as
select line_id, installment_key, sum(left_minor) over (partition by line_id order by step, place rows unbounded preceding) as upto_minor
from matching.candidates
"""

_RECORD = """
create or replace table matching.turn_done as
select l.replay_id, o.event_key, o.on_date, a.receipt_key, c.version_key, a.installment_key, a.amount_minor
from matching.turn_applied as a
inner join matching.lines as l on a.line_id = l.line_id
inner join matching.offered as o on l.replay_id = o.replay_id and l.target_id = o.target_id and a.receipt_key = o.receipt_key
inner join matching.candidates as c on a.line_id = c.line_id and a.installment_key = c.installment_key;

insert into matching.group_applied from matching.turn_done;

update matching.book_money as m set left_minor = m.left_minor - a.amount_minor
from (select replay_id, receipt_key, sum(amount_minor)::bigint as amount_minor from matching.turn_done group by all) as a
where m.replay_id = a.replay_id and m.receipt_key = a.receipt_key;

update matching.book_paid as p set paid_minor = p.paid_minor + a.amount_minor
from (select replay_id, version_key, sum(amount_minor)::bigint as amount_minor from matching.turn_done group by all) as a
where p.replay_id = a.replay_id and p.version_key = a.version_key;

update matching.book_dues as d set left_minor = d.left_minor - a.amount_minor
from (select replay_id, installment_key, sum(amount_minor)::bigint as amount_minor from matching.turn_done group by all) as a
where d.replay_id = a.replay_id and d.installment_key = a.installment_key
"""

# Takes `minor` of every replay out of `sources` (replay_id, receipt_key, place, left_minor), in order of place.
_TAKE = """
create or replace table matching.taken as
with placed as (
    select
        s.*,
        w.minor,
        sum(s.left_minor) over (partition by s.replay_id order by s.place rows unbounded preceding) - s.left_minor as before_minor
    from ({sources}) as s inner join ({wanted}) as w on s.replay_id = w.replay_id
)

select replay_id, receipt_key, least(left_minor, minor - before_minor)::bigint as amount_minor
from placed where before_minor < minor;

insert into matching.book_returns
select n.replay_id, n.event_key, t.receipt_key, n.returned_by, n.on_date, t.amount_minor
from matching.taken as t inner join matching.now_up as n on t.replay_id = n.replay_id;

update matching.book_money as m set left_minor = m.left_minor - t.amount_minor
from matching.taken as t where m.replay_id = t.replay_id and m.receipt_key = t.receipt_key
"""

# What may be charged back: the row's amount, up to what is left of the payment after reversals and earlier chargebacks.
_CHARGE = """
create or replace table matching.charged as
with known as (
    select n.replay_id, sum(m.known_minor) as minor
    from matching.now_up as n
    inner join matching.returned_rows as r on n.returned_by = r.payment_id
    inner join matching.receipts as p on r.reverses_payment_id = p.payment_id
    inner join matching.book_known as m on n.replay_id = m.replay_id and p.receipt_key = m.receipt_key
    where n.kind = 'chargeback'
    group by n.replay_id
),

earlier as (
    select n.replay_id, sum(c.amount_minor) as minor
    from matching.now_up as n
    inner join matching.returned_rows as r on n.returned_by = r.payment_id
    inner join matching.book_charges as c on n.replay_id = c.replay_id and r.reverses_payment_id = c.payment_id
    where n.kind = 'chargeback' and c.problem is null
    group by n.replay_id
)

select
    n.replay_id,
    n.event_key,
    n.returned_by,
    n.on_date,
    r.reverses_payment_id as payment_id,
    greatest(0, least(r.amount_minor, coalesce(k.minor, 0) - coalesce(e.minor, 0)))::bigint as minor
from matching.now_up as n
inner join matching.returned_rows as r on n.returned_by = r.payment_id
left join known as k on n.replay_id = k.replay_id
left join earlier as e on n.replay_id = e.replay_id
where n.kind = 'chargeback'
"""
_OWN_MONEY = """
select c.replay_id, m.receipt_key, -m.receipt_key as place, m.left_minor
from matching.charged as c
inner join matching.receipts as p on c.payment_id = p.payment_id
inner join matching.book_money as m on c.replay_id = m.replay_id and p.receipt_key = m.receipt_key
where m.left_minor > 0
"""
# commitment_key 0: covered by the payment's own money
_CHARGE_OWN = """
insert into matching.book_charges
select c.replay_id, c.event_key, c.returned_by, c.payment_id, 0, sum(t.amount_minor), null
from matching.charged as c inner join matching.taken as t on c.replay_id = t.replay_id
group by c.replay_id, c.event_key, c.returned_by, c.payment_id;

create or replace table matching.charged_commitments as
with covered as (select replay_id, sum(amount_minor) as minor from matching.taken group by replay_id),

paid as (
    select c.replay_id, v.commitment_key, max(a.installment_key) as last_key, sum(a.amount_minor) as minor
    from matching.charged as c
    inner join matching.receipts as p on c.payment_id = p.payment_id
    inner join matching.replayed_applied as a on c.replay_id = a.replay_id and p.receipt_key = a.receipt_key
    inner join matching.version_keys as v on a.version_key = v.version_key
    group by all
),

earlier as (
    select c.replay_id, g.commitment_key, sum(g.amount_minor) as minor
    from matching.charged as c
    inner join matching.book_charges as g on c.replay_id = g.replay_id and c.payment_id = g.payment_id
    where g.commitment_key > 0 and g.problem is null
    group by all
),

chargeable as (
    select p.replay_id, p.commitment_key, p.last_key, p.minor - coalesce(e.minor, 0) as minor
    from paid as p left join earlier as e on p.replay_id = e.replay_id and p.commitment_key = e.commitment_key
    where p.minor > coalesce(e.minor, 0)
),

placed as (
    select
        c.*,
        h.commitment_key,
        h.minor as chargeable_minor,
        c.minor - coalesce(o.minor, 0) as rest_minor,
        sum(h.minor) over by_line - h.minor as before_minor,
        row_number() over by_line as rank
    from matching.charged as c
    left join covered as o on c.replay_id = o.replay_id
    inner join chargeable as h on c.replay_id = h.replay_id
    window by_line as (partition by c.replay_id order by h.last_key desc rows unbounded preceding)
)

select
    p.* exclude (minor, chargeable_minor, rest_minor, before_minor),
    least(p.chargeable_minor, p.rest_minor - p.before_minor)::bigint as minor,
    v.version_key
from placed as p
left join matching.version_keys as v
    on p.commitment_key = v.commitment_key and p.on_date >= v.effective_from and (v.effective_to is null or p.on_date < v.effective_to)
where p.before_minor < p.rest_minor
"""
_COMMITMENT_MONEY = """
select distinct c.replay_id, m.receipt_key, m.receipt_key as place, m.left_minor
from matching.charged_commitments as c
inner join matching.book_members as t on c.commitment_key = t.commitment_key
inner join matching.book_money as m
    on c.replay_id = m.replay_id and (m.target_id = t.target_id or m.spill_target_id = t.target_id) and m.receipt_key < c.event_key
where c.rank = {rank} and c.version_key is not null and m.left_minor > 0
"""
_DEBIT = """
insert into matching.book_charges
select
    c.replay_id,
    c.event_key,
    c.returned_by,
    c.payment_id,
    c.commitment_key,
    c.minor,
    case
        when c.version_key is null
            then 'Commitment ' || v.commitment_id || ' was not in force on ' || strftime(c.on_date, '%-d %b %Y')
                || ': nothing is owed under it any more.'
    end
from matching.charged_commitments as c
inner join matching.version_keys as v on c.commitment_key = v.version_key
where c.rank = {rank};

create or replace table matching.debited as
with covered as (select replay_id, sum(amount_minor) as minor from matching.taken group by replay_id)

select
    c.replay_id,
    c.event_key,
    c.returned_by,
    c.version_key,
    l.installment_key,
    c.on_date,
    (c.minor - coalesce(o.minor, 0))::bigint as minor
from matching.charged_commitments as c
left join covered as o on c.replay_id = o.replay_id
inner join matching.debit_lines as l on c.version_key = l.version_key and c.on_date = l.debited_on
where c.rank = {rank} and c.minor > coalesce(o.minor, 0);

insert into matching.book_debits from matching.debited;

update matching.book_dues as d set left_minor = d.left_minor + n.minor
from matching.debited as n where d.replay_id = n.replay_id and d.installment_key = n.installment_key
"""
_REFUNDED = """
select n.replay_id, m.receipt_key, m.receipt_key as place, m.left_minor
from matching.now_up as n
inner join matching.returned_rows as r on n.returned_by = r.payment_id
inner join matching.book_money as m on n.replay_id = m.replay_id and m.receipt_key < n.event_key
inner join matching.receipts as p on m.receipt_key = p.receipt_key
where n.kind = 'refund' and (r.reverses_payment_id is null or r.reverses_payment_id = p.payment_id) and m.left_minor > 0
"""

# Of what a replay makes only the models and what they show is read later; a large book must not hold the rest until the stage is written.
_TABLES_THERE = "select table_name from duckdb_tables() where database_name = current_database() and schema_name = 'matching'"


def replay_groups(con: "duckdb.DuckDBPyConnection") -> None:
    """Replay every group of matching.groups: first as it holds today, then each epoch before a reversal.

    Fills group_applied and what group_returns, group_charges and group_debits of schema matching show.
    """
    (overlap,) = (model.sql for model in stage_models("matching") if model.table == "applied")
    con.execute(_TABLES)
    con.execute("drop view if exists matching.turn_money; drop view if exists matching.turn_dues")
    _replay(con, overlap, _FINAL_REPLAYS)
    con.execute(_USED)
    _replay(con, overlap, _EPOCH_REPLAYS)
    models = {model.table for model in stage_models("matching")} - {"turn_money", "turn_dues"}
    con.execute("drop view if exists matching.book_before")
    for (table,) in con.execute(_TABLES_THERE).fetchall():
        if table not in models | {"book_returns", "book_charges", "book_debits"}:
            con.execute(f"drop table matching.{table}")


def _replay(con: "duckdb.DuckDBPyConnection", overlap: str, replays: str) -> None:
    con.execute(_FOR_ROUNDS.format(replays=replays))
    if _any(con, "from matching.book_replays"):
        con.execute(_BOOKS)
        con.execute(_STATE)
        settle(con, overlap)
    con.execute(_FOR_TURNS.format(replays=replays))
    _take_turns(con, overlap)


def _take_turns(con: "duckdb.DuckDBPyConnection", overlap: str) -> None:
    con.execute(_BOOKS)
    con.execute(_EVENTS)
    turns = con.execute("select turn, list_sort(list(distinct kind)) from matching.book_events group by turn order by turn").fetchall()
    if turns:
        con.execute(_STATE)
        con.execute(_KNOWN)
    for turn, kinds in turns:
        if turn % _FORGET_EVERY == 0:
            con.execute(_FORGET.format(turn=turn - 1))
        con.execute(_MONEY.format(turn=turn))
        if {"credit", "payment", "rest"} & set(kinds):
            _apply(con, overlap)
        if "chargeback" in kinds:
            _charge_back(con)
        if "refund" in kinds:
            wanted = (
                "select n.replay_id, r.amount_minor as minor from matching.now_up as n"
                " inner join matching.returned_rows as r on n.returned_by = r.payment_id where n.kind = 'refund'"
            )
            con.execute(_TAKE.format(sources=_REFUNDED, wanted=wanted))


def _apply(con: "duckdb.DuckDBPyConnection", overlap: str) -> None:
    if not _any(con, "select 1 from matching.lines"):  # most credit has been used, most exact amounts leave nothing
        return
    con.execute(_DUES)
    if _any(con, "select 1 from matching.candidates where step = 2"):
        con.execute(_SPREAD_START)
        while True:
            con.execute(_SPREAD_ROUND)
            if not _any(con, "select 1 from matching.spread_takes"):
                break
            con.execute(_SPREAD_STEP)
        con.execute(_SPREAD_END)
    con.execute(_LINES)
    con.execute(f"create or replace table matching.turn_applied as\n{overlap}")
    con.execute(_RECORD)


def _charge_back(con: "duckdb.DuckDBPyConnection") -> None:
    con.execute(_CHARGE)
    con.execute(_TAKE.format(sources=_OWN_MONEY, wanted="select replay_id, minor from matching.charged"))
    con.execute(_CHARGE_OWN)
    (ranks,) = con.execute("select coalesce(max(rank), 0) from matching.charged_commitments").fetchall()[0]
    for rank in range(1, ranks + 1):
        wanted = f"select replay_id, minor from matching.charged_commitments where rank = {rank} and version_key is not null"
        con.execute(_TAKE.format(sources=_COMMITMENT_MONEY.format(rank=rank), wanted=wanted))
        con.execute(_DEBIT.format(rank=rank))


def _any(con: "duckdb.DuckDBPyConnection", query: str) -> bool:
    return bool(con.execute(f"select exists({query})").fetchall()[0][0])


PYTHON_STEPS: dict[str, PythonStep] = {"group_applied": replay_groups, **SUGGESTION_STEPS}
