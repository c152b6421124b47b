"""`ptp user`: everything the operator does, what an admin does with a token, and what people do for themselves."""

from collections.abc import Callable

import pytest

from tests.integration.cli.conftest import PASSWORD, Cli

TokenOf = Callable[[str], str]


@pytest.fixture
def user(cli: Cli, org: str) -> Cli:
    """`ptp user …` in the test's org."""

    def run(verb: str, *words: str, token: str = "", stdin: str | None = None):
        return cli("user", verb, *words, "--org", org, token=token, stdin=stdin)

    return run


def test_an_admin_with_a_token_adds_changes_and_ends_accounts(user: Cli, token: TokenOf) -> None:
    admin = token("admin")
    added = user("add", "mia", "--role", "collector", "--no-password", "--json", token=admin)
    assert added.document == {"org": added.document["org"], "user": "mia", "role": "collector", "is_active": True}
    assert user("email", "mia", "mia@acme.example", token=admin).out == "Mail to mia goes to mia@acme.example.\n"
    assert user("role", "mia", "analyst", "--reason", "prefers figures", "--json", token=admin).document["role"] == "analyst"
    assert user("deactivate", "mia", "--reason", "on leave", token=admin).code == 0
    assert user("activate", "mia", "--reason", "back", "--json", token=admin).document["is_active"] is True
    listed = {u["user"]: u for u in user("list", "--json", token=admin).document}
    assert listed["mia"] == {"user": "mia", "role": "analyst", "email": "mia@acme.example", "is_active": True, "locked_until": None}


def test_others_do_not_and_are_told_whom_to_ask(user: Cli, token: TokenOf) -> None:
    mine = token("collector")
    for words in (
        ("add", "eve", "--role", "admin", "--no-password"),
        ("role", "collector", "supervisor", "--reason", "x"),
        ("email", "collector", "a@b.co"),
        ("deactivate", "collector", "--reason", "x"),
        ("unlock", "collector"),
    ):
        answer = user(*words, token=mine)
        assert answer.code == 3, words
        assert "Ask a user with the role admin, or the operator." in answer.err


def test_whom_an_admin_makes_an_approver_waits_for_a_second_person(user: Cli, token: TokenOf) -> None:
    admin = token("admin")
    added = user("add", "sue", "--role", "supervisor", "--password-stdin", token=admin, stdin=f"{PASSWORD}\n")
    assert "another admin or the operator must activate it" in added.out
    assert "user activate sue --org" in added.out
    refused = user("activate", "sue", "--reason", "hired", token=admin)
    assert (refused.code, "admin gave sue the role supervisor" in refused.err) == (3, True)
    assert user("activate", "sue", "--reason", "seen the contract").code == 0
    assert user("role", "sue", "controller", "--reason", "promoted", "--json", token=admin).document["is_active"] is False


def test_people_look_after_their_own_password_and_tokens(user: Cli, token: TokenOf) -> None:
    mine = token("collector")
    assert user("password", "collector", "--password-stdin", token=mine, stdin="seven purple donkeys\n").code == 0
    made = user("token", "collector", "--days", "7", "--scope", "read", "--json", token=mine)
    assert (made.code, made.document["scopes"], made.document["days"]) == (0, ["read"], 7)
    listed = user("tokens", "collector", "--json", token=mine).document
    assert [t["token_id"] for t in listed][-1] == made.document["token_id"]
    assert made.document["token"].split("_")[2] not in str(listed) + user("tokens").out
    ended = user("revoke", "collector", made.document["token_id"], "--reason", "done", "--json", token=mine)
    assert ended.document["revoked"] == 1
    assert user("list", token=made.document["token"]).code == 3
    assert user("revoke", "collector", "--all", "--reason", "laptop lost", token=mine).out == "1 of collector's tokens ended.\n"
    assert user("list", token=mine).code == 3
    everyone = user("tokens", "--json").document
    assert all(t["revoked_at"] for t in everyone)
    assert user("password", "collector", "--password-stdin", token=token("admin"), stdin=f"{PASSWORD}\n").code == 3


def test_a_token_shows_what_it_is_for_on_stderr_and_itself_alone_on_stdout(user: Cli, token: TokenOf) -> None:
    token("supervisor")
    answer = user("token", "supervisor")
    assert answer.out.strip().startswith("ptp_")
    assert answer.out.count("\n") == 1
    assert "For read, log, approve, manage; valid for 90 days" in answer.err


def test_wrong_usage_is_said_before_anything_is_done(user: Cli, token: TokenOf) -> None:
    token("collector")
    for words, said in (
        (("revoke", "collector", "--reason", "x"), "--all"),
        (("revoke", "collector", "abc", "--all", "--reason", "x"), "--all"),
        (("activate", "collector", "--reason", " "), "reason"),
        (("token", "collector", "--scope", "everything"), "Scopes: read"),
        (("role", "collector", "boss", "--reason", "x"), "supervisor"),
        (("email", "collector", "nowhere"), "not a mail address"),
    ):
        answer = user(*words)
        assert (answer.code, said in answer.err) == (2, True), words
    for password in ("short", "collector is my name", "qwertyuiopas"):
        answer = user("password", "collector", "--password-stdin", stdin=f"{password}\n")
        assert answer.code == 2
        assert password not in answer.err
    assert user("unlock", "nobody").code == 3


def test_a_locked_account_is_shown_and_unlocked(user: Cli, token: TokenOf, ledger, org: str) -> None:
    from ptp_pipeline.errors import Refused
    from ptp_pipeline.ledger import users

    token("collector")
    for _ in range(5):
        with pytest.raises(Refused):
            users.check_password(ledger, org, "collector", "wrong horse battery", "desk")
    (row,) = user("list", "--json").document
    assert row["locked_until"]
    assert user("unlock", "collector", "--json").code == 0
    (row,) = user("list", "--json").document
    assert row["locked_until"] is None
