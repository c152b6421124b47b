"""Turns of the matching stage after the first: the loop around sql/warehouse/matching/applied.sql.

Most groups of payments are done in one turn, by the SQL alone. Customers with shared money (route oldest_due, or what an
exact amount leaves over) and renegotiated commitments need several, in order. How money is applied stays in applied.sql;
here is only whose turn it is.
"""

from typing import TYPE_CHECKING

from ptp_pipeline.warehouse.models import PythonStep, stage_models

if TYPE_CHECKING:
    import duckdb

# Copies of what the groups still waiting need: a turn must not cost a scan of a book of millions.
_WAITING = """
create table matching.waiting_turns as
select * from matching.turns where turn > 1 order by turn;

create table matching.waiting_entries as
select replay_id, target_id, payment_key, received_date, amount_minor
from matching.entries where replay_id in (select replay_id from matching.waiting_turns)
union all
select e.replay_id, s.target_id, e.payment_key, e.received_date, e.amount_minor
from matching.entries as e inner join matching.spills as s on e.payment_key = s.payment_key
where e.replay_id in (select replay_id from matching.waiting_turns);

create table matching.waiting_applied as
select * from matching.applied where replay_id in (select replay_id from matching.waiting_turns);
"""

# A new version's credit is what payments, which could have paid an earlier version, have left when its turn comes. One payment may
# have two targets that could (waiting_entries), but has its money once.
_MONEY = """
create or replace table matching.turn_money as
with now_up as (
    select replay_id, target_id, payment_key, amount_minor
    from matching.waiting_turns
    where turn = {turn}
),

offered as (
    select replay_id, target_id, payment_key, amount_minor
    from now_up
    where payment_key is not null
    union all
    select distinct n.replay_id, n.target_id, e.payment_key, e.amount_minor
    from now_up as n
    inner join matching.version_keys as v on n.target_id = v.version_key
    inner join matching.credit_sources as s on v.version_key = s.version_key
    inner join matching.waiting_entries as e on n.replay_id = e.replay_id and s.target_id = e.target_id
    where n.payment_key is null and e.received_date < v.effective_from
),

spent as (
    select replay_id, payment_key, sum(amount_minor) as amount_minor
    from matching.waiting_applied
    where replay_id in (select replay_id from now_up)
    group by replay_id, payment_key
)

select o.replay_id, o.target_id, o.payment_key, (o.amount_minor - coalesce(s.amount_minor, 0))::bigint as amount_minor
from offered as o
left join spent as s on o.replay_id = s.replay_id and o.payment_key = s.payment_key
where o.amount_minor > coalesce(s.amount_minor, 0)
"""

_DUES = """
create or replace table matching.turn_dues as
with targets as (
    select distinct replay_id, target_id
    from matching.turn_money
),

paid as (
    select replay_id, installment_key, sum(amount_minor) as amount_minor
    from matching.waiting_applied
    where replay_id in (select replay_id from targets)
    group by replay_id, installment_key
)

select t.replay_id, t.target_id, d.installment_key, (d.amount_minor - coalesce(p.amount_minor, 0))::bigint as amount_minor
from targets as t
inner join matching.target_members as m on t.target_id = m.target_id
inner join matching.dues as d on m.version_key = d.version_key
left join paid as p on t.replay_id = p.replay_id and d.installment_key = p.installment_key
where d.amount_minor > coalesce(p.amount_minor, 0)
"""


def apply_later_turns(con: "duckdb.DuckDBPyConnection") -> None:
    """Apply the second turn and those after it, one of every group at a time. Needs `matching.applied` with the first."""
    (one_turn,) = (model.sql for model in stage_models("matching") if model.table == "applied")
    con.execute(_WAITING)
    (last_turn,) = con.execute("select coalesce(max(turn), 0) from matching.waiting_turns").fetchall()[0]
    for turn in range(2, last_turn + 1):
        (row_count,) = con.execute(_MONEY.format(turn=turn)).fetchall()[0]
        if row_count == 0:  # most exact amounts leave nothing over
            continue
        con.execute(_DUES)
        con.execute(f"create or replace table matching.turn_applied as\n{one_turn}")
        con.execute("insert into matching.waiting_applied select * from matching.turn_applied")
        con.execute("insert into matching.applied select * from matching.turn_applied")


PYTHON_STEPS: dict[str, PythonStep] = {"applied": apply_later_turns}
