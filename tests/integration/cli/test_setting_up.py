"""init, doctor, org and user."""

from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest

from ptp_pipeline.ledger.connection import Ledger
from tests.integration.cli.conftest import Cli


def test_init_again_changes_nothing_and_says_where_things_are(cli: Cli, home: Path, org: str) -> None:
    first, second = cli("init", "--json").document, cli("init", "--json").document
    assert first == second
    assert first["home"] == str(home)
    assert org in first["orgs"]


def test_doctor_finds_a_healthy_installation_healthy(cli: Cli, org: str) -> None:
    answer = cli("doctor", "--json")
    assert answer.code == 0, answer.out
    checks = {c["check"]: c for c in answer.document["checks"]}
    assert {c["status"] for c in checks.values()} <= {"ok", "warning"}
    assert checks["database roles"]["status"] == "ok"
    assert checks[f"mail of {org}"]["next_step"].startswith("ptp org set")


def test_doctor_fails_with_a_next_step_when_a_published_build_does_not_open(cli: Cli, home: Path, org: str) -> None:
    build = home / "published" / org / "2026-06-30-broken"
    build.mkdir(parents=True)
    (build / "ptp.duckdb").write_bytes(b"not a database")
    (build.parent / "current").symlink_to(build.name)
    try:
        answer = cli("doctor", "--json")
    finally:
        (build.parent / "current").unlink()
    assert answer.code == 1
    failed = [c for c in answer.document["checks"] if c["status"] == "failed"]
    assert [c["check"] for c in failed] == [f"published files of {org}"]
    assert "ptp run" in failed[0]["next_step"]


def test_an_org_is_added_with_its_policy_and_inbox(cli: Cli, home: Path) -> None:
    answer = cli("org", "add", "harbor", "grace_days=2", "--currency", "eur", "--timezone", "Europe/Berlin", "--json")
    assert answer.code == 0, answer.err
    assert (home / "inbox" / "harbor" / "payments").is_dir()
    listed = {o["org"]: o["policy"] for o in cli("org", "list", "--json").document}
    assert (listed["harbor"]["currency"], listed["harbor"]["timezone"], listed["harbor"]["grace_days"]) == ("EUR", "Europe/Berlin", 2)
    assert {"calendar", "business_day_rule", "approval", "feed_mappings", "alert_recipients"} <= listed["harbor"].keys()
    again = cli("org", "add", "harbor")
    assert again.code == 3
    assert "harbor" in again.err


def test_policy_is_changed_with_a_reason_and_shown(cli: Cli, org: str) -> None:
    answer = cli("org", "set", org, "grace_days=3", "alert_recipients=a@example.com,b@example.com", "--reason", "agreed", "--json")
    assert answer.code == 0, answer.err
    assert answer.document["changed"] == {"grace_days": 3, "alert_recipients": ["a@example.com", "b@example.com"]}


def test_a_change_of_policy_says_what_it_was_what_it_is_and_from_when(cli: Cli, org: str) -> None:
    words = ("approval.caps.supervisor.amount=20000", "grace_days=2", "--from", "2026-03-01", "--reason", "agreed")
    assert cli("org", "set", org, *words).out.splitlines() == [
        "grace_days: 0 → 2",
        "approval.caps.supervisor.amount: 50000 → 20000",
        f"Version 2 of the policy of {org}, from 2026-03-01 on.",
    ]


def test_the_next_step_is_written_as_ptp_was_started(cli: Cli, org: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where the words come from the database."""
    monkeypatch.setenv("PTP_LAUNCHER", "./ptp")
    assert "     ./ptp user list shows who there is.\n" in cli("user", "email", "nobody", "a@b.co", "--org", org).err


def test_the_policy_of_a_day_and_its_history_are_shown(cli: Cli, org: str, token: Callable[[str], str]) -> None:
    for words in (("grace_days=9", "--from", "2026-09-01"), ("tolerance_amount=0.50", "--from", "2026-03-01")):
        answer = cli("org", "set", org, *words, "--reason", "agreed", "--json", token=token("admin"))
        assert answer.code == 0, answer.err
    assert answer.document["also_from"] == ["2026-09-01"]
    of_days = [cli("org", "policy", org, "--as-of", day, "--json").document["policy"] for day in ("2026-02-28", "2026-03-01", "2026-09-01")]
    assert [(p["grace_days"], p["tolerance_amount"]) for p in of_days] == [(0, "0"), (0, "0.50"), (9, "0.50")]
    assert "approval.caps.supervisor.amount" in cli("org", "policy", org).out
    versions = cli("org", "history", org, "--json", token=token("admin")).document
    assert [(v["version"], v["effective_from"], v["changed_by"]) for v in versions[1:]] == [
        (2, "2026-09-01", "admin"), (3, "2026-03-01", "admin"), (4, "2026-09-01", "admin")
    ]  # fmt: skip
    assert "tolerance_amount: 0 → 0.50" in cli("org", "history", org).out
    assert cli("org", "set", org, "grace_days=1", "--reason", "mine", token=token("collector")).code == 3
    assert cli("org", "policy", "nobody").code == 2


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("grace_days=soon", "grace_days"),
        ("grase_days=1", "grace_days"),
        ("grace_days", "KEY=VALUE"),
        ("currency=DOLLARS", "ISO 4217"),
        ("feed_mappings.payments.columns.Betrag=ammount", "payments have no column 'ammount'; the nearest is 'amount'"),
    ],
)
def test_a_policy_that_makes_no_sense_is_wrong_usage_in_words(cli: Cli, org: str, change: str, said: str) -> None:
    answer = cli("org", "set", org, change, "--reason", "a try")
    assert answer.code == 2
    assert said in answer.err
    assert "Traceback" not in answer.err
    assert cli("org", "history", org, "--json").document[1:] == []
    assert cli("org", "add", "nevermade", change).code == 2


def test_an_unknown_org_is_wrong_usage_and_the_known_ones_are_named(cli: Cli, org: str) -> None:
    for words in (["user", "list"], ["pending"], ["run"], ["audit", "show"], ["audit", "verify"], ["files", "list"], ["email", "preview"]):
        answer = cli(*words, "--org", "nobody")
        assert answer.code == 2, words
        assert org in answer.err


def test_users_are_listed_with_their_roles_and_never_with_secrets(cli: Cli, org: str, token: Callable[[str], str]) -> None:
    secret = token("collector")
    answer = cli("user", "list", "--org", org, "--json")
    assert answer.document == [{"user": "collector", "role": "collector", "email": "", "is_active": True, "locked_until": None}]
    assert secret not in answer.out + cli("audit", "show", "--org", org, "--json").out


def test_a_role_that_does_not_exist_is_wrong_usage(cli: Cli, org: str) -> None:
    answer = cli("user", "add", "mia", "--org", org, "--role", "boss", "--password-stdin", stdin="long enough word\n")
    assert answer.code == 2
    assert "supervisor" in answer.err


def test_a_password_is_not_asked_for_where_nobody_can_type_it(cli: Cli, org: str) -> None:
    answer = cli("user", "add", "mia", "--org", org, "--role", "collector")
    assert answer.code == 2
    assert "--password-stdin" in answer.err


def test_a_new_password_is_set_by_the_operator(cli: Cli, org: str, token: Callable[[str], str]) -> None:
    token("collector")
    assert cli("user", "password", "collector", "--org", org, "--password-stdin", stdin="another long one\n").code == 0
    assert cli("user", "password", "nobody", "--org", org, "--password-stdin", stdin="another long one\n").code in (2, 3)


def test_a_deactivated_user_is_locked_out_at_once(cli: Cli, org: str, token: Callable[[str], str]) -> None:
    secret = token("collector")
    assert cli("pending", "--org", org, token=secret).code == 0
    words = ("user", "deactivate", "collector", "--org", org, "--reason")
    assert cli(*words, " ").code == 2
    answer = cli(*words, "left the company", "--json")
    assert answer.code == 0, answer.err
    assert answer.document == {"org": org, "user": "collector", "is_active": False}
    assert cli("pending", "--org", org, token=secret).code == 3
    assert [u["is_active"] for u in cli("user", "list", "--org", org, "--json").document] == [False]
    (event,) = [e for e in cli("audit", "show", "--org", org, "--json").document if e["action"] == "user.deactivated"]
    assert (event["object_id"], event["reason"]) == ("collector", "left the company")
    assert cli("user", "deactivate", "nobody", "--org", org, "--reason", "left").code == 3


def test_the_audit_trail_is_verified_and_what_was_changed_is_named(cli: Cli, org: str, ledger: Ledger, token: Callable[[str], str]) -> None:
    token("collector")
    good, told = cli("audit", "verify", "--org", org, "--json"), cli("audit", "verify", "--org", org).out
    events = cli("audit", "show", "--org", org, "--json").document
    assert good.code == 0
    expected = {"org": org, "ok": True, "events": len(events), "head": events[-1]["hash"], "first_bad_seq": None, "heads": 0}
    assert expected.items() <= good.document.items()
    assert events[-1]["hash"] in told
    with psycopg.connect(**ledger._admin) as con:
        con.execute("alter table ptp.audit_event disable trigger user")
        con.execute("update ptp.audit_event set reason = 'something nicer' where org_id = %s and seq = 2", [org])
        con.execute("alter table ptp.audit_event enable trigger user")
    bad = cli("audit", "verify", "--org", org, "--json")
    assert (bad.code, bad.document["ok"], bad.document["first_bad_seq"]) == (1, False, 2)
    said = cli("audit", "verify", "--org", org)
    assert (said.code, said.out) == (1, "")
    assert "event 2 is the first" in said.err


def test_doctor_says_what_to_do_when_the_ledger_cannot_be_reached(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PTP_DATABASE_URL", "postgresql://nobody:hunter2secret@127.0.0.1:1/none")
    answer = cli("doctor", "--json")
    assert answer.code == 1
    (failed,) = [c for c in answer.document["checks"] if c["status"] == "failed"]
    assert failed["check"] == "ledger"
    assert "PTP_DATABASE_URL" in failed["next_step"]
    assert "hunter2secret" not in answer.out


def test_a_setting_that_makes_no_sense_is_wrong_usage(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PTP_PORT", "a lot")
    answer = cli("status", "--org", "acme")
    assert answer.code == 2
    assert "PTP_PORT" in answer.err
