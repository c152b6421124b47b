"""Logging, duplicates under real concurrency, ending and pausing, files and overrides."""

import datetime as dt
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import psycopg
import pytest

from ptp_pipeline.domain.terms import BadTerms, make_terms
from ptp_pipeline.errors import Refused, UsageError
from ptp_pipeline.ledger import audit, builds, commitments, files, overrides, snapshot, transitions
from ptp_pipeline.ledger.connection import Actor, Transaction

PIPELINE = Actor("pipeline", "pipeline", "pipeline", "dagster")
SHA = "f" * 64


def at_once(*acts):
    """Run the acts in parallel, started together; their results or refusals, in order."""
    together = Barrier(len(acts))

    def run(act):
        together.wait()
        try:
            return act()
        except Refused as refusal:
            return refusal

    with ThreadPoolExecutor(len(acts)) as pool:
        return list(pool.map(run, acts))


def facts(name="a.csv", *, content="a", rows="r", feed="payments", status="accepted", reason=""):
    return files.FileFacts(feed, name, 10, (content * 64)[:64], rows, 3, status, reason)


# the same promise twice ----------------------------------------------------------------------------------------------


def test_a_commitment_id_is_taken_once(desk):
    desk.log("PLAN-1")
    with pytest.raises(Refused, match="PLAN-1 is known already, with other terms"):
        desk.log("PLAN-1", amount_minor=60_000)


def test_the_same_promise_under_another_id_is_refused_with_a_pointer(desk):
    desk.log("PR-1", kind="promise", invoice_ids=["B", "A"])
    with pytest.raises(Refused, match=r"PR-2 is the same as PR-1: customer C-1, 900\.00 USD due 2026-03-06, invoices A, B") as error:
        desk.log("PR-2", kind="promise", invoice_ids=["A", "B"])
    assert error.value.next_step == "See `ptp show PR-1`."
    desk.log("PR-3", kind="promise", invoice_ids=["A"])


def test_the_same_promise_from_two_terminals_at_once_is_logged_once(desk):
    answers = at_once(
        lambda: desk.log("PR-1", who="cara", kind="promise", invoice_ids=["A"]),
        lambda: desk.log("PR-2", who="sue", kind="promise", invoice_ids=["A"]),
    )
    assert sorted(type(a).__name__ for a in answers) == ["Logged", "Refused"]
    assert "is the same as" in next(str(a) for a in answers if isinstance(a, Refused))


def test_one_id_from_two_terminals_at_once_is_logged_once(desk):
    answers = at_once(*[lambda n=n: desk.log("PLAN-1", amount_minor=10_000 + n) for n in range(3)])
    assert sorted(type(a).__name__ for a in answers) == ["Logged", "Refused", "Refused"]


def test_direct_sql_does_not_log_the_same_promise_twice(desk):
    desk.log("PR-1", kind="promise", invoice_ids=["A"])
    with desk.raw(signed_in="cara") as con, pytest.raises(psycopg.Error, match="PR-2 is the same as PR-1") as error:
        desk.copy_by_sql(con, "PR-2", invoice_ids=["A", "A"])
    assert error.value.sqlstate == "PT002"


def test_a_promise_that_was_turned_down_or_called_off_can_be_made_again(desk):
    desk.log("PLAN-1", invoice_ids=["A"])
    desk.decide("sue", ("PLAN-1", 1), decision="reject", reason="too long")
    desk.log("PLAN-2", invoice_ids=["A"])
    with desk.as_("cara") as tx:
        commitments.cancel(tx, "PLAN-2", dt.date(2026, 3, 2), "customer changed his mind")
    desk.log("PLAN-3", invoice_ids=["A"])


def test_terms_in_force_stay_claimed_while_new_ones_wait_or_are_turned_down(desk, new):
    desk.log("PR-1", kind="promise", invoice_ids=["A"])
    later = {"agreed_on": "2026-03-05", "first_due_date": "2026-04-05"}
    with desk.as_("cara") as tx:
        commitments.renegotiate(tx, "PR-1", new("PR-1", kind="promise", invoice_ids=["A"], **later).terms, "next month")
    for taken in ({}, later):
        with pytest.raises(Refused, match="PR-2 is the same as PR-1"):
            desk.log("PR-2", kind="promise", invoice_ids=["A"], **taken)
    desk.decide("sue", ("PR-1", 2), decision="reject", reason="no")
    with pytest.raises(Refused, match="PR-2 is the same as PR-1"):
        desk.log("PR-2", kind="promise", invoice_ids=["A"])
    assert desk.log("PR-3", kind="promise", invoice_ids=["A"], **later).commitment_id == "PR-3"


def test_superseded_terms_are_free_again(desk, new):
    desk.log("PR-1", kind="promise", invoice_ids=["A"])
    with desk.as_("cara") as tx:
        later = new("PR-1", kind="promise", invoice_ids=["A"], agreed_on="2026-03-05", first_due_date="2026-04-05").terms
        commitments.renegotiate(tx, "PR-1", later, "next month")
    desk.decide("sue", ("PR-1", 2), reason="yes")
    assert desk.log("PR-2", kind="promise", invoice_ids=["A"]).status == "active"


# what terms may be, for clients that skip the words ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("amount_minor", -1), ("discount_minor", 90_000), ("down_payment_minor", 90_000), ("first_due_date", "2026-03-01"),
        ("installment_count", 0),
        ("frequency", "daily"), ("total_minor", 1), ("grace_days", -1), ("overpayment_rule", "first"), ("first_due_date", "2199-12-31"),
        ("custom_schedule", '[{"sequence": 1, "due_date": "2026-03-06", "amount_minor": 1}]'), ("version", 3), ("kind", "promise"),
        ("customer_id", "C-2"),
    ],
)  # fmt: skip
def test_impossible_terms_are_refused_by_the_database_too(desk, column, value):
    desk.log("PLAN-1")
    columns = [
        "org_id", "commitment_id", "version", "kind", "customer_id", "currency", "agreed_on", "amount_minor", "total_minor",
        "discount_minor",
        "down_payment_minor", "frequency", "installment_count", "first_due_date", "grace_days", "overpayment_rule", "invoice_ids",
        "custom_schedule",
        "reason", "terms_digest", "logged_by", "logged_at",
    ]  # fmt: skip
    picked = [
        f"%(value)s::{'jsonb' if c == 'custom_schedule' else 'text'}" if c == column else ("2" if c == "version" else c) for c in columns
    ]
    kinds = {"amount_minor": "bigint", "discount_minor": "bigint", "down_payment_minor": "bigint", "total_minor": "bigint",
         "first_due_date": "date",
             "installment_count": "int", "grace_days": "int", "version": "int"}  # fmt: skip
    picked = [p.replace("::text", f"::{kinds[c]}") if c == column and c in kinds else p for c, p in zip(columns, picked, strict=True)]
    with desk.raw(signed_in="cara") as con, pytest.raises(psycopg.Error) as error:
        con.execute(
            f"insert into ptp.commitment_version ({', '.join(columns)}) select {', '.join(picked)} from ptp.commitment_version",
            {"value": value},
        )
    assert error.value.sqlstate in ("23514", "23503", "PT001")


def test_a_custom_schedule_that_does_not_add_up_says_so(desk, new):
    lines = [
        {"sequence": 1, "due_date": "2026-03-06", "amount_minor": 50_000},
        {"sequence": 2, "due_date": "2026-04-06", "amount_minor": 39_999},
    ]
    with pytest.raises(BadTerms, match=r"add up to 899\.99 USD, but 900\.00 USD"):
        new("PLAN-1", frequency="custom", installment_count=None, custom_schedule=lines)
    lines[1]["amount_minor"] = 40_000
    assert desk.log("PLAN-1", frequency="custom", installment_count=None, custom_schedule=lines).status == "pending_approval"


# files of commitments ------------------------------------------------------------------------------------------------


def test_rows_of_a_file_each_get_their_outcome_and_the_same_one_when_asked_again(desk, new):
    desk.receive()
    rows = [
        new("PLAN-1", file_sha256=SHA, line_number=2),
        new("PLAN-1", file_sha256=SHA, line_number=3),
        new("PLAN-1", amount_minor=5_000, file_sha256=SHA, line_number=4),
        new("PLAN-9", invoice_ids=["INV-PLAN-1"], file_sha256=SHA, line_number=5),
        new("PR-1", kind="promise", file_sha256=SHA, line_number=6),
    ]
    with desk.as_(PIPELINE) as tx:
        first = commitments.log_many(tx, rows)
    assert [(o.commitment_id, o.outcome, o.rule, o.status) for o in first] == [
        ("PLAN-1", "loaded", "", "pending_approval"),
        ("PLAN-1", "duplicate", "known_id", ""),
        ("PLAN-1", "refused", "commitment_id_conflict", ""),
        ("PLAN-1", "duplicate", "identical_promise", ""),
        ("PR-1", "loaded", "", "active"),
    ]
    with desk.as_(PIPELINE) as tx:
        assert commitments.log_many(tx, rows) == first
        assert len(audit.show(tx, action="commitment.logged")) == 2


def test_a_row_sent_again_in_another_file_is_a_duplicate(desk, new):
    desk.receive()
    with desk.as_(PIPELINE) as tx:
        commitments.log_many(tx, [new("PLAN-1", file_sha256=SHA, line_number=2)])
        (again,) = commitments.log_many(tx, [new("PLAN-1", note="resent", file_sha256="e" * 64, line_number=2)])
    assert (again.outcome, again.rule) == ("duplicate", "known_id")


def test_rows_without_file_and_line_are_not_feed_rows(desk, new):
    with desk.as_(PIPELINE) as tx, pytest.raises(UsageError):
        commitments.log_many(tx, [new("PLAN-1")])


def test_a_thousand_rows_take_as_many_statements_as_ten(desk, new, monkeypatch):
    desk.receive()
    ran: list[str] = []
    as_it_is = Transaction.execute
    monkeypatch.setattr(Transaction, "execute", lambda tx, sql, params=None: (ran.append(sql), as_it_is(tx, sql, params))[1])

    def statements(first: int, count: int) -> int:
        ran.clear()
        rows = [new(f"PR-{n}", kind="promise", file_sha256=SHA, line_number=n + 2) for n in range(first, first + count)]
        with desk.as_(PIPELINE) as tx:
            outcomes = commitments.log_many(tx, rows)
        assert {o.status for o in outcomes} == {"active"}
        return len(ran)

    assert statements(0, 10) == statements(10, 990)


# a commitment's life -------------------------------------------------------------------------------------------------


def test_a_repeating_promise_freezes_the_debt_it_settles(desk, new):
    logged = desk.log("RP-1", kind="repeating_promise", frequency="weekly", amount_minor=20_000, total_minor=90_000)
    with desk.as_("cara") as tx:
        (item,) = commitments.pending(tx)
    assert (logged.status, item.terms.installment_count, item.terms.total_minor) == ("pending_approval", 5, 90_000)


def test_pending_items_carry_terms_and_guardrails_and_can_be_named(desk):
    desk.log("PLAN-1", amount_minor=6_000_000)
    with desk.as_("sue") as tx:
        (item,) = commitments.pending(tx)
        assert (item.commitment_id, item.version, item.kind, item.currency, item.logged_by, item.owner) == (
            "PLAN-1",
            1,
            "plan",
            "USD",
            "cara",
            "cara",
        )
        assert item.guardrails == ["Plan exceeds 50,000 USD: Controller approval required"]
        assert commitments.resolve_pending(tx, ["PLAN-1", "PLAN-1@1"]) == [("PLAN-1", 1), ("PLAN-1", 1)]
        with pytest.raises(Refused, match="PLAN-2, PLAN-1@2"):
            commitments.resolve_pending(tx, ["PLAN-1", "PLAN-2", "PLAN-1@2"])


def test_a_commitment_without_an_id_gets_one(desk, new):
    assert desk.log(None, kind="promise").commitment_id.startswith("PR-")


def test_an_analyst_logs_nothing(desk):
    with pytest.raises(Refused, match="analyst"):
        desk.log("PLAN-1", who="ann")


def test_an_active_commitment_is_cancelled_once_and_not_before_it_was_agreed(desk):
    desk.log("PR-1", kind="promise")
    with pytest.raises(Refused, match="agreed on 2026-03-02"), desk.as_("sue") as tx:
        commitments.cancel(tx, "PR-1", dt.date(2026, 3, 1), "oops")
    with desk.as_("sue") as tx:
        commitments.cancel(tx, "PR-1", dt.date(2026, 3, 3), "paid by card")
    with pytest.raises(Refused, match="PR-1 was cancelled on 2026-03-03: paid by card"), desk.as_("cara") as tx:
        commitments.pause(tx, "PR-1", dt.date(2026, 3, 4), "hospital")
    assert desk.status("PR-1") == "cancelled"


def test_nothing_ends_ahead_of_its_day_which_would_free_what_it_claims_till_then(desk):
    ahead = dt.date(2199, 1, 1)
    desk.log("PR-1", kind="promise")
    desk.log("PLAN-2")
    for end, name in ((commitments.cancel, "PR-1"), (commitments.close, "PR-1"), (commitments.withdraw, "PLAN-2")):
        with (
            pytest.raises(Refused, match=f"2199-01-01 is still to come: nobody can {end.__name__} {name} ahead") as error,
            desk.as_("sue") as tx,
        ):
            end(tx, name, ahead, "later")
        assert error.value.next_step.startswith("Do it on that day, or as of today")
    desk.log("PR-3", kind="promise", agreed_on="2199-01-01", first_due_date="2199-01-02")
    desk.decide("sue", ("PR-3", 1))
    with desk.as_("sue") as tx:
        commitments.cancel(tx, "PR-3", ahead, "never came into force")


def test_what_is_paused_is_not_paused_again_nor_resumed_when_it_is_not(desk):
    desk.log("PR-1", kind="promise")

    def event(act, day):
        with desk.as_("cara") as tx:
            act(tx, "PR-1", dt.date(2026, 3, day), "hospital")

    with pytest.raises(Refused, match="PR-1 is not paused on 2026-03-04"):
        event(commitments.resume, 4)
    event(commitments.pause, 4)
    with pytest.raises(Refused, match="PR-1 is paused already, since 2026-03-04"):
        event(commitments.pause, 5)
    with pytest.raises(Refused, match="PR-1 is not paused on 2026-03-03"):
        event(commitments.resume, 3)
    event(commitments.resume, 6)
    with pytest.raises(Refused, match="PR-1 is not paused on 2026-03-06"):
        event(commitments.resume, 6)
    event(commitments.pause, 6)


@pytest.mark.parametrize(
    ("commitment_id", "customer_id"),
    [("PR-2", "C-1 "), ("PR-2", "C-1\u00a0"), ("PR-2", "\tC-1"), ("PR-2", "\u3000"), ("PR-1 ", "C-1"), ("PR-2", ""), ("", "C-1")],
)
def test_an_id_with_a_blank_around_it_is_no_other_customer_or_commitment(desk, commitment_id, customer_id):
    desk.log("PR-1", kind="promise")
    with desk.raw(signed_in="cara") as con, pytest.raises(psycopg.Error, match="is empty, or begins or ends with a blank"):
        con.execute(
            "insert into ptp.commitment (org_id, commitment_id, kind, customer_id, currency, source)"
            " select org_id, %s, kind, %s, currency, 'cli' from ptp.commitment",
            [commitment_id, customer_id],
        )


@pytest.mark.parametrize("invoice", ["A ", "\u2003A", "A\x1fB"])
def test_an_id_with_a_blank_around_it_is_no_other_invoice(desk, invoice):
    desk.log("PR-1", kind="promise")
    with desk.raw(signed_in="cara") as con, pytest.raises(psycopg.Error, match=r"The invoice id .* begins or ends with a blank"):
        desk.copy_by_sql(con, "PR-2", invoice_ids=[invoice])


def test_a_version_that_was_superseded_before_the_cancellation_is_superseded(desk, new):
    desk.log("PLAN-1")
    desk.decide("sue", ("PLAN-1", 1))
    for version, day in ((2, 10), (3, 20)):
        with desk.as_("cara") as tx:
            commitments.renegotiate(tx, "PLAN-1", new("PLAN-1", agreed_on=f"2026-03-{day}", first_due_date="2026-04-01").terms, "later")
        desk.decide("sue", ("PLAN-1", version))
    with desk.as_("sue") as tx:
        commitments.cancel(tx, "PLAN-1", dt.date(2026, 3, 15), "sold")
    assert [desk.status("PLAN-1", version) for version in (1, 2, 3)] == ["superseded", "cancelled", "cancelled"]


def test_what_was_sent_back_and_came_again_is_superseded(desk, new):
    desk.log("PLAN-1")
    desk.decide("sue", ("PLAN-1", 1), decision="send_back", reason="why?")
    assert desk.status("PLAN-1") == "draft"
    with desk.as_("cara") as tx:
        commitments.renegotiate(tx, "PLAN-1", new("PLAN-1").terms, "lost a customer")
    assert desk.status("PLAN-1") == "superseded"


def test_renegotiation_keeps_kind_and_currency_and_says_what_changed(desk, new):
    desk.log("PLAN-1")
    with pytest.raises(Refused, match="is a plan in USD"), desk.as_("cara") as tx:
        commitments.renegotiate(tx, "PLAN-1", make_terms(**{**new("x").terms.model_dump(), "currency": "EUR"}), "moved")
    with pytest.raises(Refused, match="has already"), desk.as_("cara") as tx:
        commitments.renegotiate(tx, "PLAN-1", new("PLAN-1").terms, "same")
    with desk.as_("cara") as tx:
        commitments.renegotiate(tx, "PLAN-1", new("PLAN-1", installment_count=6).terms, "needs longer")
        event = audit.show(tx, object_id="PLAN-1")[-1]
    assert (event.action, event.before, event.after, event.reason) == (
        "commitment.renegotiated", {"installment_count": 3},
        {"version": 2, "installment_count": 6}, "needs longer",
    )  # fmt: skip


# files ------------------------------------------------------------------------------------------------------------------


def test_a_file_is_accepted_once_by_bytes_and_by_rows(desk):
    with desk.as_(PIPELINE) as tx:
        first = files.register(tx, facts())
        for again, same in ((facts("b.csv", rows="other"), "bytes"), (facts("c.csv", content="c"), "rows")):
            with pytest.raises(files.DuplicateFile) as error:
                files.register(tx, again)
            assert (error.value.first, error.value.same) == (first, same)
            files.register(
                tx,
                facts(again.file_name, content=again.content_sha256[0], rows=again.rows_fingerprint, status="rejected", reason="duplicate"),
            )
        files.register(tx, facts(feed="invoices"))
        assert [(f.file_sequence, f.feed) for f in files.accepted(tx)] == [(1, "payments"), (4, "invoices")]
        assert [f.status for f in files.list_files(tx)] == ["accepted", "rejected", "rejected", "accepted"]
        assert [e.action for e in audit.show(tx, action="file.")] == ["file.accepted", "file.rejected", "file.rejected", "file.accepted"]


def test_one_file_from_two_sensors_at_once_is_accepted_once(desk):
    def register(name):
        with desk.as_(PIPELINE) as tx:
            return files.register(tx, facts(name))

    answers = at_once(lambda: register("a.csv"), lambda: register("b.csv"), lambda: register("c.csv"))
    assert sorted(type(a).__name__ for a in answers) == ["DuplicateFile", "DuplicateFile", "ReceivedFile"]


def test_direct_sql_does_not_accept_a_file_twice(desk):
    with desk.as_(PIPELINE) as tx:
        files.register(tx, facts())
    with (
        desk.raw(actor="pipeline", role="pipeline", auth="pipeline", login="ptp_pipeline") as con,
        pytest.raises(psycopg.Error, match=r"again.csv is the same payments file as a.csv"),
    ):
        con.execute(
            "insert into ptp.received_file (org_id, feed, file_name, byte_size, content_sha256, rows_fingerprint, row_count, status)"
            " select org_id, feed, 'again.csv', byte_size, content_sha256, rows_fingerprint, row_count, status from ptp.received_file"
        )


# what runs and people add ---------------------------------------------------------------------------------------------


def test_an_override_needs_a_reason_and_a_commitment_that_exists(desk):
    with desk.as_("cara") as tx, pytest.raises(UsageError):
        overrides.set_target(tx, "PAY-1", None, " ")
    with desk.as_("cara") as tx, pytest.raises(Refused, match="no commitment NOPE"):
        overrides.set_target(tx, "PAY-1", "NOPE", "guess")


def test_transitions_are_appended_once(desk, tmp_path):
    row = {"commitment_id": "P", "version": 1, "sequence": 1, "from_state": "in_grace", "to_state": "broken",
         "effective_on": dt.date(2026, 3, 7),
           "cause": "due date and grace passed", "figures": '{"missing": 5}'}  # fmt: skip
    rows = [row, {**row, "sequence": 2}, {**row, "from_state": None, "figures": {"missing": 5}}]
    line = "P,1,{},{},broken,2026-03-07,due date and grace passed,{{}}\n"
    file = tmp_path / "t.csv"
    file.write_text(line.format(1, "in_grace") + line.format(3, "in_grace") + line.format(1, '""'))
    with desk.as_(PIPELINE) as tx:
        before = snapshot.positions(tx)
        for run, offered, new in (("run-1", rows, 3), ("run-2", rows, 0), ("run-3", file, 1)):
            assert transitions.append(tx, offered, run) == new
            transitions.note(tx, run, new)
        assert [e.object_id for e in audit.show(tx, action="transition.appended")] == ["run-1", "run-3"]
        assert snapshot.positions(tx) == before


def test_a_build_is_recorded_once_and_the_newest_is_known(desk):
    with desk.as_(PIPELINE) as tx:
        assert builds.latest(tx) is None
        before = snapshot.positions(tx)
        for build_id in ("b1", "b2", "b2"):
            builds.record(tx, build_id, dt.date(2026, 3, 7), "run", "digest", {"installments": 3}, before, {})
        newest = builds.latest(tx)
        assert (newest.build_id, newest.ledger_position, newest.counts) == ("b2", before, {"installments": 3})
        assert (snapshot.positions(tx), len(audit.show(tx, action="build.recorded"))) == (before, 2)
