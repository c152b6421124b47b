"""The outbox: one message per send key, claims that race and expire, attempts that stay."""

import datetime as dt
from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest

from ptp_pipeline.domain.messages import Attachment, Message
from ptp_pipeline.ledger import audit, outbox, snapshot
from ptp_pipeline.ledger.connection import Actor

MAILER = Actor("mailer", "pipeline", "pipeline", "mailer")
NOW = dt.datetime(2026, 3, 6, 7, tzinfo=dt.UTC)


def message(key="acme:daily:2026-03-06"):
    return Message(
        "daily", dt.date(2026, 3, 6), key, ("a@example.com",), "Broken", "<p>x</p>", "x", (Attachment("b.csv", "text/csv", b"a,b\n"),)
    )


def minutes(n):
    return NOW + dt.timedelta(minutes=n)


def test_a_send_key_is_one_message(desk):
    with desk.as_(MAILER) as tx:
        before = snapshot.positions(tx)
        assert [outbox.enqueue(tx, message()), outbox.enqueue(tx, message())] == [True, False]
        assert outbox.count_due(tx, NOW) == 1
        assert snapshot.positions(tx) == before


def test_a_message_comes_back_as_it_was_put_in(desk):
    with desk.as_(MAILER) as tx:
        outbox.enqueue(tx, message())
        (row,) = outbox.claim_due(tx, NOW, 10)
    assert (row.message, row.attempts, row.first_tried_at) == (message(), 0, NOW)


def test_two_mailers_at_once_never_claim_the_same_message(desk):
    with desk.as_(MAILER) as tx:
        for n in range(20):
            outbox.enqueue(tx, message(f"key-{n}"))

    def claim(_):
        with desk.as_(MAILER) as tx:
            return [row.message_id for row in outbox.claim_due(tx, NOW, 5)]

    with ThreadPoolExecutor(4) as pool:
        claimed = [i for batch in pool.map(claim, range(6)) for i in batch]
    assert len(claimed) == len(set(claimed)) == 20


def test_a_mailer_claims_no_more_than_it_asked_for(desk):
    with desk.as_(MAILER) as tx:
        for n in range(5):
            outbox.enqueue(tx, message(f"key-{n}"))
        assert [len(outbox.claim_due(tx, NOW, 2)) for _ in range(4)] == [2, 2, 1, 0]


def test_a_claim_expires_and_counts_as_a_try(desk):
    with desk.as_(MAILER) as tx:
        outbox.enqueue(tx, message())
        outbox.claim_due(tx, NOW, 1)
        assert outbox.claim_due(tx, minutes(14), 1) == []
        (again,) = outbox.claim_due(tx, minutes(15), 1)
    assert (again.attempts, again.first_tried_at) == (1, NOW)


def test_a_failed_try_waits_for_its_time_and_a_sent_one_is_done(desk):
    with desk.as_(MAILER) as tx:
        outbox.enqueue(tx, message())
        (row,) = outbox.claim_due(tx, NOW, 1)
        outbox.mark_failed(tx, row.message_id, NOW, "503", minutes(5))
        assert outbox.claim_due(tx, minutes(4), 1) == []
        (row,) = outbox.claim_due(tx, minutes(5), 1)
        outbox.mark_sent(tx, row.message_id, minutes(5), "re_1")
        outbox.mark_failed(tx, row.message_id, minutes(6), "too late", None)
        (status,) = outbox.list_messages(tx)
        attempts = tx.all("select attempt, outcome, error, provider_id from ptp.outbox_attempt order by attempt")
        actions = [e.action for e in audit.show(tx, action="mail.")]
    assert (status.status, status.attempts, status.sent_at) == ("sent", 2, minutes(5))
    assert [tuple(a.values()) for a in attempts] == [(1, "retry", "503", ""), (2, "sent", "", "re_1")]
    assert actions == ["mail.queued", "mail.retry", "mail.sent"]


def test_a_message_given_up_stays_visible(desk):
    with desk.as_(MAILER) as tx:
        outbox.enqueue(tx, message())
        (row,) = outbox.claim_due(tx, NOW, 1)
        outbox.mark_failed(tx, row.message_id, NOW, "422 no such domain", None)
        (status,) = outbox.list_messages(tx)
        assert outbox.count_due(tx, minutes(9999)) == 0
    assert (status.status, status.last_error) == ("failed", "422 no such domain")


@pytest.mark.parametrize(
    "statement",
    [
        "update ptp.outbox set status = 'queued'",
        "update ptp.outbox set html = 'phish'",
        "update ptp.outbox set recipients = '{eve@example.com}'",
        "delete from ptp.outbox",
        "delete from ptp.outbox_attempt",
    ],
)
def test_sent_mail_is_neither_resent_nor_rewritten_by_sql(desk, statement):
    with desk.as_(MAILER) as tx:
        outbox.enqueue(tx, message())
        (row,) = outbox.claim_due(tx, NOW, 1)
        outbox.mark_sent(tx, row.message_id, NOW, "re_1")
    pipeline = {"actor": "mailer", "role": "pipeline", "auth": "pipeline", "login": "ptp_pipeline"}
    with desk.raw(**pipeline) as con, pytest.raises(psycopg.Error):
        con.execute(statement.encode())
