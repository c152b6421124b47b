"""A message as an .eml file: what a mail program sees, and one name and one content per send key."""

from datetime import date
from email import message_from_bytes
from email.policy import default

import pytest

from ptp_pipeline.domain.messages import Attachment, Message
from ptp_pipeline.notify.mailer import FolderMailer, NotSent, Sent, as_eml, file_stem

MESSAGE = Message(
    kind="broken_promises",
    business_date=date(2026, 11, 20),
    send_key="acme:broken_promises:2026-11-20",
    recipients=("ana@example.com", "Ben Müller <ben@example.com>"),
    subject="[acme] Nothing broke, 20 Nov 2026",
    html="<p>Nichts für ungut</p>",
    text="Nichts für ungut\n",
    attachments=(Attachment("broken.csv", "text/csv", "owner\r\n'=Zoë\r\n".encode("utf-8-sig")),),
)


def test_a_mail_program_finds_text_html_and_the_attachment():
    mail = message_from_bytes(as_eml(MESSAGE, "ptp <ptp@example.com>"), policy=default)
    assert mail["Subject"] == MESSAGE.subject
    assert mail["From"] == "ptp <ptp@example.com>"
    assert [a.addr_spec for a in mail["To"].addresses] == ["ana@example.com", "ben@example.com"]
    assert mail.get_body(("plain",)).get_content().strip() == "Nichts für ungut"
    assert mail.get_body(("html",)).get_content().strip() == "<p>Nichts für ungut</p>"
    attachment = next(mail.iter_attachments())
    assert (attachment.get_filename(), attachment.get_content_type()) == ("broken.csv", "text/csv")
    assert attachment.get_payload(decode=True) == MESSAGE.attachments[0].content


def test_writing_twice_leaves_one_file_the_same_to_the_byte(tmp_path):
    mailer = FolderMailer(tmp_path / "outbox", "ptp@example.com")
    first = mailer.send(MESSAGE)
    content = (tmp_path / "outbox" / "acme.broken_promises.2026-11-20.eml").read_bytes()
    assert mailer.send(MESSAGE) == first == Sent("acme.broken_promises.2026-11-20.eml")
    assert [file.read_bytes() for file in (tmp_path / "outbox").iterdir()] == [content]


def test_different_keys_never_share_a_file():
    keys = ["a:b", "a/b", "a.b", "a b", "a_b", "a-b", "../a:b", "x" * 119 + ":" + "y" * 9, "x" * 119 + ":" + "z" * 9]
    assert len({file_stem(key) for key in keys}) == len(keys)


@pytest.mark.parametrize("key", ["../../etc/passwd", "a/b", "..", "\\\\host\\share", "nul\0"])
def test_a_key_cannot_leave_the_folder(key):
    assert not set(file_stem(key)) & set("/\\\0")
    assert file_stem(key).strip(".")


def test_a_header_with_a_line_break_is_refused_in_words(tmp_path):
    hostile = Message(**{**MESSAGE.__dict__, "subject": "Hi\r\nBcc: everyone@example.com"})
    result = FolderMailer(tmp_path, "ptp@example.com").send(hostile)
    assert isinstance(result, NotSent)
    assert result.is_permanent
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_written_is_worth_another_try(tmp_path):
    (tmp_path / "outbox").write_text("a file where the folder should be")
    result = FolderMailer(tmp_path / "outbox", "ptp@example.com").send(MESSAGE)
    assert isinstance(result, NotSent)
    assert not result.is_permanent
    assert "acme.broken_promises.2026-11-20.eml could not be written" in result.error
