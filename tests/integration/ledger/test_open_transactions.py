"""What somebody may do is looked at when they do it: not when their transaction began, nor before it had to wait for another one."""

import time
from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest

from ptp_pipeline.errors import Refused
from ptp_pipeline.ledger import approvals, audit, commitments, overrides, passwords, policies, users
from ptp_pipeline.ledger.connection import Actor

NEW_PASSWORD = "seven purple donkeys"
PASSWORD = "correct horse battery"


def wait_until_somebody_waits(desk):
    """Until a connection waits for the lock of an org."""
    with psycopg.connect(**desk.ledger._admin, autocommit=True) as con:
        for _ in range(500):
            if con.execute("select 1 from pg_locks where locktype = 'advisory' and not granted").fetchone():
                return
            time.sleep(0.01)
    raise AssertionError("nobody waits")


def while_it_waits(desk, act, change):
    """`act` begins while a transaction of the operator that makes the `change` is open, and goes on once that is committed."""
    with ThreadPoolExecutor(1) as pool:
        with desk.operator() as tx:
            change(tx)
            waiting = pool.submit(act)
            wait_until_somebody_waits(desk)
        return waiting.result(timeout=30)


def in_an_open_transaction(desk, who, meanwhile, act):
    """`act` in a transaction of this person that was open while something else happened."""
    with desk.as_(who) as tx:
        meanwhile()
        act(tx)


def revoke(desk):
    with desk.operator() as tx:
        users.revoke_tokens(tx, "sue", None, "laptop lost")


CHANGES = {
    "token revoked": lambda tx: users.revoke_tokens(tx, "sue", None, "laptop lost"),
    "role lost": lambda tx: users.set_role(tx, "sue", "analyst", "moves on"),
    "deactivated": lambda tx: users.deactivate(tx, "sue", "left"),
}
changes = pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)


@pytest.fixture
def book(desk, new):
    """A plan that waits and one that is in force."""
    desk.log("P-1")
    desk.log("P-2")
    desk.decide("sam", ("P-2", 1))
    return desk


ACTS = {
    "log": lambda tx, new: commitments.log(tx, new("P-9")),
    "cancel": lambda tx, _: commitments.cancel(tx, "P-2", commitments.newest(tx, "P-2")["agreed_on"], "gone"),
    "renegotiate": lambda tx, new: commitments.renegotiate(
        tx, "P-2", new("P-2", amount_minor=80_000, agreed_on="2026-03-04").terms, "less"
    ),
    "assign": lambda tx, _: overrides.set_target(tx, "PAY-1", "P-2", "told so"),
    "note": lambda tx, _: audit.record(tx, "payment.logged", "payment", "PAY-1"),
    "reject": lambda tx, _: approvals.decide(tx, [("P-1", 1)], "reject", "no", "cli"),
    "code": lambda tx, _: approvals.issue_code(tx, [("P-1", 1)]),
    "password": lambda tx, _: users.set_password(tx, "sue", NEW_PASSWORD),
    "token": lambda tx, _: users.issue_token(tx, "sue"),
}


@pytest.mark.parametrize("act", ACTS.values(), ids=ACTS)
def test_a_token_revoked_while_a_transaction_is_open_does_nothing_more_in_it(book, new, act):
    with pytest.raises(Refused):
        in_an_open_transaction(book, "sue", lambda: revoke(book), lambda tx: act(tx, new))


@changes
@pytest.mark.parametrize("act", [ACTS["reject"], ACTS["code"], ACTS["log"]], ids=["reject", "code", "log"])
def test_an_act_that_had_to_wait_is_judged_by_what_holds_when_it_goes_on(book, new, act, change):
    def do():
        with book.as_("sue") as tx:
            act(tx, new)

    with pytest.raises(Refused):
        while_it_waits(book, do, change)
    assert (book.status("P-1"), book.status("P-9")) == ("pending_approval", "unknown")


def test_an_admin_deactivated_while_waiting_changes_nobody_and_no_policy(desk):
    desk.hire("adam", "admin")
    for act in (
        lambda tx: users.add_user(tx, "pat", "collector", None),
        lambda tx: users.set_role(tx, "cara", "analyst", "revenge"),
        lambda tx: users.unlock(tx, "cara"),
        lambda tx: policies.change(tx, {"grace_days": 9}, "revenge"),
    ):

        def do(act=act):
            with desk.as_("adam") as tx:
                act(tx)

        with pytest.raises(Refused):
            while_it_waits(desk, do, lambda tx: users.deactivate(tx, "adam", "left"))
        with desk.operator() as tx:
            users.activate(tx, "adam", "once more")
    with desk.as_("ann") as tx:
        assert [u.role for u in users.list_users(tx) if u.user_name in ("cara", "pat")] == ["collector"]
        assert policies.current(tx).grace_days == 0


def test_a_token_that_expires_while_a_transaction_is_open_does_nothing_more_in_it(desk, new):
    with desk.operator() as tx:
        tx.execute(
            "select ptp.add_token(null, 'cara', 'brief', encode(sha256('ptp_brief_x'), 'hex'), clock_timestamp() + interval '1 second')"
        )
    who = users.authenticate_token(desk.ledger, desk.org, "ptp_brief_x", "cli")
    with pytest.raises(Refused):
        in_an_open_transaction(desk, who, lambda: time.sleep(1.1), lambda tx: commitments.log(tx, new("P-9")))


def set_password(desk, name, password):
    """By the person, so that what is signed in with it is good for more than setting another."""
    with desk.as_(name) as tx:
        users.set_password(tx, name, password)


def test_a_password_changed_while_a_transaction_is_open_ends_what_was_opened_with_the_old_one(desk, new):
    set_password(desk, "cara", PASSWORD)
    who = users.check_password(desk.ledger, desk.org, "cara", PASSWORD, "cli")
    with pytest.raises(Refused):
        in_an_open_transaction(desk, who, lambda: set_password(desk, "cara", NEW_PASSWORD), lambda tx: commitments.log(tx, new("P-9")))


def test_the_old_password_opens_nothing_once_a_new_one_is_being_set(desk):
    """Presented before, and checked while the transaction that sets the new one is still open."""
    set_password(desk, "cara", PASSWORD)
    nobody = Actor("unknown", "none", "password", "cli")

    def at_the_door(statement, *values):
        with desk.ledger.door(desk.org, nobody) as tx:
            return tx.one(statement, list(values))

    parameters = at_the_door("select ptp.password_parameters('cara') as found")["found"]
    stretched = passwords.stretch(PASSWORD, parameters)
    at_the_door("select ptp.present_password('cara', %s)", stretched)
    opened = while_it_waits(
        desk,
        lambda: at_the_door("select * from ptp.sign_in_with_password('cara', %s)", stretched),
        lambda tx: users.set_password(tx, "cara", NEW_PASSWORD),
    )
    assert opened is None
