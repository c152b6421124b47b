"""Decisions on payments: splits, setting aside, undoing; held by the database for any client, in one order, with a trail."""

from concurrent.futures import ThreadPoolExecutor
from uuid import uuid4

import psycopg
import pytest
from psycopg import sql

from ptp_pipeline.errors import Refused, UsageError
from ptp_pipeline.ledger import audit, migrations, overrides, snapshot
from ptp_pipeline.ledger.overrides import Part

ACTIONS = ("override.set", "override.split", "override.undone")
SPLIT = (
    "insert into ptp.payment_override (org_id, payment_id, kind, commitment_id, part_commitment_ids, part_amounts_minor, reason)"
    " values (%s, 'PAY-1', %s, %s, %s, %s, 'r')"
)


@pytest.fixture
def plans(desk):
    for name in ("PLAN-1", "PLAN-2"):
        desk.log(name)
    desk.log("OTHER", customer_id="C-2")
    desk.log("EURO", currency="EUR")


def in_effect(desk):
    with desk.as_("cara") as tx:
        return [(d.payment_id, d.part, d.commitment_id, d.amount_minor, d.decided_by) for d in overrides.in_effect(tx)]


def trail(desk):
    with desk.as_("cara") as tx:
        assert audit.verify(tx).first_bad_seq is None
        return [(e.action, e.actor, e.object_id, e.reason, e.before, e.after) for e in audit.show(tx) if e.action in ACTIONS]


def test_the_newest_decision_counts_and_an_undone_one_counts_no_more(desk, plans):
    with desk.as_("cara") as tx:
        overrides.set_target(tx, "PAY-1", "PLAN-1", "named on the check")
        overrides.split(tx, "PAY-1", [Part("PLAN-1", 60), Part("PLAN-2", 40), Part(None, 5)], "two debts")
        overrides.set_target(tx, "PAY-2", None, "not ours")
    assert in_effect(desk) == [
        ("PAY-1", 1, "PLAN-1", 60, "cara"), ("PAY-1", 2, "PLAN-2", 40, "cara"), ("PAY-1", 3, None, 5, "cara"),
        ("PAY-2", 1, None, None, "cara"),
    ]  # fmt: skip
    with desk.as_("sue") as tx:
        overrides.undo(tx, "PAY-1", "the rules had it right")
    assert in_effect(desk) == [("PAY-2", 1, None, None, "cara")]
    with desk.as_("sue") as tx:
        overrides.set_target(tx, "PAY-1", "PLAN-2", "after all")
    assert in_effect(desk) == [("PAY-1", 1, "PLAN-2", None, "sue"), ("PAY-2", 1, None, None, "cara")]


def test_every_decision_is_in_the_trail_with_what_it_replaces(desk, plans):
    with desk.as_("cara") as tx:
        overrides.set_target(tx, "PAY-1", "PLAN-1", "first")
        overrides.split(tx, "PAY-1", [Part("PLAN-2", 60), Part(None, 40)], "second")
    with desk.as_("sue") as tx:
        overrides.undo(tx, "PAY-1", "third")
        overrides.set_target(tx, "PAY-1", None, "fourth")
    parts = [{"part": 1, "commitment_id": "PLAN-2", "amount_minor": 60}, {"part": 2, "commitment_id": None, "amount_minor": 40}]
    assert trail(desk) == [
        ("override.set", "cara", "PAY-1", "first", None, {"commitment_id": "PLAN-1"}),
        ("override.split", "cara", "PAY-1", "second", {"commitment_id": "PLAN-1", "decided_by": "cara"}, {"parts": parts}),
        ("override.undone", "sue", "PAY-1", "third", {"parts": parts, "decided_by": "cara"}, None),
        ("override.set", "sue", "PAY-1", "fourth", None, {"commitment_id": None}),
    ]


def test_every_decision_asks_for_a_run(desk, plans):
    positions = []
    with desk.as_("cara") as tx:
        for act in (
            lambda: overrides.split(tx, "PAY-1", [Part("PLAN-1", 60), Part(None, 40)], "r"),
            lambda: overrides.undo(tx, "PAY-1", "r"),
            lambda: overrides.set_target(tx, "PAY-1", None, "r"),
        ):
            before = snapshot.positions(tx)
            act()
            positions.append(snapshot.positions(tx) > before)
    assert positions == [True, True, True]


def test_only_a_decision_in_effect_can_be_undone(desk, plans):
    for _ in range(2):
        with pytest.raises(Refused, match="no decision on PAY-1 to undo"), desk.as_("cara") as tx:
            overrides.undo(tx, "PAY-1", "r")
        with desk.as_("cara") as tx:
            overrides.set_target(tx, "PAY-1", "PLAN-1", "r")
            overrides.undo(tx, "PAY-1", "r")
    assert in_effect(desk) == []


@pytest.mark.parametrize(
    ("parts", "error", "words"),
    [([Part("PLAN-1", 60)], UsageError, "2 to 20"), ([Part(None, 1)] * 21, UsageError, "2 to 20"),
     ([Part("PLAN-1", 60), Part(None, 0)], UsageError, "above zero"),
     ([Part("PLAN-1", 60), Part("NOPE", 1)], Refused, "no commitment NOPE"),
     ([Part("PLAN-1", 60), Part("OTHER", 1)], Refused, "several customers"),
     ([Part("PLAN-1", 60), Part("EURO", 1)], Refused, "currencies")],
)  # fmt: skip
def test_a_split_that_is_none_is_refused_in_words(desk, plans, parts, error, words):
    with pytest.raises(error, match=words), desk.as_("cara") as tx:
        overrides.split(tx, "PAY-1", parts, "r")
    assert in_effect(desk) == []


@pytest.mark.parametrize("act", [lambda tx: overrides.split(tx, "P", [Part(None, 1)] * 2, " "), lambda tx: overrides.undo(tx, "P", "")])
def test_a_decision_needs_a_reason(desk, act):
    with pytest.raises(UsageError, match="reason"), desk.as_("cara") as tx:
        act(tx)


@pytest.mark.parametrize(
    ("kind", "commitment", "names", "amounts"),
    [("split", None, ["PLAN-1"], [60]), ("split", None, ["PLAN-1"] * 21, [1] * 21), ("split", None, ["PLAN-1", None], [60, 0]),
     ("split", None, ["PLAN-1", None], [60, -1]), ("split", None, ["PLAN-1", None], [60, None]), ("split", None, ["PLAN-1", None], [60]),
     ("split", None, None, None), ("split", None, [], []), ("split", "PLAN-1", ["PLAN-1", None], [60, 1]),
     ("split", None, [["PLAN-1", None]], [[60, 1]]), ("split", None, ["PLAN-1", None], [60, 10**15 + 1]),
     ("set", "PLAN-1", ["PLAN-1", None], [60, 1]), ("undo", "PLAN-1", None, None), ("forget", None, None, None)],
)  # fmt: skip
def test_no_client_writes_a_decision_that_cannot_be_one(desk, plans, kind, commitment, names, amounts):
    """The app role with a proof, going round the services."""
    with desk.as_("cara") as tx:
        overrides.set_target(tx, "PAY-1", "PLAN-1", "so that there is something to undo")
    with desk.raw(signed_in="cara") as con, pytest.raises(psycopg.errors.CheckViolation):
        con.execute(SPLIT, [desk.org, kind, commitment, names, amounts])
    assert in_effect(desk) == [("PAY-1", 1, "PLAN-1", None, "cara")]


@pytest.mark.parametrize(("names", "words"), [(["PLAN-1", "NOPE"], "no commitment NOPE"), (["PLAN-1", "OTHER"], "several customers")])
def test_no_client_splits_to_what_is_not_there_or_not_one_customers(desk, plans, names, words):
    with desk.raw(signed_in="cara") as con, pytest.raises(psycopg.Error, match=words) as error:
        con.execute(SPLIT, [desk.org, "split", None, names, [60, 1]])
    assert error.value.sqlstate == "PT001"


def test_a_commitment_of_another_org_is_none(desk, plans):
    from ptp_pipeline.ledger import orgs
    from tests.integration.ledger.conftest import OPERATOR

    other = f"org{uuid4().hex[:10]}"
    orgs.create_org(desk.ledger, other, OPERATOR)
    neighbour = type(desk)(desk.ledger, other)
    neighbour.hire("cara", "collector")
    for names, statement in ((["PLAN-1", None], SPLIT), (None, SPLIT)):
        kind, commitment, amounts = ("split", None, [1, 1]) if names else ("set", "PLAN-1", None)
        with neighbour.raw(signed_in="cara") as con, pytest.raises(psycopg.Error):
            con.execute(statement, [other, kind, commitment, names, amounts])
    assert in_effect(neighbour) == []


def test_authors_and_times_are_the_databases_whatever_the_client_writes(desk, plans):
    with desk.raw(actor="ghost", signed_in="sue") as con:
        con.execute(
            "insert into ptp.payment_override (org_id, payment_id, kind, part_commitment_ids, part_amounts_minor, reason, decided_by,"
            " decided_at) values (%s, 'PAY-1', 'split', '{PLAN-1,NULL}', '{60,40}', 'r', 'cara', '2001-01-01')",
            [desk.org],
        )
        assert con.execute(
            "select distinct decided_by, decided_at > now() - interval '1 hour' from ptp.payment_override_part"
        ).fetchall() == [("sue", True)]
    for login in (
        {"signed_in": ""},
        {"signed_in": "ann"},
        {"actor": "pipeline", "role": "pipeline", "auth": "pipeline", "login": "ptp_pipeline"},
    ):
        with desk.raw(**login) as con, pytest.raises(psycopg.Error) as error:
            con.execute(SPLIT, [desk.org, "split", None, ["PLAN-1", None], [60, 1]])
        assert error.value.sqlstate in {"PT003", "PT005", "42501"}


def test_no_client_makes_its_decision_the_newest_for_ever(desk, plans):
    with desk.raw(signed_in="cara") as con:
        con.execute(
            "insert into ptp.payment_override (org_id, override_id, payment_id, reason) overriding system value"
            " values (%s, 9223372036854775000, 'PAY-1', 'mine')",
            [desk.org],
        )
        con.commit()
    with desk.as_("sue") as tx:
        overrides.set_target(tx, "PAY-1", "PLAN-1", "corrected")
    assert in_effect(desk) == [("PAY-1", 1, "PLAN-1", None, "sue")]


def test_of_decisions_made_at_once_the_one_recorded_last_counts(desk, plans):
    with desk.raw(signed_in="sue") as slow, ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(decide, desk, "cara", "PLAN-2")
        slow.execute(SPLIT, [desk.org, "split", None, ["PLAN-1", None], [60, 1]])
        slow.commit()
        waiting.result()
    assert [event[1] for event in trail(desk)] == ["sue", "cara"]
    assert in_effect(desk) == [("PAY-1", 1, "PLAN-2", None, "cara")]


def decide(desk, who, commitment):
    with desk.as_(who) as tx:
        overrides.set_target(tx, "PAY-1", commitment, "r")


def test_many_at_once_end_as_the_trail_says(desk, plans):
    def act(number):
        with desk.as_(("cara", "sue", "sam", "con")[number % 4]) as tx:
            overrides.split(tx, "PAY-1", [Part("PLAN-1", number + 1), Part("PLAN-2", 1)], f"try {number}")

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(act, range(12)))
    last = trail(desk)[-1]
    assert [(part, commitment, amount) for _, part, commitment, amount, _ in in_effect(desk)] == [
        (p["part"], p["commitment_id"], p["amount_minor"]) for p in last[5]["parts"]
    ]
    assert len(trail(desk)) == 12


def test_of_two_who_undo_the_same_decision_one_is_told_that_there_is_none(desk, plans):
    decide(desk, "cara", "PLAN-1")

    def undo(who):
        try:
            with desk.as_(who) as tx:
                overrides.undo(tx, "PAY-1", "r")
        except Refused as refused:
            return refused.message
        return "undone"

    with ThreadPoolExecutor(2) as pool:
        assert sorted(pool.map(undo, ("sue", "sam"))) == ["There is no decision on PAY-1 to undo.", "undone"]


def test_decisions_from_before_splits_stay_what_they_were(ledger, settings, monkeypatch):
    """A ledger of the released schema with decisions in it, brought up to date."""
    name = f"old{uuid4().hex[:8]}"
    with psycopg.connect(**ledger._admin, autocommit=True) as admin:
        admin.execute(sql.SQL("create database {}").format(sql.Identifier(name)))
    try:
        with psycopg.connect(**{**ledger._admin, "dbname": name}, autocommit=True) as con:
            every = migrations.migration_files()
            monkeypatch.setattr(migrations, "migration_files", lambda: every[:3])
            migrations.migrate(con, ledger._passwords)
            con.execute("alter table ptp.payment_override disable trigger user; alter table ptp.commitment disable trigger user")
            con.execute("insert into ptp.org values ('o'); select set_config('ptp.org_id', 'o', false)")
            con.execute(
                "insert into ptp.commitment (org_id, commitment_id, kind, customer_id, currency, source, logged_by, logged_at)"
                " values ('o', 'C-1', 'promise', 'K', 'USD', 'cli', 'mia', now())"
            )
            con.execute(
                "insert into ptp.payment_override (org_id, payment_id, commitment_id, reason, decided_by, decided_at)"
                " select 'o', payment_id, commitment_id, 'r', 'mia', now() from (values ('P-1', 'C-1'), ('P-2', null), ('P-2', 'C-1'))"
                " as old (payment_id, commitment_id)"
            )
            con.execute("alter table ptp.payment_override enable trigger user; alter table ptp.commitment enable trigger user")
            monkeypatch.setattr(migrations, "migration_files", lambda: every)
            assert migrations.migrate(con, ledger._passwords) == [path.name for _, path in every[3:]]
            found = con.execute(
                "select payment_id, part, commitment_id, amount_minor from ptp.payment_override_part order by 1, 2"
            ).fetchall()
            assert found == [("P-1", 1, "C-1", None), ("P-2", 1, "C-1", None)]
    finally:
        with psycopg.connect(**ledger._admin, autocommit=True) as admin:
            admin.execute(sql.SQL("drop database {}").format(sql.Identifier(name)))
