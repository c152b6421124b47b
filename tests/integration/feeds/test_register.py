"""Commitments that come in files: into the ledger once, waiting for what they need, and told apart from each other."""

from ptp_pipeline.ledger import commitments, policies, users
from ptp_pipeline.ledger.connection import Actor

PIPELINE = Actor(name="pipeline", role="pipeline", auth="pipeline", origin="dagster")
PROMISE = "PR1,promise,C1,2026-01-01,5.00,2026-01-05,,,I1"
OPERATOR = Actor(name="operator", role="operator", auth="operator", origin="cli")
CUSTOM = "PL1,plan,C1,2026-01-01,100.00,2026-02-01,custom,,"


def signed_in(desk, name, role):
    with desk.ledger.operator(OPERATOR, desk.org) as tx:
        users.add_user(tx, name, role, "correct horse battery")
        token = users.issue_token(tx, name)
    return users.authenticate_token(desk.ledger, desk.org, token, "cli")


def logged(desk):
    with desk.ledger.transaction(desk.org, PIPELINE) as tx:
        rows = tx.all(
            "select commitment_id, version, total_minor, installment_count from ptp.commitment_version"
            " where org_id = ptp.current_org() order by 1, 2"
        )
    return [tuple(row.values()) for row in rows]


def rules(desk):
    return [(feed, line, rule) for feed, line, _, _, rule in desk.quarantine()]


def messages(desk):
    return [message for (message,) in desk.rows("select message from raw.quarantine order by all")]


def test_a_promise_in_a_file_is_logged_once_however_often_it_is_run_or_sent(desk):
    desk.drop("commitments", "1.csv", PROMISE)
    assert desk.run() == {"loaded": 1, "duplicate": 0, "quarantined": 0}
    desk.drop("commitments", "2.csv", PROMISE, "PR9,promise,C2,2026-01-01,7.00,2026-01-05,,,")
    assert desk.run() == desk.run() == {"loaded": 2, "duplicate": 1, "quarantined": 0}
    assert logged(desk) == [("PR1", 1, 500, 1), ("PR9", 1, 700, 1)]
    assert desk.files() == [("1.csv", 1, 1, 0, 0), ("2.csv", 2, 1, 0, 1)]


def test_a_known_id_with_other_terms_goes_to_quarantine(desk):
    desk.drop("commitments", "1.csv", PROMISE, PROMISE.replace("5.00", "6.00"))
    desk.run()
    assert rules(desk) == [("commitments", 3, "commitment_id_conflict")]
    assert "renegotiation" in messages(desk)[0]


def test_the_same_promise_under_another_id_goes_to_quarantine_with_a_pointer(desk):
    desk.drop("commitments", "1.csv", PROMISE, PROMISE.replace("PR1", "PR2"))
    desk.run()
    assert rules(desk) == [("commitments", 3, "duplicate_commitment")]
    assert messages(desk) == ["PR2 is the same as PR1: customer C1, 5.00 USD due 2026-01-05, invoices I1."]
    assert [row[0] for row in logged(desk)] == ["PR1"]


def test_a_promise_beyond_what_is_open_goes_to_quarantine_with_figures_and_a_next_step(desk):
    with desk.ledger.transaction(desk.org, PIPELINE) as tx:
        tx.execute("insert into ptp.position_source (org_id, build_id, digest, as_of) values (ptp.current_org(), 'b', 'd', '2026-01-01')")
        tx.execute("insert into ptp.invoice_position values (ptp.current_org(), 'I1', 'C1', 'USD', 900, 900)")
    desk.drop(
        "commitments",
        "1.csv",
        PROMISE,
        PROMISE.replace("PR1", "PR2").replace("5.00", "4.01"),
        PROMISE.replace("PR1", "PR3").replace("5.00", "4.00"),
    )
    desk.run()
    assert desk.run() == {"loaded": 2, "duplicate": 0, "quarantined": 1}
    assert rules(desk) == [("commitments", 3, "over_promised")]
    (message,) = messages(desk)
    assert message.startswith(
        "PR2 would promise 4.01 USD on I1, but 4.00 USD is left to promise on I1: 9.00 USD open on 2026-01-01, 5.00 USD promised by PR1. "
    )
    assert "renegotiate or cancel PR1" in message


def test_an_invoice_that_comes_with_its_commitment_counts_and_one_that_does_not_adds_nothing(desk):
    with desk.ledger.transaction(desk.org, PIPELINE) as tx:
        tx.execute("insert into ptp.position_source (org_id, build_id, digest, as_of) values (ptp.current_org(), 'b', 'd', '2026-01-01')")
        tx.execute("insert into ptp.invoice_position values (ptp.current_org(), 'I1', 'C1', 'USD', 500, 500)")
    both = PROMISE.replace("5.00", "12.00").replace(",I1", ",I1;I2")
    desk.drop("commitments", "c.csv", both, both.replace("PR1", "PR2").replace("I2", "I9").replace("C1", "C9"))
    desk.drop("invoices", "i.csv", "I1,C1,A,2026-01-01,2026-01-31,99.00,", "I2,C1,A,2026-01-01,2026-01-31,7.00,")
    assert desk.run() == {"loaded": 1, "duplicate": 0, "quarantined": 1}
    assert [row[0] for row in logged(desk)] == ["PR1"]
    (message,) = messages(desk)
    assert "5.00 USD is left to promise on I1" in message
    assert "ptp does not know I9" in message


def test_a_duplicate_promise_does_not_come_alive_when_the_first_one_is_cancelled(desk):
    desk.drop("commitments", "1.csv", PROMISE, PROMISE.replace("PR1", "PR2"))
    desk.run()
    with desk.ledger.transaction(desk.org, signed_in(desk, "sue", "supervisor")) as tx:
        (row,) = tx.all("select ptp.org_today() as today")
        commitments.cancel(tx, "PR1", row["today"], "withdrawn by the customer")
    desk.build()
    assert [row[0] for row in logged(desk)] == ["PR1"]


def test_a_custom_plan_waits_for_its_installments_whichever_file_comes_first(desk):
    desk.drop("commitments", "c.csv", CUSTOM)
    desk.run()
    assert rules(desk) == [("commitments", 2, "waiting_for_installments")]
    desk.drop("installments", "i.csv", "PL1,1,2026-02-01,40", "PL1,2,2026-03-01,60.00")
    assert desk.run() == {"loaded": 3, "duplicate": 0, "quarantined": 0}
    assert logged(desk) == [("PL1", 1, 10000, 2)]

    desk.drop("installments", "j.csv", "PL2,1,2026-02-01,100.00")
    desk.run()
    assert rules(desk) == [("installments", 2, "commitment_unknown")]
    desk.drop("commitments", "d.csv", CUSTOM.replace("PL1", "PL2").replace("C1", "C2"))
    desk.run()
    assert rules(desk) == []


def test_installments_that_do_not_add_up_are_quarantined_with_both_figures_and_taken_once_corrected(desk):
    desk.drop("commitments", "c.csv", CUSTOM)
    desk.drop("installments", "i.csv", "PL1,1,2026-02-01,40", "PL1,2,2026-03-01,50")
    desk.run()
    assert rules(desk) == [
        ("commitments", 2, "installments_sum"),
        ("installments", 2, "installments_sum"),
        ("installments", 3, "installments_sum"),
    ]
    assert set(messages(desk)) == {"The 2 installments of PL1 add up to 90.00 USD, but 100.00 USD is to be paid."}
    desk.drop("installments", "corrected.csv", "PL1,1,2026-02-01,40", "PL1,2,2026-03-01,60")
    desk.run()
    assert logged(desk) == [("PL1", 1, 10000, 2)]
    assert rules(desk) == [("installments", 3, "installment_conflict")]
    assert desk.files() == [("c.csv", 1, 1, 0, 0), ("i.csv", 2, 1, 1, 0), ("corrected.csv", 2, 1, 0, 1)]


def test_a_schedule_may_come_in_two_files(desk):
    desk.drop("commitments", "c.csv", CUSTOM)
    desk.drop("installments", "1.csv", "PL1,1,2026-02-01,40")
    desk.drop("installments", "2.csv", "PL1,2,2026-03-01,60")
    desk.run()
    assert logged(desk) == [("PL1", 1, 10000, 2)]


def test_a_custom_plan_sent_again_with_its_schedule_is_a_repeat_and_a_changed_schedule_is_not_taken(desk):
    desk.drop("commitments", "1.csv", CUSTOM)
    desk.drop("installments", "1.csv", "PL1,1,2026-02-01,40", "PL1,2,2026-03-01,60")
    desk.run()
    desk.drop("commitments", "2.csv", CUSTOM, PROMISE)
    desk.drop("installments", "2.csv", "PL1,2,2026-03-01,60", "PL1,3,2026-04-01,60")
    desk.run()
    assert desk.files()[2:] == [("2.csv", 2, 1, 0, 1), ("2.csv", 2, 0, 1, 1)]
    assert rules(desk) == [("installments", 3, "installment_conflict")]
    desk.drop("commitments", "3.csv", CUSTOM.replace("100.00", "120.00"))
    desk.run()
    assert ("commitments", 2, "commitment_id_conflict") in rules(desk)


def test_installments_of_a_plan_that_is_not_custom_or_was_not_taken_are_quarantined(desk):
    desk.drop("commitments", "c.csv", PROMISE, CUSTOM, CUSTOM.replace("PL1", "PL2"))
    desk.drop("installments", "i.csv", "PR1,1,2026-02-01,5", "PL1,1,2026-02-01,100", "PL2,1,2026-02-01,100", "NONE,1,2026-02-01,1")
    desk.run()
    found = {message.split()[0]: message for message in messages(desk)}
    assert "PR1 is not a custom plan" in found["PR1"]
    assert "No commitment NONE" in found["No"]
    assert any(m.startswith("PL2 was not taken. PL2 is the same as PL1") for m in messages(desk))
    assert [rule for *_, rule in rules(desk)] == ["duplicate_commitment", *["commitment_unknown"] * 3]


def test_installment_amounts_are_read_in_the_currency_of_their_plan(desk):
    header = "commitment_id,kind,customer_id,agreed_on,amount,currency,first_due_date,frequency"
    desk.drop(
        "commitments",
        "c.csv",
        "Y,plan,C1,2026-01-01,1000,JPY,2026-02-01,custom",
        "K,plan,C2,2026-01-01,1.500,KWD,2026-02-01,custom",
        header=header,
    )
    desk.drop("installments", "i.csv", "Y,1,2026-02-01,999.5", "Y,2,2026-03-01,0.5", "K,1,2026-02-01,1.125", "K,2,2026-03-01,0.375")
    desk.run()
    assert logged(desk) == [("K", 1, 1500, 2)]
    assert [rule for *_, rule in rules(desk)] == ["installment_amount"] * 3
    assert messages(desk)[0] == "Installment 1 of Y: 999.5 is no amount in JPY."


def test_a_repeating_promise_without_a_count_settles_what_is_open_on_its_invoices_when_it_is_logged(desk):
    desk.drop("invoices", "i.csv", "I1,C1,Acme,2026-01-01,2026-01-31,300.00,250.00", "I2,C1,Acme,2026-01-01,2026-01-31,100.00,")
    desk.drop(
        "commitments",
        "c.csv",
        "R1,repeating_promise,C1,2026-01-01,100.00,2026-02-01,monthly,,I1;I2",
        "R2,repeating_promise,C1,2026-01-01,10.00,2026-02-01,weekly,3,",
    )
    desk.run()
    assert logged(desk) == [("R1", 1, 35000, 4), ("R2", 1, 3000, 3)]
    desk.drop("invoices", "later.csv", "I1,C1,Acme,2026-01-01,2026-01-31,300.00,10.00")
    desk.drop("commitments", "again.csv", "R1,repeating_promise,C1,2026-01-01,100,2026-02-01,monthly,,I2;I1")
    desk.run()
    assert rules(desk) == []
    assert desk.files()[-1] == ("again.csv", 1, 0, 0, 1)


def test_a_repeating_promise_with_neither_count_nor_open_invoices_is_quarantined(desk):
    desk.drop("invoices", "i.csv", "I1,C2,Other,2026-01-01,2026-01-31,300.00,250.00", "I2,C1,Acme,2026-01-01,2026-01-31,300.00,0")
    row = "{},repeating_promise,C1,2026-01-01,100.00,2026-02-01,monthly,,{}"
    desk.drop("commitments", "c.csv", row.format("A", ""), row.format("B", "I1"), row.format("D", "I2"))
    desk.run()
    assert rules(desk) == [("commitments", line, "repeating_total") for line in (2, 3, 4)]
    assert [m.split(".")[0] for m in messages(desk)] == [
        "A has neither an installment_count nor invoices to settle",
        "B has no installment_count, and C1 has no invoice I1",
        "Nothing is open on the invoices of D",
    ]


def test_terms_that_contradict_each_other_are_quarantined_in_words(desk):
    desk.drop("commitments", "c.csv", "A,promise,C1,2026-03-01,5.00,2026-02-01,,,", "B,promise,C1,2026-01-01,5.00,2026-02-01,weekly,4,")
    desk.run()
    assert rules(desk) == [("commitments", 2, "terms"), ("commitments", 3, "terms")]
    assert any("lies before the agreement" in message for message in messages(desk))


def test_what_is_logged_says_where_it_came_from(desk):
    desk.drop("commitments", "1.csv", PROMISE)
    desk.run()
    with desk.ledger.transaction(desk.org, PIPELINE) as tx:
        row = tx.one("select source, file_sha256, line_number, logged_by from ptp.commitment where org_id = ptp.current_org()")
    assert row == {"source": "feed", "file_sha256": desk.registered()[0].content_sha256, "line_number": 2, "logged_by": "pipeline"}


RULES_TO_NAME = ("", "next", "last", "spread", "hold")
RULED = "commitment_id,kind,customer_id,agreed_on,amount,first_due_date,frequency,installment_count,overpayment_rule"


def set_rule(desk, rule):
    with desk.ledger.operator(OPERATOR, desk.org) as tx:
        policies.change(tx, {"overpayment_rule": rule}, "as agreed with finance")


def rules_of_versions(desk):
    with desk.ledger.transaction(desk.org, PIPELINE) as tx:
        rows = tx.all(
            "select commitment_id, version, overpayment_rule from ptp.commitment_version where org_id = ptp.current_org() order by 1, 2"
        )
    return [tuple(row.values()) for row in rows]


def test_a_row_without_an_overpayment_rule_gets_that_of_the_day_it_is_logged_and_keeps_it(desk):
    desk.drop(
        "commitments", "1.csv", *(f"{r or 'none'},plan,C{r},2026-01-01,90,2026-02-01,monthly,3,{r}" for r in RULES_TO_NAME), header=RULED
    )
    desk.run()
    set_rule(desk, "last")
    desk.drop("commitments", "2.csv", "later,plan,C9,2026-01-01,90,2026-02-01,monthly,3,", header=RULED)
    desk.run()
    assert rules_of_versions(desk) == [
        ("hold", 1, "hold"), ("last", 1, "last"), ("later", 1, "last"), ("next", 1, "next"), ("none", 1, "next"), ("spread", 1, "spread"),
    ]  # fmt: skip
    assert rules(desk) == []


def test_a_row_sent_again_without_a_rule_is_a_repeat_after_policy_changed_and_with_another_rule_it_is_a_conflict(desk):
    row = "A,plan,C1,2026-01-01,90,2026-02-01,monthly,3,"
    desk.drop("commitments", "1.csv", row, header=RULED)
    desk.run()
    set_rule(desk, "spread")
    desk.drop("commitments", "2.csv", row, row + "next", row + "hold", header=RULED)
    desk.run()
    assert desk.files()[1] == ("2.csv", 3, 0, 1, 2)
    assert rules(desk) == [("commitments", 4, "commitment_id_conflict")]
    assert rules_of_versions(desk) == [("A", 1, "next")]


def test_terms_with_another_overpayment_rule_have_another_digest(desk):
    row = "{0},plan,C1,2026-01-01,90,2026-02-01,monthly,3,{1}"
    desk.drop("commitments", "1.csv", row.format("A", "next"), header=RULED)
    desk.run()
    with desk.ledger.transaction(desk.org, signed_in(desk, "carla", "collector")) as tx:
        old = tx.one("select * from ptp.commitment_version where org_id = ptp.current_org()")
        commitments.renegotiate(tx, "A", commitments.terms_of(old).model_copy(update={"overpayment_rule": "hold"}), "asked for it")
        digests = tx.all(
            "select ptp.terms_digest(v) = terms_digest as is_right, terms_digest from ptp.commitment_version v"
            " where org_id = ptp.current_org()"
        )
    assert rules_of_versions(desk) == [("A", 1, "next"), ("A", 2, "hold")]
    assert len({row["terms_digest"] for row in digests}) == 2
    assert all(row["is_right"] for row in digests)
