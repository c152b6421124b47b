"""Row-level security, append-only tables and the audit chain, held for any client that knows a login's password."""

import re
from uuid import uuid4

import psycopg
import pytest
from psycopg import sql

from ptp_pipeline.errors import Refused
from ptp_pipeline.ledger import audit, orgs, overrides
from ptp_pipeline.ledger.connection import Actor

OPERATOR = Actor("operator", "operator", "operator", "cli")
PIPELINE = Actor("pipeline", "pipeline", "pipeline", "dagster")
LOGINS = ("ptp_app", "ptp_pipeline", "ptp_ops")
# Not keyed to an org: which migrations were applied (no login reads it), and who a connection is (it sees its own row).
KEYED_OTHERWISE = {"schema_migration": None, "visit": "backend = pg_backend_pid()"}
# The list of orgs, for the operator, who makes them.
ACROSS_ORGS = {("org", "operator_lists_orgs"), ("policy_version", "operator_reads_policies")}
MANAGING = {
    "add_user", "set_role", "set_email", "set_password", "set_active", "unlock", "locked_users", "add_token", "revoke_tokens",
    "list_tokens", "change_policy",
}  # fmt: skip
CALLABLE = {
    "ptp_app": {
        "enter", "sign_in_with_token", "present_password", "sign_in_with_password", "password_parameters", "acting", "note", "decide",
        "issue_code", "redeem_code", "beyond_open", *MANAGING,
    },
    "ptp_pipeline": {"enter", "note", "refresh_statistics", "beyond_open"},
    "ptp_ops": {"enter", "note", "create_org", *MANAGING},
}  # fmt: skip


# Not facts: who runs now, and what the current build says, which any build can say again.
REPLACED_BY_RUNS = {"run_lock_holder", "position_source", "invoice_position", "commitment_position"}


@pytest.fixture
def catalogue(desk):
    with desk.raw() as con:
        yield con


def org_tables(con) -> list[str]:
    return [
        name
        for (name,) in con.execute(
            "select c.relname from pg_class c where c.relnamespace = 'ptp'::regnamespace and c.relkind in ('r', 'p') order by 1"
        ).fetchall()
        if name not in KEYED_OTHERWISE
    ]


def test_every_table_belongs_to_orgs_or_is_on_the_short_list(catalogue):
    with_org = {
        name
        for (name,) in catalogue.execute(
            "select c.relname from pg_class c join pg_attribute a on a.attrelid = c.oid and a.attname = 'org_id' and a.attnotnull"
            " where c.relnamespace = 'ptp'::regnamespace and c.relkind in ('r', 'p')"
        ).fetchall()
    }
    assert set(org_tables(catalogue)) <= with_org
    assert len(with_org) > 20


def test_every_table_has_forced_row_level_security_and_no_other_kind_of_table_exists(catalogue):
    loose = catalogue.execute(
        "select c.relname, c.relkind from pg_class c where c.relnamespace = 'ptp'::regnamespace and c.relname <> 'schema_migration'"
        " and (c.relkind in ('f', 'm') or c.relkind in ('r', 'p') and not (c.relrowsecurity and c.relforcerowsecurity))"
    ).fetchall()
    assert loose == []


def test_every_policy_that_lets_rows_through_is_keyed_to_the_org_entered_and_every_login_has_one(catalogue):
    policies = catalogue.execute(
        "select c.relname, p.polname, p.polroles::regrole[]::text[], p.polcmd, pg_get_expr(p.polqual, p.polrelid),"
        " pg_get_expr(p.polwithcheck, p.polrelid) from pg_policy p join pg_class c on c.oid = p.polrelid"
        " where c.relnamespace = 'ptp'::regnamespace and p.polpermissive"
    ).fetchall()
    entered = re.compile(
        r"\(org_id = \( SELECT a\.org_id\s+FROM ptp\.visit a\s+WHERE \(\(a\.backend = pg_backend_pid\(\)\) AND \(a\.in_transaction ="
        r" pg_current_xact_id_if_assigned\(\)\) AND \(a\.began_at = now\(\)\)( AND a\.is_inside)?\)\)\)"
    )
    covered = set()
    for table, name, roles, command, using, check in policies:
        if table in KEYED_OTHERWISE:
            assert using == check == f"({KEYED_OTHERWISE[table]})"
        elif (table, name) not in ACROSS_ORGS:
            found = entered.fullmatch(using)
            assert found, (table, name, using)
            assert check == using
            assert command == "*"
            assert found[1] or roles == ["ptp_owner"], f"{name} of {table} shows rows at the door"
            covered |= {(table, role) for role in roles}
        else:
            assert (roles, command) == (["ptp_ops"], "r")
    assert covered == {(table, role) for table in org_tables(catalogue) for role in ("ptp_owner", *LOGINS)}


def test_views_run_with_the_rights_of_who_asks(catalogue):
    careless = catalogue.execute(
        "select c.relname from pg_class c where c.relnamespace = 'ptp'::regnamespace and c.relkind = 'v'"
        " and not coalesce('security_invoker=true' = any (c.reloptions), false)"
    ).fetchall()
    assert careless == []


def test_functions_with_the_owners_rights_fix_their_search_path_and_only_the_intended_can_be_called(catalogue):
    loose = catalogue.execute(
        "select p.proname from pg_proc p where p.pronamespace = 'ptp'::regnamespace and p.prosecdef"
        " and not coalesce('search_path=ptp, pg_temp' = any (p.proconfig), false)"
    ).fetchall()
    assert loose == []
    open_to_all = catalogue.execute(
        "select p.proname from pg_proc p where p.pronamespace = 'ptp'::regnamespace and exists (select from aclexplode("
        " coalesce(p.proacl, acldefault('f', p.proowner))) as a where a.grantee = 0)"
    ).fetchall()
    assert open_to_all == []
    for login, expected in CALLABLE.items():
        callable_by_it = {
            name
            for (name,) in catalogue.execute(
                "select p.proname from pg_proc p where p.pronamespace = 'ptp'::regnamespace and p.prosecdef"
                " and p.prorettype <> 'trigger'::regtype and has_function_privilege(%s, p.oid, 'execute')",
                [login],
            ).fetchall()
        }
        assert callable_by_it == expected, login


def test_the_logins_are_no_superusers_belong_to_no_other_role_and_own_nothing(catalogue):
    flags = catalogue.execute(
        "select rolname from pg_roles r where rolname = any (%s)"
        " and (rolsuper or rolbypassrls or rolcreaterole or rolcreatedb or rolreplication"
        " or exists (select from pg_auth_members m where m.member = r.oid))",
        [list(LOGINS)],
    ).fetchall()
    assert flags == []
    owners = catalogue.execute("select distinct pg_get_userbyid(c.relowner) from pg_class c where c.relnamespace = 'ptp'::regnamespace")
    assert owners.fetchall() == [("ptp_owner",)]


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


def readable(con, login) -> list[str]:
    return [
        t for t in org_tables(con) if con.execute("select has_any_column_privilege(%s, %s, 'select')", [login, f"ptp.{t}"]).fetchone()[0]
    ]


def test_without_an_org_nothing_is_seen_by_anybody(desk, neighbour):
    for login in LOGINS:
        with desk.raw(org="", login=login) as con:
            con.execute("select set_config('ptp.org_id', %s, true)", [desk.org])
            for table in set(readable(con, login)) - {table for table, _ in ACROSS_ORGS}:
                assert con.execute(sql.SQL("select count(org_id) from ptp.{}").format(sql.Identifier(table))).fetchone() == (0,)


@pytest.mark.parametrize("auth", ["token", "pipeline", "operator"])
def test_the_password_of_the_peoples_login_alone_shows_nothing_of_any_org(desk, auth):
    desk.log("PLAN-1")
    with desk.raw(actor="sue", auth=auth) as con:
        tables = readable(con, "ptp_app")
        assert {"org", "app_user", "commitment", "audit_event"} <= set(tables)
        for table in tables:
            assert con.execute(sql.SQL("select count(org_id) from ptp.{}").format(sql.Identifier(table))).fetchone() == (0,), table


def test_a_transaction_enters_one_org_once_and_its_settings_open_no_other(desk, neighbour):
    people = {"signed_in": "cara"}
    pipeline = {"actor": "pipeline", "role": "pipeline", "auth": "pipeline", "login": "ptp_pipeline"}
    operator = {"actor": "operator", "role": "operator", "auth": "operator", "login": "ptp_ops"}
    for who in (people, pipeline, operator):
        with desk.raw(**who) as con:
            con.execute("select set_config('ptp.org_id', %s, true)", [neighbour.org])
            assert con.execute("select distinct org_id from ptp.audit_event").fetchall() == [(desk.org,)]
            assert con.execute("select count(*) from ptp.commitment where org_id = ptp.current_org()").fetchone() == (0,)
            with pytest.raises(psycopg.Error, match="enters one org, once"), con.transaction():
                con.execute("select ptp.enter(%s, 'pipeline', 'pipeline', 'pipeline', 'x', '', '', null)", [neighbour.org])
            with pytest.raises(psycopg.Error), con.transaction():
                con.execute("select ptp.note('mail.sent', 'message', '{f}', '', null, array[null::jsonb])")
    with neighbour.as_("cara") as tx:
        assert audit.show(tx, action="mail.") == []


def test_a_run_works_for_the_org_it_was_first_seen_in_and_for_no_other(desk, neighbour):
    run = desk.ledger.during(uuid4().hex)
    for _ in range(2):
        with run.transaction(desk.org, PIPELINE) as tx:
            audit.record(tx, "mail.sent", "message", "x")
    with pytest.raises(Refused, match="works for another org"), run.transaction(neighbour.org, PIPELINE):
        pass
    with desk.as_("cara") as tx:
        assert [e.run for e in audit.show(tx, action="mail.")] == [run.run, run.run]
    with desk.ledger.transaction(neighbour.org, PIPELINE):
        pass


def test_the_same_ids_in_two_orgs_do_not_meet(desk, neighbour):
    assert desk.log("PLAN-1").status == "pending_approval"


def test_the_operator_lists_orgs_and_sees_the_rows_of_the_one_entered(desk, neighbour):
    desk.log("PLAN-2")
    listed = {row.org_id for row in orgs.list_orgs(desk.ledger)}
    assert {desk.org, neighbour.org} <= listed
    with desk.ledger.operator(OPERATOR) as tx:
        assert tx.one("select count(user_name) as n from ptp.app_user") == {"n": 0}
        assert tx.all("select * from ptp.commitment") == []
    with desk.operator() as tx:
        assert tx.all("select org_id, commitment_id from ptp.commitment") == [{"org_id": desk.org, "commitment_id": "PLAN-2"}]
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            tx.execute("update ptp.commitment set owner = 'me'")


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


def test_logins_write_only_what_is_theirs_to_write(settings, desk):
    """Asked as the superuser: information_schema shows a login its own grants only."""
    with psycopg.connect(**desk.ledger._admin) as con:
        granted = con.execute(
            "select grantee, privilege_type, table_name, case privilege_type when 'UPDATE' then array_agg(distinct column_name::text"
            " order by column_name::text) end from information_schema.column_privileges where table_schema = 'ptp' and grantee = any (%s)"
            " and privilege_type <> 'SELECT' group by 1, 2, 3",
            [[*LOGINS, "PUBLIC"]],
        ).fetchall()
        removable = con.execute(
            "select grantee, table_name from information_schema.table_privileges where table_schema = 'ptp' and grantee = any (%s)"
            " and privilege_type in ('DELETE', 'TRUNCATE', 'TRIGGER', 'REFERENCES')",
            [[*LOGINS, "PUBLIC"]],
        ).fetchall()
    inserts = {login: {t for who, act, t, _ in granted if (who, act) == (login, "INSERT")} for login in LOGINS}
    assert inserts == {
        "ptp_app": {"commitment", "commitment_version", "commitment_event", "payment_override"},
        "ptp_pipeline": {
            "commitment", "commitment_version", "feed_line", "received_file", "transition", "outbox", "outbox_attachment", "outbox_attempt",
            "build", *REPLACED_BY_RUNS,
        },
        "ptp_ops": {"outbox", "outbox_attachment"},
    }  # fmt: skip
    assert [(who, t, columns) for who, act, t, columns in granted if act == "UPDATE" and t not in REPLACED_BY_RUNS] == [
        ("ptp_pipeline", "outbox", ["attempts", "claimed_until", "due_at", "first_tried_at", "last_error", "sent_at", "status"])
    ]
    assert sorted(removable) == [("ptp_pipeline", table) for table in sorted(REPLACED_BY_RUNS)]


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
        con.execute("select ptp.note('payment.logged', 'payment', '{f}', 'x', null, array[null::jsonb])")
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
        audit.record(tx, "mail.sent", "message", "x")
