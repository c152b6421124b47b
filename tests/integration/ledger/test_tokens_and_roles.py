"""Tokens: what they are for, how long, and how they end. Roles: who gives them to whom, and that they hold at once."""

import datetime as dt

import psycopg
import pytest

from ptp_pipeline.errors import Refused, UsageError
from ptp_pipeline.ledger import approvals, audit, policies, users
from ptp_pipeline.ledger.connection import Actor


def token_for(desk, name, scopes=None, by=None):
    with desk.as_(by) if by else desk.operator() as tx:
        return users.issue_token(tx, name, 30, scopes)


def sign_in(desk, token):
    return users.authenticate_token(desk.ledger, desk.org, token, "cli")


def tokens(desk, name):
    with desk.as_("ann") as tx:
        return users.list_tokens(tx, name)


def test_a_token_is_for_all_of_the_role_unless_less_is_asked(desk):
    token_for(desk, "sue")
    token_for(desk, "sue", ["approve"])
    assert [t.scopes for t in tokens(desk, "sue")[1:]] == [["read", "log", "approve", "manage"], ["read", "approve"]]
    assert [t.scopes for t in tokens(desk, "cara")] == [["read", "log", "manage"]]
    assert [t.scopes for t in tokens(desk, "ann")] == [["read", "manage"]]


@pytest.mark.parametrize(("name", "scopes", "said"), [("cara", ["approve"], "the role collector is not"), ("ann", ["read", "log"], "log")])
def test_a_token_never_goes_beyond_the_role(desk, name, scopes, said):
    with pytest.raises(Refused, match=said):
        token_for(desk, name, scopes)


def test_a_token_to_read_logs_approves_and_manages_nothing(desk):
    desk.log("P-1")
    reader = sign_in(desk, token_for(desk, "sue", ["read"]))
    with desk.as_(reader) as tx:
        assert users.list_users(tx)
        assert audit.show(tx)
    for act in (
        lambda tx: approvals.decide(tx, [("P-1", 1)], "approve", "fine", "cli"),
        lambda tx: approvals.issue_code(tx, [("P-1", 1)]),
        lambda tx: users.issue_token(tx, "sue"),
        lambda tx: users.set_password(tx, "sue", "seven purple donkeys"),
        lambda tx: users.revoke_tokens(tx, "sue", None, "tidy"),
    ):
        with pytest.raises(Refused, match="it is for read, and this needs"), desk.as_(reader) as tx:
            act(tx)
    with pytest.raises(Refused, match="this needs log"):
        desk.log("P-2", reader)
    desk.decide(sign_in(desk, token_for(desk, "sue", ["approve"])), ("P-1", 1))
    assert desk.status("P-1") == "active"


def test_a_token_makes_no_token_that_is_for_more(desk):
    manager = sign_in(desk, token_for(desk, "sue", ["manage"]))
    with pytest.raises(Refused, match="the token it is made with is not"):
        token_for(desk, "sue", ["approve"], by=manager)
    token_for(desk, "sue", by=manager)
    assert tokens(desk, "sue")[-1].scopes == ["read", "manage"]


def test_a_promotion_does_not_widen_old_tokens_and_a_demotion_narrows_them_at_once(desk):
    desk.log("P-1", "con")
    old = sign_in(desk, token_for(desk, "cara"))
    with desk.operator() as tx:
        users.set_role(tx, "cara", "supervisor", "leads the team")
    with pytest.raises(Refused, match="this needs approve"), desk.as_(old) as tx:
        approvals.decide(tx, [("P-1", 1)], "approve", "fine", "cli")
    with desk.operator() as tx:
        users.set_role(tx, "sue", "analyst", "moves on")
    with pytest.raises(Refused, match="sue is an analyst"), desk.as_("sue") as tx:
        approvals.decide(tx, [("P-1", 1)], "approve", "fine", "cli")
    with pytest.raises(Refused, match="may not log"):
        desk.log("P-2", "sue")


def test_a_code_of_somebody_who_lost_the_role_decides_nothing(desk):
    desk.log("P-1")
    with desk.as_("sue") as tx:
        code = approvals.issue_code(tx, [("P-1", 1)])
    with desk.operator() as tx:
        users.set_role(tx, "sue", "collector", "moves on")
    with pytest.raises(Refused, match="only a supervisor"):
        approvals.decide_with_code(desk.ledger, desk.org, "sue", code, [("P-1", 1)], "approve", "fine", "cli")


def test_a_revoked_token_ends_at_once_with_what_was_signed_in_with_it(desk):
    token = token_for(desk, "cara")
    who, other = sign_in(desk, token), desk.people["cara"]
    token_id = token.split("_")[1]
    with desk.as_(other) as tx:
        assert users.revoke_tokens(tx, "cara", [token_id], "laptop lost") == 1
        assert users.revoke_tokens(tx, "cara", [token_id], "laptop lost") == 0
    with pytest.raises(Refused, match="not valid here"):
        sign_in(desk, token)
    with pytest.raises(Refused, match="has signed in"):
        desk.log("P-1", who)
    desk.log("P-1", other)
    with desk.as_("ann") as tx:
        (event,) = audit.show(tx, action="token.revoked")
    assert (event.actor, event.object_id, event.reason, event.after) == ("cara", "cara", "laptop lost", {"tokens": [token_id]})


def test_ones_own_tokens_and_anybodys_for_an_admin_are_revoked_and_nobody_elses(desk):
    boss = desk.hire("adam", "admin")
    (mine,) = tokens(desk, "sue")
    with pytest.raises(Refused, match="may not do this"), desk.as_("cara") as tx:
        users.revoke_tokens(tx, "sue", None, "spite")
    with pytest.raises(Refused, match="cara has no such token"), desk.as_("cara") as tx:
        users.revoke_tokens(tx, "cara", [mine.token_id], "trick")
    with desk.as_(boss) as tx:
        assert users.revoke_tokens(tx, "sue", None, "left her desk") == 1
    with pytest.raises(Refused, match="has signed in"):
        desk.log("P-1", "sue")


def test_the_list_of_tokens_says_when_each_was_used_and_never_its_secret(desk):
    token = token_for(desk, "cara")
    before, after = tokens(desk, "cara")[-1], sign_in(desk, token) and tokens(desk, "cara")[-1]
    assert (before.last_used_at, after.last_used_at is not None, after.issued_by) == (None, True, "operator")
    assert token.split("_")[2] not in str(after)
    operator = {"login": "ptp_ops", "actor": "operator", "role": "operator", "auth": "operator"}
    for who in ({"signed_in": "cara"}, operator):
        with desk.raw(**who) as con, pytest.raises(psycopg.errors.InsufficientPrivilege):
            con.execute("select secret_sha256 from ptp.user_token")


def test_who_has_not_signed_in_is_told_of_no_token_and_no_lock(desk):
    with desk.ledger.door(desk.org, Actor("unknown", "none", "password", "desk")) as tx:
        for n in range(5):
            tx.execute("select ptp.present_password('cara', %s)", [f"guess {n}"])
        assert tx.all("select * from ptp.list_tokens()") == tx.all("select * from ptp.locked_users()") == []
    with desk.as_("ann") as tx:
        assert users.list_tokens(tx)
        assert [u.user_name for u in users.list_users(tx) if u.locked_until] == ["cara"]


def test_a_token_is_good_for_a_year_at_most_whoever_asks(desk):
    with pytest.raises(UsageError, match="400 days"), desk.operator() as tx:
        users.issue_token(tx, "cara", 400)
    with pytest.raises(Refused, match="a year at most"), desk.operator() as tx:
        tx.execute("select ptp.add_token(null, 'cara', 'x', %s, now() + interval '400 days')", ["0" * 64])


def test_an_admin_does_what_people_need_and_approves_nothing(desk):
    boss = desk.hire("adam", "admin")
    desk.log("P-1")
    with pytest.raises(Refused, match="adam is an admin; only a supervisor"), desk.as_(boss) as tx:
        approvals.decide(tx, [("P-1", 1)], "approve", "fine", "cli")
    with desk.as_(boss) as tx:
        assert users.add_user(tx, "pat", "collector", None)
        users.set_email(tx, "pat", "pat@example.com")
        users.set_role(tx, "pat", "analyst", "prefers figures")
        users.deactivate(tx, "pat", "on leave")
        users.activate(tx, "pat", "back")
        assert [(u.role, u.email, u.is_active) for u in users.list_users(tx) if u.user_name == "pat"] == [
            ("analyst", "pat@example.com", True)
        ]
    with desk.as_("ann") as tx:
        events = [e for e in audit.show(tx) if e.object_id == "pat" and e.action.startswith("user.")]
    assert [e.actor for e in events] == ["adam"] * 5
    assert (events[2].before, events[2].after) == ({"role": "collector", "is_active": True}, {"role": "analyst", "is_active": True})


@pytest.mark.parametrize("role", ["supervisor", "controller", "legal", "admin"])
def test_whom_an_admin_makes_an_approver_or_an_admin_a_second_person_lets_in(desk, role):
    adam, eve = desk.hire("adam", "admin"), desk.hire("eve", "admin")
    with desk.as_(adam) as tx:
        assert not users.add_user(tx, "ghost", role, "seven purple donkeys")
        assert not users.set_role(tx, "cara", role, "promoted")
    with pytest.raises(Refused, match="not active"):
        token_for(desk, "ghost")
    with pytest.raises(Refused, match="has signed in"):
        desk.log("P-1", "cara")
    for name in ("ghost", "cara"):
        with pytest.raises(Refused, match=f"adam gave {name} the role {role}"), desk.as_(adam) as tx:
            users.activate(tx, name, "please")
    with desk.as_(eve) as tx:
        users.activate(tx, "cara", "seen the papers")
    with desk.operator() as tx:
        users.activate(tx, "ghost", "seen the papers")
        users.issue_token(tx, "ghost")


def test_nobody_changes_their_own_role_or_address(desk):
    boss = desk.hire("adam", "admin")
    with pytest.raises(Refused, match="adam cannot change their own role"), desk.as_(boss) as tx:
        users.set_role(tx, "adam", "supervisor", "short of hands")
    for act in (lambda tx: users.set_role(tx, "sue", "controller", "more"), lambda tx: users.set_email(tx, "sue", "other@example.com")):
        with pytest.raises(Refused, match="sue is a supervisor and may not do this"), desk.as_("sue") as tx:
            act(tx)


@pytest.mark.parametrize("act", ["set_role", "set_email", "deactivate", "activate", "revoke_tokens"])
def test_an_unknown_person_is_refused_in_words(desk, act):
    rest = {"set_role": ["collector", "x"], "set_email": ["a@b.co"], "revoke_tokens": [None, "x"]}.get(act, ["x"])
    with pytest.raises(Refused, match="There is no user nobody"), desk.operator() as tx:
        getattr(users, act)(tx, "nobody", *rest)


def test_silly_roles_addresses_and_scopes_are_wrong_usage(desk):
    with desk.operator() as tx:
        for act in (
            lambda: users.set_role(tx, "cara", "boss", "x"),
            lambda: users.set_email(tx, "cara", "nowhere"),
            lambda: users.issue_token(tx, "cara", 30, ["everything"]),
        ):
            with pytest.raises(UsageError):
                act()


def test_a_controller_with_a_token_that_manages_changes_policy_and_without_does_not(desk):
    with desk.as_("con") as tx:
        policies.change(tx, {"grace_days": 2}, "agreed", dt.date(2026, 1, 1))
    with pytest.raises(Refused, match="this needs manage"), desk.as_(sign_in(desk, token_for(desk, "con", ["approve"]))) as tx:
        policies.change(tx, {"grace_days": 3}, "agreed")
