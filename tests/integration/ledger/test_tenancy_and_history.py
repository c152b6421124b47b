"""Row-level security, append-only tables and the audit chain, held for any client of the app role."""

from uuid import uuid4

import psycopg
import pytest
from psycopg import sql

from ptp_pipeline.errors import Refused
from ptp_pipeline.ledger import audit, orgs, overrides
from ptp_pipeline.ledger.connection import Actor

OPERATOR = Actor("operator", "admin", "operator", "cli")
# The only table without an org: which migrations were applied. The app role cannot read it either.
NOT_OF_AN_ORG = {"schema_migration"}


def org_tables(con) -> list[str]:
    return [
        name
        for (name,) in con.execute(
            "select c.relname from pg_class c join pg_namespace n on n.oid = c.relnamespace where n.nspname = 'ptp' and c.relkind"
            " in ('r', 'p')"
        ).fetchall()
        if name not in NOT_OF_AN_ORG
    ]


def test_every_table_has_forced_row_level_security_keyed_to_the_org(desk):
    with desk.raw() as con:
        unprotected = con.execute(
            "select c.relname from pg_class c join pg_namespace n on n.oid = c.relnamespace where n.nspname = 'ptp' and c.relkind"
            " in ('r', 'p')"
            " and c.relname <> all (%s) and not (c.relrowsecurity and c.relforcerowsecurity and exists ("
            "   select from pg_policy p where p.polrelid = c.oid and p.polcmd = '*' and p.polroles = '{0}'"
            "   and pg_get_expr(p.polqual, p.polrelid) like '%%org_id = ptp.current_org()%%'"
            "   and pg_get_expr(p.polwithcheck, p.polrelid) like '%%org_id = ptp.current_org()%%'))",
            [list(NOT_OF_AN_ORG)],
        ).fetchall()
        assert unprotected == []
        assert len(org_tables(con)) > 15


def test_views_run_with_the_rights_of_who_asks(desk):
    with desk.raw() as con:
        careless = con.execute(
            "select c.relname from pg_class c join pg_namespace n on n.oid = c.relnamespace where n.nspname = 'ptp' and c.relkind"
            " in ('v', 'm')"
            " and not coalesce('security_invoker=true' = any (c.reloptions), false)"
        ).fetchall()
    assert careless == []


def test_functions_with_the_owners_rights_fix_their_search_path_and_only_the_intended_can_be_called(desk):
    with desk.raw() as con:
        loose = con.execute(
            "select p.proname from pg_proc p join pg_namespace n on n.oid = p.pronamespace where n.nspname = 'ptp' and p.prosecdef"
            " and not coalesce('search_path=ptp, pg_temp' = any (p.proconfig), false)"
        ).fetchall()
        callable_by_app = {
            name
            for (name,) in con.execute(
                "select p.proname from pg_proc p join pg_namespace n on n.oid = p.pronamespace where n.nspname = 'ptp' and p.prosecdef"
                " and p.prorettype <> 'trigger'::regtype and has_function_privilege('ptp_app', p.oid, 'execute')"
            ).fetchall()
        }
    assert loose == []
    assert callable_by_app == {
        "sign_in_with_token", "sign_in_with_password", "acting", "add_user", "set_password", "set_active", "add_token", "change_policy",
        "decide", "issue_code", "note", "redeem_code", "refresh_statistics",
    }  # fmt: skip


def test_the_app_role_is_no_superuser_and_owns_nothing(desk):
    with desk.raw() as con:
        flags = con.execute(
            "select rolsuper, rolbypassrls, rolcreaterole, rolcreatedb from pg_roles where rolname in ('ptp_app', 'ptp_ops')"
        ).fetchall()
        owners = con.execute(
            "select distinct pg_get_userbyid(c.relowner) from pg_class c join pg_namespace n on n.oid = c.relnamespace where"
            " n.nspname = 'ptp'"
        ).fetchall()
    assert flags == [(False,) * 4] * 2
    assert owners == [("ptp_owner",)]


@pytest.fixture
def neighbour(desk):
    """Another org with the same ids in it."""
    other = f"org{uuid4().hex[:10]}"
    orgs.create_org(desk.ledger, other, OPERATOR)
    team = type(desk)(desk.ledger, other)
    team.hire("cara", "collector")
    team.log("PLAN-1")
    return team


def test_an_org_sees_and_writes_nothing_of_another(desk, neighbour):
    with desk.raw(signed_in="cara") as con:
        for table in org_tables(con):
            if con.execute("select has_any_column_privilege('ptp_app', %s, 'select')", [f"ptp.{table}"]).fetchone() == (True,):
                found = con.execute(
                    sql.SQL("select count(org_id) from ptp.{} where org_id <> %s").format(sql.Identifier(table)), [desk.org]
                )
                assert found.fetchone() == (0,), table
        with pytest.raises(psycopg.Error, match="row-level security"):
            con.execute(
                "insert into ptp.commitment (org_id, commitment_id, kind, customer_id, currency, source) values (%s, 'X', 'plan',"
                " 'C', 'USD', 'cli')",
                [neighbour.org],
            )


def test_without_an_org_nothing_is_seen(desk, neighbour):
    with desk.raw(org="") as con:
        for table in ("org", "app_user", "commitment", "audit_event"):
            assert con.execute(sql.SQL("select count(org_id) from ptp.{}").format(sql.Identifier(table))).fetchone() == (0,)


def test_the_same_ids_in_two_orgs_do_not_meet(desk, neighbour):
    assert desk.log("PLAN-1").status == "pending_approval"


def test_the_operator_lists_orgs_and_sees_no_rows_of_theirs(desk, neighbour):
    listed = {row.org_id for row in orgs.list_orgs(desk.ledger)}
    assert {desk.org, neighbour.org} <= listed
    with desk.ledger.operator(OPERATOR) as tx:
        assert tx.one("select count(user_name) as n from ptp.app_user") == {"n": 0}
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            tx.execute("select * from ptp.commitment")


def test_an_org_is_created_once_and_its_policy_holds_from_the_beginning(desk):
    with pytest.raises(Refused, match="already an org"):
        orgs.create_org(desk.ledger, desk.org, OPERATOR)
    with pytest.raises(psycopg.Error), desk.as_("cara") as tx:
        tx.execute("select ptp.create_org('sneaky', '{}')")


def test_history_is_not_rewritten(desk, settings):
    """As the tables' owner, who has every privilege: the trigger stands where privileges would not."""
    desk.log("PLAN-1")
    with psycopg.connect(**desk.ledger._admin) as con:
        guarded = [
            name
            for (name,) in con.execute(
                "select c.relname from pg_trigger t join pg_class c on c.oid = t.tgrelid where t.tgname = 'append_only' order by 1"
            ).fetchall()
        ]
        assert {"approval", "audit_event", "build", "commitment", "commitment_event", "commitment_version", "outbox_attempt",
             "payment_override",
                "policy_version", "received_file", "transition"} <= set(guarded)  # fmt: skip
        for table in guarded:
            for statement in ("update ptp.{} set org_id = org_id", "delete from ptp.{}", "truncate ptp.{} cascade"):
                with pytest.raises(psycopg.Error, match="append-only") as error, con.transaction():
                    con.execute(sql.SQL(statement).format(sql.Identifier(table)))
                assert error.value.sqlstate == "PT004"


def test_the_app_role_may_change_only_what_is_meant_to_change(desk):
    with desk.raw() as con:
        changeable = con.execute(
            "select table_name, column_name from information_schema.column_privileges where table_schema = 'ptp' and grantee = 'ptp_app'"
            " and privilege_type = 'UPDATE' and table_name <> 'run_lock_holder' order by 1, 2"
        ).fetchall()
        removable = con.execute(
            "select table_name from information_schema.table_privileges where table_schema = 'ptp' and grantee in ('ptp_app',"
            " 'ptp_ops', 'PUBLIC')"
            " and privilege_type in ('DELETE', 'TRUNCATE', 'TRIGGER', 'REFERENCES')"
        ).fetchall()
    assert changeable == [
        ("outbox", column) for column in ("attempts", "claimed_until", "due_at", "first_tried_at", "last_error", "sent_at", "status")
    ]
    assert removable == [("run_lock_holder",)]


def test_the_audit_chain_verifies_and_a_rewrite_shows(desk):
    desk.log("PLAN-1")
    with desk.as_("cara") as tx:
        good = audit.verify(tx)
        overrides.set_target(tx, "PAY-1", "PLAN-1", "customer said so")
        after = audit.verify(tx)
    assert (good.first_bad_seq, after.first_bad_seq, after.events) == (None, None, good.events + 1)
    with psycopg.connect(**desk.ledger._admin) as con:
        con.execute("alter table ptp.audit_event disable trigger user")
        con.execute("update ptp.audit_event set reason = 'something nicer' where org_id = %s and seq = %s", [desk.org, good.events])
        con.execute("alter table ptp.audit_event enable trigger user")
    with desk.as_("cara") as tx:
        assert audit.verify(tx).first_bad_seq == good.events


def test_audit_events_say_who_whatever_the_client_writes(desk):
    with desk.raw(actor="sue", role="supervisor", signed_in="cara") as con:
        con.execute("select ptp.note('file.rejected', 'file', '{f}', 'x', null, array[null::jsonb])")
        con.commit()
    with desk.as_("cara") as tx:
        event = audit.show(tx)[-1]
        assert (event.actor, event.role, event.auth, event.origin) == ("cara", "collector", "token", "psql")
        assert audit.verify(tx).first_bad_seq is None


def test_parallel_acts_make_one_unbroken_chain(desk):
    from concurrent.futures import ThreadPoolExecutor

    def act(number):
        with desk.as_("cara") as tx:
            overrides.set_target(tx, f"PAY-{number}", None, "not ours")

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(act, range(12)))
    with desk.as_("cara") as tx:
        assert audit.verify(tx).first_bad_seq is None
        assert len(audit.show(tx, action="override.set")) == 12


def test_an_act_without_an_actor_is_refused(desk):
    with pytest.raises(Refused, match="Nobody is named"), desk.as_(Actor("", "", "", "")) as tx:
        audit.record(tx, "file.rejected", "file", "x")
