"""Passwords: what is refused, how guessing is slowed down, and who may set whose."""

import threading

import psycopg
import pytest

from ptp_pipeline.errors import Refused, UsageError
from ptp_pipeline.ledger import approvals, audit, passwords, users
from ptp_pipeline.ledger.connection import Actor

PASSWORD = "correct horse battery"
NOBODY = Actor("unknown", "none", "password", "desk")
CHEAP = "argon2id$v=19$m=8,t=1,p=1$00112233445566778899aabbccddeeff"


def hire(desk, name, role="collector", parameters=CHEAP):
    """Somebody whose own password is PASSWORD, stretched cheaply so that a test may guess often."""
    verifier = users._sha256(passwords.stretch(PASSWORD, parameters))
    with desk.operator() as tx:
        tx.execute("select ptp.add_user(null, %s, %s, '', %s, %s)", [name, role, parameters, verifier])
        token = users.issue_token(tx, name)
    desk.people[name] = users.authenticate_token(desk.ledger, desk.org, token, "cli")
    with desk.as_(name) as tx:
        tx.execute("select ptp.set_password(%s, %s, %s, %s)", [desk.people[name].proof, name, parameters, verifier])
    return token


def guess(desk, name, password):
    return users.check_password(desk.ledger, desk.org, name, password, "desk")


@pytest.fixture(autouse=True)
def cheap(monkeypatch):
    """Guesses here are about counting; what argon2id costs is not under test."""
    monkeypatch.setattr(passwords, "_costs", lambda: CHEAP.rpartition("$")[0])


def asked_for(desk, name):
    with desk.ledger.door(desk.org, NOBODY) as tx:
        return tx.one("select ptp.password_parameters(%s) as p", [name])["p"]


def lift(desk, minutes):
    """Let time pass for the tries of this org."""
    with psycopg.connect(**desk.ledger._admin) as con:
        con.execute("alter table ptp.sign_in_attempt disable trigger append_only")
        con.execute("update ptp.sign_in_attempt set at = at - make_interval(mins => %s) where org_id = %s", [minutes, desk.org])
        con.execute("alter table ptp.sign_in_attempt enable trigger append_only")


def test_after_five_wrong_passwords_even_the_right_one_must_wait_and_the_wait_doubles(desk):
    hire(desk, "pat")
    for _ in range(5):
        with pytest.raises(Refused, match="is wrong"):
            guess(desk, "pat", "wrong horse battery")
    with pytest.raises(Refused, match="Too many wrong passwords for pat") as refusal:
        guess(desk, "pat", PASSWORD)
    assert 50 < int(refusal.value.next_step.split()[3]) <= 60
    lift(desk, 1)
    with pytest.raises(Refused, match="is wrong"):
        guess(desk, "pat", "wrong horse battery")
    lift(desk, 1)
    with pytest.raises(Refused, match="Too many"):
        guess(desk, "pat", PASSWORD)
    lift(desk, 1)
    assert guess(desk, "pat", PASSWORD).name == "pat"
    with pytest.raises(Refused, match="is wrong"):  # a right one starts the count anew
        guess(desk, "pat", "wrong horse battery")
    assert guess(desk, "pat", PASSWORD).name == "pat"


def test_the_wait_is_never_longer_than_an_hour(desk):
    hire(desk, "pat")
    with desk.ledger.door(desk.org, NOBODY) as tx:
        for n in range(20):
            tx.execute("select ptp.present_password('pat', %s)", [f"guess {n}"])
    for n in range(5, 20):
        lift(desk, 61)
        with desk.ledger.door(desk.org, NOBODY) as tx:
            assert tx.one("select ptp.present_password('pat', %s) as wait", [f"later {n}"]) == {"wait": 0}
    with desk.ledger.door(desk.org, NOBODY) as tx:
        wait = tx.one("select ptp.present_password('pat', 'again') as wait")["wait"]
    assert 3500 < wait <= 3600


def test_names_nobody_has_are_refused_in_the_same_words_and_wait_just_as_long(desk):
    hire(desk, "pat")
    said = {}
    for name in ("pat", "nobody"):
        for _ in range(6):
            with pytest.raises(Refused) as refusal:
                guess(desk, name, "wrong horse battery")
            said.setdefault(name, []).append(refusal.value.message.replace(name, "NAME"))
    assert said["pat"] == said["nobody"]


def test_many_connections_at_once_get_no_more_guesses_than_one(desk):
    hire(desk, "pat")
    answers = []

    def try_one(n):
        try:
            guess(desk, "pat", f"wrong horse battery {n}")
        except Refused as refusal:
            answers.append(refusal.message)

    threads = [threading.Thread(target=try_one, args=[n]) for n in range(16)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert sum("is wrong" in a for a in answers) == 5
    assert sum("Too many" in a for a in answers) == 11


def test_a_guess_that_is_not_committed_is_not_checked(desk):
    hire(desk, "pat")
    right = passwords.stretch(PASSWORD, CHEAP)

    def at_the_door(*statements):
        with desk.raw(actor="pat", role="none", auth="password") as con:
            for function, guess in statements:
                row = con.execute(f"select * from ptp.{function}('pat', %s)", [guess]).fetchone()
            con.commit()
            return row

    check, present = "sign_in_with_password", "present_password"
    for statements in ([(check, right)], [(present, right), (check, right)]):
        with pytest.raises(psycopg.Error, match="only after it was presented"):
            at_the_door(*statements)
    at_the_door((present, "something else"))
    with pytest.raises(psycopg.Error, match="only after it was presented"):
        at_the_door((check, right))
    at_the_door((present, right))
    assert at_the_door((check, right))[0] == "pat"


def test_tokens_of_a_locked_account_go_on_working(desk):
    token = hire(desk, "pat")
    for _ in range(6):
        with pytest.raises(Refused):
            guess(desk, "pat", "wrong horse battery")
    assert users.authenticate_token(desk.ledger, desk.org, token, "cli").name == "pat"


def test_a_lock_is_recorded_shown_and_ended_by_an_admin(desk):
    hire(desk, "pat")
    boss = desk.hire("adam", "admin")
    for _ in range(6):
        with pytest.raises(Refused):
            guess(desk, "pat", "wrong horse battery")
    with desk.as_("cara") as tx:
        events = audit.show(tx, action="login.")
        shown = {u.user_name: u.locked_until for u in users.list_users(tx)}
    assert [e.action for e in events if e.object_id == "pat"][-6:] == ["login.refused"] * 4 + ["login.locked", "login.refused"]
    assert [name for name, until in shown.items() if until] == ["pat"]
    with pytest.raises(Refused, match="cara is a collector"), desk.as_("cara") as tx:
        users.unlock(tx, "pat")
    with desk.as_(boss) as tx:
        users.unlock(tx, "pat")
        assert all(u.locked_until is None for u in users.list_users(tx))
    assert guess(desk, "pat", PASSWORD).name == "pat"
    with desk.as_("cara") as tx:
        (event,) = audit.show(tx, action="user.unlocked")
    assert (event.actor, event.object_id) == ("adam", "pat")


def test_wrong_approval_codes_are_slowed_down_and_a_real_one_is_burnt_meanwhile(desk):
    desk.log("P-1")
    with desk.as_("sue") as tx:
        code = approvals.issue_code(tx, [("P-1", 1)])
    for n in range(5):
        with pytest.raises(Refused, match="not valid for this person"):
            approvals.decide_with_code(desk.ledger, desk.org, "sue", f"ABCD-{n}", [("P-1", 1)], "approve", "fine", "cli")
    with pytest.raises(Refused, match="Too many wrong approval codes"):
        approvals.decide_with_code(desk.ledger, desk.org, "sue", code, [("P-1", 1)], "approve", "fine", "cli")
    with desk.operator() as tx:
        users.unlock(tx, "sue")
    with pytest.raises(Refused, match="already used"):
        approvals.decide_with_code(desk.ledger, desk.org, "sue", code, [("P-1", 1)], "approve", "fine", "cli")
    assert desk.status("P-1") == "pending_approval"
    shown = desk.schedules(("P-1", 1))
    with desk.as_("sue") as tx:
        code = approvals.issue_code(tx, [("P-1", 1)], schedules=shown)
    approvals.decide_with_code(desk.ledger, desk.org, "sue", code, [("P-1", 1)], "approve", "fine", "cli", shown)
    assert desk.status("P-1") == "active"


def test_a_password_somebody_else_set_is_for_setting_another_and_nothing_else(desk):
    with desk.operator() as tx:
        users.add_user(tx, "pat", "collector", PASSWORD)
    first = guess(desk, "pat", PASSWORD)
    with pytest.raises(Refused, match="was set by somebody else"):
        desk.log("P-1", first)
    with pytest.raises(Refused, match="was set by somebody else"), desk.as_(first) as tx:
        users.issue_token(tx, "pat")
    with desk.as_(first) as tx:
        users.set_password(tx, "pat", "seven purple donkeys")
    with pytest.raises(Refused, match="has signed in"):  # what was opened with the old one has ended
        desk.log("P-1", first)
    desk.log("P-1", guess(desk, "pat", "seven purple donkeys"))


def test_old_parameters_are_renewed_when_the_right_password_comes_by(desk):
    old = "argon2id$v=19$m=16,t=1,p=1$00112233445566778899aabbccddeeff"
    hire(desk, "pat", parameters=old)
    with pytest.raises(Refused):
        guess(desk, "pat", "wrong horse battery")
    assert asked_for(desk, "pat") == old
    signed_in = guess(desk, "pat", PASSWORD)
    assert passwords.are_current(asked_for(desk, "pat"))
    with desk.as_(signed_in) as tx:  # what was renewed along the way is still good
        *_, event = audit.show(tx, action="user.password_set", actor="pat")
    assert event.reason.startswith("Stretched anew at sign-in")
    guess(desk, "pat", PASSWORD)


@pytest.mark.parametrize(
    ("password", "said"),
    [
        ("short", "12 to 128"),
        ("x" * 129, "12 to 128"),
        ("Password1234!", "commonly used"),
        ("qwertyuiopas", "commonly used"),
        ("hunter2hunter2", "will not do"),
        ("aaaaaaaaaaaaaa", "will not do"),
        ("my name is Lopez 77", "neither the user's name"),
        ("harbor lights at noon", "nor the org's"),
    ],
)
def test_a_password_that_is_known_or_says_whose_it_is_is_refused_without_repeating_it(password, said):
    with pytest.raises(UsageError, match=said) as refusal:
        passwords.check(password, "maria.lopez", "harbor")
    assert password not in f"{refusal.value.message} {refusal.value.next_step}"


@pytest.mark.parametrize("password", ["seven purple donkeys", "k7#mQ9vLp2xW", "drei grüne Füchse"])
def test_a_password_of_some_words_or_random_letters_will_do(password):
    passwords.check(password, "maria.lopez", "harbor")
    assert passwords.stretch("Füchse", CHEAP) == passwords.stretch("Fu\u0308chse", CHEAP)
