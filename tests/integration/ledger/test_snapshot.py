"""The frozen copy of the ledger a run reads: types, contents, position."""

import datetime as dt
import json
import shutil

import pytest

from ptp_pipeline.ledger import commitments, files, outbox, overrides, policies, snapshot, users
from ptp_pipeline.ledger.connection import Actor

PIPELINE = Actor("pipeline", "pipeline", "pipeline", "dagster")
AS_OF = dt.date(2026, 4, 30)
INSTALLMENT = 'STRUCT("sequence" INTEGER, due_date DATE, amount_minor BIGINT, grace_days INTEGER)[]'
TYPES = {
    "params": "org_id VARCHAR, as_of DATE, currency VARCHAR, timezone VARCHAR, business_day_rule VARCHAR, grace_days INTEGER,"
    " exact_amount_window_days INTEGER, due_soon_days INTEGER, default_after_broken INTEGER, ledger_position BIGINT, policy_version"
    " INTEGER",
    "kind_policy": "kind VARCHAR, tolerance_amount DECIMAL(18,3), tolerance_percent DECIMAL(9,4)",
    "currencies": "currency VARCHAR, exponent INTEGER",
    "holidays": "date DATE, name VARCHAR",
    "weekend": "iso_dow INTEGER",
    "commitments": "commitment_id VARCHAR, kind VARCHAR, customer_id VARCHAR, currency VARCHAR, owner VARCHAR, channel VARCHAR,"
    " contact_name VARCHAR,"
    " contact_email VARCHAR, confidence INTEGER, confidence_reason VARCHAR, note VARCHAR, evidence_link VARCHAR, logged_by VARCHAR,"
    " logged_at TIMESTAMP, source VARCHAR, file_sha256 VARCHAR, line_number INTEGER",
    "versions": "commitment_id VARCHAR, version INTEGER, agreed_on DATE, amount_minor BIGINT, total_minor BIGINT, discount_minor BIGINT,"
    " down_payment_minor BIGINT, frequency VARCHAR, installment_count INTEGER, first_due_date DATE, grace_days INTEGER,"
    " overpayment_rule VARCHAR,"
    f" invoice_ids VARCHAR[], custom_schedule {INSTALLMENT}, terms_digest VARCHAR, logged_by VARCHAR, logged_at TIMESTAMP, decision"
    f" VARCHAR,"
    " decided_by VARCHAR, decided_role VARCHAR, decided_at TIMESTAMP, decision_reason VARCHAR, schedule VARCHAR,"
    " approval_fits BOOLEAN, cancelled_on DATE, cancel_reason VARCHAR, ended_by VARCHAR, is_paused BOOLEAN",
    "overrides": "payment_id VARCHAR, part INTEGER, commitment_id VARCHAR, amount_minor BIGINT, decided_by VARCHAR, decided_at TIMESTAMP,"
    " reason VARCHAR",
    "accepted_lines": "feed VARCHAR, file_sha256 VARCHAR, line_number INTEGER, outcome VARCHAR, commitment_id VARCHAR, rule"
    " VARCHAR, reason VARCHAR",
}


def export(desk, directory, as_of=AS_OF):
    with desk.as_(PIPELINE) as tx:
        return snapshot.export(tx, directory, as_of)


def rows(directory, table, what="*"):
    import duckdb

    with duckdb.connect() as con:
        return con.execute(f"select {what} from read_parquet('{directory / table}.parquet')").fetchall()


@pytest.mark.parametrize("is_empty", [True, False])
def test_every_table_has_the_types_the_models_expect(desk, tmp_path, is_empty):
    import duckdb

    if not is_empty:
        desk.log("PLAN-1")
    assert set(export(desk, tmp_path)) == set(TYPES) == set(snapshot.LEDGER_TABLES)
    with duckdb.connect() as con:
        for table, expected in TYPES.items():
            described = con.execute(f"describe from read_parquet('{tmp_path / table}.parquet')").fetchall()
            assert ", ".join(f"{name} {kind}" for name, kind, *_ in described) == expected, table


def test_terms_decisions_and_events_arrive_whole(desk, new, tmp_path):
    lines = [
        {"sequence": 1, "due_date": "2026-03-06", "amount_minor": 50_000},
        {"sequence": 2, "due_date": "2026-04-06", "amount_minor": 40_000, "grace_days": 2},
    ]
    desk.log(
        "PLAN-1", frequency="custom", installment_count=None, custom_schedule=lines, invoice_ids=[], note='quotes ", commas\nand lines'
    )
    desk.log("PLAN-2", invoice_ids=["B", "A"])
    desk.decide("sue", ("PLAN-1", 1))
    desk.receive()
    with desk.as_("sue") as tx:
        commitments.cancel(tx, "PLAN-1", dt.date(2026, 5, 1), "settled")
        overrides.set_target(tx, "PAY-1", "PLAN-1", "first guess")
        overrides.set_target(tx, "PAY-1", None, "not ours")
        overrides.split(tx, "PAY-2", [overrides.Part("PLAN-2", 6_000), overrides.Part(None, 4_000)], "two debts, one transfer")
        overrides.set_target(tx, "PAY-3", "PLAN-1", "a slip")
        overrides.undo(tx, "PAY-3", "it was one")
    with desk.as_(PIPELINE) as tx:
        commitments.log_many(tx, [new("PLAN-2", invoice_ids=["A", "B"], file_sha256="f" * 64, line_number=7)])
    assert export(desk, tmp_path)["versions"] == 2
    assert rows(tmp_path, "versions", "commitment_id, invoice_ids, custom_schedule, decision, decided_by, cancelled_on, cancel_reason") == [
        (
            "PLAN-1",
            [],
            [
                {"sequence": 1, "due_date": dt.date(2026, 3, 6), "amount_minor": 50_000, "grace_days": None},
                {"sequence": 2, "due_date": dt.date(2026, 4, 6), "amount_minor": 40_000, "grace_days": 2},
            ],
            "approve",
            "sue",
            dt.date(2026, 5, 1),
            "settled",
        ),
        ("PLAN-2", ["A", "B"], None, None, None, None, None),
    ]
    assert rows(tmp_path, "commitments", "note, channel, file_sha256") == [('quotes ", commas\nand lines', "", None), ("", "", None)]
    assert rows(tmp_path, "overrides", "payment_id, part, commitment_id, amount_minor, reason") == [
        ("PAY-1", 1, None, None, "not ours"),
        ("PAY-2", 1, "PLAN-2", 6_000, "two debts, one transfer"),
        ("PAY-2", 2, None, 4_000, "two debts, one transfer"),
    ]
    assert rows(tmp_path, "accepted_lines", "line_number, outcome, commitment_id, rule") == [(7, "duplicate", "PLAN-2", "known_id")]


def test_policy_and_pausing_are_those_of_the_day(desk, tmp_path):
    desk.log("PR-1", kind="promise")
    with desk.as_("cara") as tx:
        commitments.pause(tx, "PR-1", dt.date(2026, 3, 10), "hospital")
        commitments.resume(tx, "PR-1", dt.date(2026, 3, 20), "back")
    with desk.operator() as tx:
        policies.change(
            tx,
            {"grace_days": 4, "tolerance_amount.plan": "1.5", "tolerance_percent": "2", "calendar": "US"},
            "campaign",
            dt.date(2026, 3, 15),
        )
    seen = {}
    for day in (5, 12, 25):
        export(desk, tmp_path / str(day), dt.date(2026, 3, day))
        ((grace, version),) = rows(tmp_path / str(day), "params", "grace_days, policy_version")
        ((is_paused,),) = rows(tmp_path / str(day), "versions", "is_paused")
        seen[day] = (grace, version, is_paused)
    assert seen == {5: (0, 1, False), 12: (0, 1, True), 25: (4, 2, False)}
    assert [tuple(map(str, row)) for row in rows(tmp_path / "25", "kind_policy")] == [
        ("promise", "0.000", "2.0000"), ("repeating_promise", "0.000", "2.0000"), ("plan", "1.500", "2.0000"),
    ]  # fmt: skip
    assert (dt.date(2026, 7, 3), "Independence Day (observed)") in rows(tmp_path / "25", "holidays")
    assert rows(tmp_path / "25", "weekend") == [(6,), (7,)]
    assert rows(tmp_path / "5", "holidays") == []


def test_the_same_ledger_gives_the_same_bytes(desk, tmp_path):
    for n in range(5):
        desk.log(f"PLAN-{n}")
    export(desk, tmp_path / "a")
    export(desk, tmp_path / "b")
    for table in snapshot.LEDGER_TABLES:
        assert (tmp_path / "a" / f"{table}.parquet").read_bytes() == (tmp_path / "b" / f"{table}.parquet").read_bytes()


def test_the_position_moves_with_inputs_and_with_nothing_else(desk):
    from ptp_pipeline.domain.messages import Message

    def position():
        with desk.as_(PIPELINE) as tx:
            return snapshot.positions(tx)

    start = position()
    with desk.operator() as tx:
        users.issue_token(tx, "cara")
    with desk.as_(PIPELINE) as tx:
        outbox.enqueue(tx, Message("daily", AS_OF, "k", ("a@b.c",), "s", "h", "t"))
    assert position() == start
    desk.log("PLAN-1")
    logged = position()
    desk.decide("sue", ("PLAN-1", 1))
    assert start < logged < position()


KEPT = b"copied"


def is_copied(desk, tmp_path, **changed):
    """Whether the next snapshot copies the tables of one made before: they are marked. One that does not is as one made from nothing."""
    earlier, fresh = tmp_path / "earlier", tmp_path / "fresh"
    made = {"as_of": AS_OF, "made_by": "this program", **changed}
    marked = {table: (earlier / f"{table}.parquet") for table in snapshot.LEDGER_TABLES}
    for path in marked.values():
        path.write_bytes(KEPT)
    with desk.as_(PIPELINE) as tx:
        counts = snapshot.export(tx, fresh, made["as_of"], earlier, made["made_by"])
        assert counts == snapshot.export(tx, tmp_path / "anew", made["as_of"], made_by=made["made_by"])
    copied = {table for table in marked if (fresh / f"{table}.parquet").read_bytes() == KEPT}
    for table in marked.keys() - copied:
        assert (fresh / f"{table}.parquet").read_bytes() == (tmp_path / "anew" / f"{table}.parquet").read_bytes(), table
    assert copied in (set(), marked.keys() - {"params"})
    return bool(copied)


@pytest.fixture
def shown(desk, new, tmp_path):
    """A book with a snapshot of it: PLAN-1 in force, PLAN-2 waits, a paused promise, a decision on a payment."""
    desk.log("PLAN-1")
    desk.decide("sue", ("PLAN-1", 1))
    desk.log("PLAN-2")
    desk.log("PR-1", kind="promise")
    with desk.as_("cara") as tx:
        commitments.pause(tx, "PR-1", dt.date(2026, 3, 10), "hospital")
        overrides.set_target(tx, "PAY-1", "PLAN-1", "first guess")
    accept(desk, "commitments")
    with desk.as_(PIPELINE) as tx:
        snapshot.export(tx, tmp_path / "earlier", AS_OF, made_by="this program")
    return desk


def accept(desk, feed):
    with desk.as_(PIPELINE) as tx:
        sha = feed.encode().hex().ljust(64, "0")[:64]
        files.register(tx, files.FileFacts(feed, f"{feed}.csv", 10, sha, f"rows-{feed}", 1, "accepted"))


def by(who, act):
    def do(desk):
        with desk.as_(who) as tx:
            act(tx)

    return do


def by_operator(act):
    def do(desk):
        with desk.operator() as tx:
            act(tx)

    return do


def answer(desk):
    """A line of a file that was accepted before the snapshot is answered after it: by an import that was cut short."""
    with desk.as_(PIPELINE) as tx:
        tx.execute(
            "insert into ptp.feed_line (org_id, feed, file_sha256, line_number, outcome, commitment_id, rule, reason)"
            " values (ptp.current_org(), 'commitments', %s, 2, 'refused', 'X', 'r', 'because')",
            [b"commitments".hex().ljust(64, "0")],
        )


DAY = dt.date(2026, 4, 1)
ACTS = {
    "logged": lambda desk: desk.log("PLAN-3"),
    "approved": lambda desk: desk.decide("sue", ("PLAN-2", 1)),
    "rejected": lambda desk: desk.decide("sue", ("PLAN-2", 1), decision="reject"),
    "sent back": lambda desk: desk.decide("sue", ("PLAN-2", 1), decision="send_back"),
    "cancelled": by("sue", lambda tx: commitments.cancel(tx, "PLAN-1", DAY, "settled")),
    "paused": by("cara", lambda tx: commitments.pause(tx, "PLAN-1", DAY, "hospital")),
    "resumed": by("cara", lambda tx: commitments.resume(tx, "PR-1", DAY, "back")),
    "decided": by("cara", lambda tx: overrides.set_target(tx, "PAY-2", "PLAN-1", "hers")),
    "undone": by("cara", lambda tx: overrides.undo(tx, "PAY-1", "a slip")),
    "split": by("cara", lambda tx: overrides.split(tx, "PAY-3", [overrides.Part("PLAN-1", 5), overrides.Part(None, 4)], "two")),
    "policy": by_operator(lambda tx: policies.change(tx, {"calendar": "US"}, "moved", dt.date(2026, 1, 1))),
    "policy of later": by_operator(lambda tx: policies.change(tx, {"grace_days": 2}, "later", dt.date(2026, 5, 15))),
    "a file of commitments": lambda desk: accept(desk, "installments"),
    "an answer to a file": answer,
}


@pytest.mark.parametrize("act", ACTS.values(), ids=ACTS.keys())
def test_after_an_act_that_it_may_show_a_snapshot_is_made_anew(shown, tmp_path, act):
    act(shown)
    assert not is_copied(shown, tmp_path)


def test_after_payments_invoices_or_nothing_the_tables_of_the_last_snapshot_are_copied(shown, tmp_path):
    assert is_copied(shown, tmp_path)
    for feed in ("payments", "invoices", "contacts"):
        accept(shown, feed)
        before = rows(tmp_path / "anew", "params", "ledger_position")
        assert is_copied(shown, tmp_path)
        assert rows(tmp_path / "fresh", "params") == rows(tmp_path / "anew", "params")
        assert rows(tmp_path / "fresh", "params", "ledger_position") > before
    # One that was copied is as good as one that was made.
    shutil.rmtree(tmp_path / "earlier")
    (tmp_path / "fresh").rename(tmp_path / "earlier")
    assert is_copied(shown, tmp_path)


def test_what_was_made_for_another_day_or_by_another_program_or_of_another_ledger_is_not_copied(shown, tmp_path):
    assert not is_copied(shown, tmp_path, as_of=AS_OF + dt.timedelta(1))
    assert not is_copied(shown, tmp_path, made_by="another program")
    made_of = tmp_path / "earlier" / snapshot.MADE_OF
    known = json.loads(made_of.read_text())
    # A ledger that was restored from a backup went on from there to the same number.
    made_of.write_text(json.dumps({**known, "made_of": {**known["made_of"], "head": "0" * 64}}))
    assert not is_copied(shown, tmp_path)
    # What a crash, or a later version, may have left.
    for left in ("", "{}", json.dumps({**known, "made_of": {"as_of": known["made_of"]["as_of"]}})):
        made_of.write_text(left)
        assert not is_copied(shown, tmp_path)
    made_of.unlink()
    assert not is_copied(shown, tmp_path)
    made_of.write_text(json.dumps(known))
    assert is_copied(shown, tmp_path)
    (tmp_path / "earlier" / "versions.parquet").unlink()
    with shown.as_(PIPELINE) as tx:
        snapshot.export(tx, tmp_path / "whole", AS_OF, tmp_path / "earlier", "this program")
    assert KEPT not in {path.read_bytes() for path in (tmp_path / "whole").glob("*.parquet")}
