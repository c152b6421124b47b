"""Users, passwords, tokens; policies by version and day."""

import datetime as dt

import psycopg
import pytest

from ptp_pipeline.domain.policy import PolicyError
from ptp_pipeline.errors import Refused, UsageError
from ptp_pipeline.ledger import audit, orgs, policies, users
from ptp_pipeline.ledger.connection import Actor

OPERATOR = Actor("operator", "operator", "operator", "cli")
PASSWORD = "correct horse battery"


def test_a_token_names_its_person_in_its_org_only(desk):
    with desk.operator() as tx:
        token = users.issue_token(tx, "cara")
    who = users.authenticate_token(desk.ledger, desk.org, token, "cli")
    assert (who.name, who.role, who.auth, who.origin) == ("cara", "collector", "token", "cli")
    for wrong in (token[:-1] + ("0" if token[-1] != "0" else "1"), "ptp_x_y", "", token.replace("ptp_", "ptp_0")):
        with pytest.raises(Refused, match="not valid here"):
            users.authenticate_token(desk.ledger, desk.org, wrong, "cli")
    for elsewhere in ("no-such-org", other_org(desk)):
        with pytest.raises(Refused, match="not valid here"):
            users.authenticate_token(desk.ledger, elsewhere, token, "cli")


def everything_stored(desk):
    """Every text of every table of the ledger, read as the server's superuser."""
    with psycopg.connect(**desk.ledger._admin) as con:
        tables = con.execute("select tablename from pg_tables where schemaname = 'ptp'").fetchall()
        return str(
            [con.execute(psycopg.sql.SQL("select t::text from ptp.{} t").format(psycopg.sql.Identifier(t))).fetchall() for (t,) in tables]
        )


def other_org(desk):
    from uuid import uuid4

    name = f"org{uuid4().hex[:10]}"
    orgs.create_org(desk.ledger, name, OPERATOR)
    return name


def test_an_expired_token_is_worth_nothing(desk):
    import hashlib

    token = "ptp_old_secret"
    with desk.operator() as tx:
        tx.execute(
            "select ptp.add_token(null, 'cara', 'old', %s, now() - interval '1 second')", [hashlib.sha256(token.encode()).hexdigest()]
        )
    with pytest.raises(Refused):
        users.authenticate_token(desk.ledger, desk.org, token, "cli")


def test_a_deactivated_person_is_out_at_once(desk):
    with desk.operator() as tx:
        token = users.issue_token(tx, "cara")
        users.deactivate(tx, "cara", "left")
    with pytest.raises(Refused):
        users.authenticate_token(desk.ledger, desk.org, token, "cli")


def test_logins_and_refused_ones_are_recorded_without_the_secret(desk):
    with desk.operator() as tx:
        token = users.issue_token(tx, "cara")
    users.authenticate_token(desk.ledger, desk.org, token, "desk")
    with pytest.raises(Refused):
        users.authenticate_token(desk.ledger, desk.org, "ptp_abc_wrong", "desk")
    with desk.as_("cara") as tx:
        accepted, refused = audit.show(tx, action="login.")[-2:]
        stored = str(tx.all("select * from ptp.audit_event"))
    assert (accepted.action, accepted.actor, accepted.origin) == ("login.accepted", "cara", "desk")
    assert (refused.action, refused.actor, refused.object_id) == ("login.refused", "unknown", "abc")
    assert token.split("_")[2] not in stored


def test_a_proof_does_not_show_when_an_actor_is_printed(desk):
    assert "proof" not in repr(desk.people["sue"])
    assert desk.people["sue"].proof not in str(desk.people["sue"])


def test_passwords_are_checked_changed_and_never_stored(desk):
    with desk.operator() as tx:
        users.add_user(tx, "pat", "supervisor", PASSWORD, "pat@example.com")
    who = users.check_password(desk.ledger, desk.org, "pat", PASSWORD, "desk")
    assert (who.name, who.role, who.auth) == ("pat", "supervisor", "password")
    assert PASSWORD not in everything_stored(desk)
    for name, password in (("pat", "wrong password"), ("nobody", PASSWORD)):
        with pytest.raises(Refused, match="User name or password is wrong"):
            users.check_password(desk.ledger, desk.org, name, password, "desk")
    with desk.as_(who) as tx:
        users.set_password(tx, "pat", "another fine password")
    with pytest.raises(Refused):
        users.check_password(desk.ledger, desk.org, "pat", PASSWORD, "desk")
    users.check_password(desk.ledger, desk.org, "pat", "another fine password", "desk")


def test_one_person_does_not_set_anothers_password_or_take_a_token_in_his_name(desk):
    boss = desk.hire("adam", "admin")
    for who in (boss, "cara"):
        with pytest.raises(Refused, match="may not do this"), desk.as_(who) as tx:
            users.set_password(tx, "sue", PASSWORD)
        with pytest.raises(Refused, match="may not do this"), desk.as_(who) as tx:
            users.issue_token(tx, "sue")
    with desk.as_("cara") as tx:
        assert users.issue_token(tx, "cara").startswith("ptp_")


def test_an_admin_adds_people_and_others_do_not(desk):
    boss = desk.hire("adam", "admin")
    with desk.as_(boss) as tx:
        users.add_user(tx, "pat", "collector", PASSWORD)
        assert [u.user_name for u in users.list_users(tx)] == ["adam", "ann", "cara", "con", "pat", "sam", "sue"]
    with pytest.raises(Refused, match="already a user pat"), desk.operator() as tx:
        users.add_user(tx, "pat", "collector", PASSWORD)
    with pytest.raises(Refused, match="sue is a supervisor and may not do this"), desk.as_("sue") as tx:
        users.add_user(tx, "eve", "supervisor", PASSWORD)


@pytest.mark.parametrize(
    ("name", "role", "password"), [("Bad Name", "collector", PASSWORD), ("policy", "supervisor", PASSWORD), ("pat", "boss", PASSWORD),
    ("pat", "collector", "short")]
)  # fmt: skip
def test_silly_users_are_refused_in_words(desk, name, role, password):
    with desk.operator() as tx, pytest.raises(UsageError):
        users.add_user(tx, name, role, password)


def test_a_policy_change_is_a_new_version_from_a_day_on(desk):
    with desk.operator() as tx:
        policies.change(tx, {"grace_days": "5"}, "spring campaign", dt.date(2026, 3, 1))
        assert [policies.current(tx, on).grace_days for on in (dt.date(2026, 2, 28), dt.date(2026, 3, 1))] == [0, 5]
        assert policies.current(tx).grace_days == 5
        event = audit.show(tx, action="policy.changed")[-1]
    assert (event.before, event.after) == ({"grace_days": 0}, {"grace_days": 5, "effective_from": "2026-03-01"})


def test_a_wrong_policy_is_not_stored(desk):
    with desk.operator() as tx:
        with pytest.raises(PolicyError, match="nearest is 'grace_days'"):
            policies.change(tx, {"grace_day": 5}, "typo")
        with pytest.raises(UsageError, match="nothing to change"):
            policies.change(tx, {}, "nothing")
        assert policies.with_version(tx)[0] == 1


def test_an_org_has_a_sane_name_and_a_sane_first_policy(desk):
    with pytest.raises(UsageError, match="cannot be the name"):
        orgs.create_org(desk.ledger, "../etc", OPERATOR)
    with pytest.raises(PolicyError, match="Europe/Berlin"):
        orgs.create_org(desk.ledger, "berlin", OPERATOR, timezone="Europe/Berln")
    with desk.ledger.operator(OPERATOR) as tx, pytest.raises(psycopg.errors.CheckViolation):
        tx.execute("select ptp.create_org('../etc', '{}')")
