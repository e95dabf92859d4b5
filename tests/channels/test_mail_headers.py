"""Text in the headers of an email: three readers get back what was written."""

import email
import email.header
import email.policy
import re
from email.headerregistry import Address

import fast_mail_parser
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from notification_sender.channels.email import MAX_SUBJECT, subject_line
from notification_sender.channels.mail_headers import LINE, WORD_BYTES, mailbox, unstructured

ALPHABETS = [
    "abc XYZ 019 -:,.()<>[]@\"\\'=?_",
    "äöüß éèñ ",
    "Ελλάδα ",
    "מַחטה محطة ",
    "日本語の件名 ",
    "🛰️👨‍👩‍👧🏴 ",
    "e\u0301 a\u0308 ",
    "=?utf-8?q?b?= ",
]
TEXT = st.one_of(
    st.text(max_size=300),
    st.lists(st.sampled_from([word for it in ALPHABETS for word in it]), max_size=300).map("".join),
    st.lists(st.text(alphabet="aé日🛰", min_size=1, max_size=90), max_size=12).map(" ".join),
)
WORDS = re.compile(r"=\?utf-8\?b\?([A-Za-z0-9+/=]*)\?=")


def read_by_all(message: bytes, name: str) -> set[str]:
    """What each of three readers makes of a header."""
    modern = str(email.message_from_bytes(message, policy=email.policy.default)[name])
    old = str(email.header.make_header(email.header.decode_header(_unfolded(message, name))))
    other = fast_mail_parser.parse_email(message).headers[name][0]
    return {modern, old, other}


def _unfolded(message: bytes, name: str) -> str:
    return str(email.message_from_bytes(message, policy=email.policy.compat32)[name]).replace("\r\n", "")


@given(TEXT)
@example("Störung: Leitung Zürich nach Genf unterbrochen, voraussichtlich behoben um 14:30 Uhr (Wartung läuft)")
@example("ü " * 100)
@example("x" * 255)
@example(" ".join(["x" * 66] * 4))
def test_a_subject_is_read_as_it_was_written(text: str) -> None:
    subject = subject_line(text)
    message = f"Subject: {unstructured('Subject', subject)}\r\n\r\n".encode("ascii")
    assert read_by_all(message, "Subject") == {subject}


@given(TEXT)
def test_no_line_is_longer_than_readers_take_and_no_encoded_word_ends_within_a_character(text: str) -> None:
    written = f"Subject: {unstructured('Subject', subject_line(text))}"
    assert max(map(len, written.split("\r\n"))) <= LINE
    for word in WORDS.findall(written):
        email.header.decode_header(f"=?utf-8?b?{word}?=")[0][0].decode("utf-8")


@given(st.text(max_size=30).map(subject_line).filter(lambda it: it.strip('"')))
def test_a_senders_name_is_read_as_it_was_written(text: str) -> None:
    # Longer ones take two encoded words, between which Python's own reader puts a space in a name, against RFC 2047.
    name = text.strip('"').encode()[:WORD_BYTES].decode(errors="ignore").strip()
    written = mailbox("From", Address(name, addr_spec="noc@alerts.example"))
    message = f"From: {written}\r\n\r\n".encode("ascii")
    read = email.message_from_bytes(message, policy=email.policy.default)["From"].addresses
    assert [(it.display_name, it.addr_spec) for it in read] == [(name, "noc@alerts.example")]


@given(TEXT.map(subject_line).filter(lambda it: not it.isascii()))
def test_a_long_name_of_a_sender_is_read_as_it_was_written(name: str) -> None:
    written = mailbox("From", Address(name, addr_spec="noc@alerts.example"))
    message = f"From: {written}\r\n\r\n".encode("ascii")
    assert fast_mail_parser.parse_email(message).headers["From"] == [f"{name} <noc@alerts.example>"]
    assert max(map(len, f"From: {written}".split("\r\n"))) <= LINE


@pytest.mark.parametrize(
    "unseen", ["\u202e", "\u2066", "\u200b", "\u200d", "\u200e", "\u061c", "\ufeff", "\u00ad", "\u2060", "\U000e0041"]
)
def test_what_cannot_be_seen_leaves_a_subject(unseen: str) -> None:
    assert subject_line(f"{unseen}Outage{unseen} in{unseen} Zürich{unseen}") == "Outage in Zürich"
    assert subject_line(f"={unseen}?utf-8?q?x?=") == "= ?utf-8?q?x?="


@given(TEXT)
def test_a_subject_has_no_space_at_its_ends_and_one_between_words(text: str) -> None:
    subject = subject_line(text)
    assert subject == " ".join(subject.split())
    assert len(subject) <= MAX_SUBJECT
