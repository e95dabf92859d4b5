"""What mail servers say, word for word, and what it means to us."""

import math
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from notification_sender.adapters.smtp.replies import DEFAULT_PAUSE, MAX_ANSWER_BYTES, MAX_PAUSE, MAX_RECEIPT, Answer
from notification_sender.model.errors import Rejected, SenderRefused, SendFailed, Sent, SlowDown

BOB = "bob.smith@example.com"


def answer(line: str, step: str = "recipient", to: str = BOB) -> Answer:
    code, message = int(line[:3]), line[4:]
    return Answer(code, message, step, to)


GMAIL = """421 4.7.28 Gmail has detected an unusual
4.7.28 rate of unsolicited mail originating from your IP address. To
4.7.28 protect our users from spam, mail sent from your IP address has been
4.7.28 temporarily rate
4.7.28 limited."""

TOO_FAST = [
    ("message", "454 Throttling failure: Maximum sending rate exceeded.", DEFAULT_PAUSE),
    ("message", "454 Throttling failure: Daily message quota exceeded.", DEFAULT_PAUSE),
    ("message", GMAIL, DEFAULT_PAUSE),
    ("connection", "421 4.7.0 [192.0.2.1] Our system has detected an unusual rate of unsolicited mail", DEFAULT_PAUSE),
    ("login", "454 4.7.0 Too many login attempts, please try again later.", DEFAULT_PAUSE),
    ("recipient", "451 4.7.500 Server busy. Please try again later from [192.0.2.1]. (S77719)", DEFAULT_PAUSE),
    (
        "sender",
        "451 4.7.650 The mail server [192.0.2.1] has been temporarily rate limited due to IP reputation.",
        DEFAULT_PAUSE,
    ),
    (
        "sender",
        "421 RP-001 The mail server IP connecting to Outlook.com server has exceeded the rate limit",
        DEFAULT_PAUSE,
    ),
    ("connection", "421 4.3.2 The maximum number of concurrent connections has exceeded a limit", DEFAULT_PAUSE),
    ("sender", "432 4.3.2 STOREDRV.ClientSubmit; sender thread limit exceeded", DEFAULT_PAUSE),
    (
        "sender",
        "421 4.7.0 [TSS04] Messages from 192.0.2.1 temporarily deferred due to unexpected volume or user complaints",
        DEFAULT_PAUSE,
    ),
    ("recipient", "450 4.7.1 Error: too much mail from 192.0.2.1", DEFAULT_PAUSE),
    ("recipient", "450 4.7.1 Error: too many recipients from 192.0.2.1", DEFAULT_PAUSE),
    ("connection", "421 4.7.0 mx.example.com Error: too many connections from 192.0.2.1", DEFAULT_PAUSE),
    ("sender", "451 Sender rate overlimit - 120.3 / 1h", DEFAULT_PAUSE),
    ("connection", "421 Too many concurrent SMTP connections; please try again later.", DEFAULT_PAUSE),
    ("connection", "421 4.3.2 Connection rate limit exceeded.", DEFAULT_PAUSE),
    ("sender", "450 4.7.0 You are sending too quickly, slow down. Try again in 30 seconds", 30.0),
    ("sender", "421 4.1.0 Throttled - retry after 2 minutes", 120.0),
    ("connection", "421 4.3.2 Not now, come back in 00:04:30", 270.0),
    ("sender", "451 4.7.1 Sending limit exceeded for 24 hours", MAX_PAUSE),
]


@pytest.mark.parametrize(("step", "line", "seconds"), TOO_FAST)
def test_words_that_speak_of_a_rate_are_a_short_wait(step: str, line: str, seconds: float) -> None:
    refusal = answer(line, step).refusal(Sent.NOTHING)
    assert isinstance(refusal, SlowDown)
    assert refusal.seconds == seconds


OF_ONE = [
    ("recipient", "450 4.2.0 <bob.smith@example.com>: Recipient address rejected: Greylisted for 300 seconds", 300.0),
    ("recipient", "451 4.7.1 Greylisting in action, please come back in 00:05:00", 300.0),
    ("recipient", "450 4.7.1 Graylisted, too many new senders, see https://postgrey.example/help", None),
    ("message", "451 4.7.1 Please try again in 5 minutes", 300.0),
    ("recipient", "450 4.2.1 The user you are trying to contact is receiving mail at a rate that prevents more", None),
    ("recipient", "452 4.2.2 The mailbox has exceeded its storage limit", None),
    ("recipient", "450 <rate@example.com>: Recipient address rejected: Domain not found", None),
    ("message", "452 4.3.4 Message size exceeds the limit of this server", None),
    ("recipient", "452 4.5.3 Your message has too many recipients", None),
    ("recipient", "451 4.7.0 Temporary server error. Please try again later. PRX4", None),
    ("recipient", "451 Temporary local problem - please try later", None),
    ("recipient", "450 4.1.1 User unknown in local recipient table", None),
]


@pytest.mark.parametrize(("step", "line", "wish"), OF_ONE)
def test_what_concerns_one_recipient_or_one_message_holds_up_nobody_else(
    step: str, line: str, wish: float | None
) -> None:
    refusal = answer(line, step, to="rate@example.com").refusal(Sent.NOTHING)
    assert isinstance(refusal, SendFailed)
    assert (refusal.sent, refusal.ill, refusal.retry_after) == (Sent.ANSWERED, False, wish)


@pytest.mark.parametrize(
    "line",
    [
        "421 4.7.0 mx.example.com Error: too many errors",
        "421 4.3.2 Service shutting down",
        "421 4.4.2 mx.example.com Error: timeout exceeded",
    ],
)
def test_a_server_that_closes_is_unwell(line: str) -> None:
    refusal = answer(line).refusal(Sent.NOTHING)
    assert isinstance(refusal, SendFailed)
    assert refusal.ill


def test_a_greeting_that_refuses_kills_no_message() -> None:
    refusal = answer("554 5.7.1 You are too many", "connection").no_connection()
    assert isinstance(refusal, SenderRefused)
    assert refusal.of_all


@pytest.mark.parametrize(
    "line",
    [
        "550 5.1.1 <bob.smith@example.com>: user unknown",
        "550 5.1.1 BOB.SMITH@EXAMPLE.COM... User unknown",
        "550 5.1.1 no mailbox here by the name of Bob.Smith",
        "550 5.1.1 bounce-bob.smith=example.com@relay.example is no recipient",
        "550 5.1.1 https://help.example/?to=bob.smith%40example.com",
        "550 5.1.1 bob.smith=40example.com",
    ],
)
def test_an_address_stands_in_nothing_that_is_said_or_kept(line: str) -> None:
    refusal = answer(line).refusal(Sent.NOTHING)
    assert isinstance(refusal, Rejected)
    assert str(refusal) == "550 5.1.1 recipient refused"
    assert "bob" not in f"{refusal} {refusal.answer}".lower()
    assert refusal.answer.startswith("550 5.1.1 ")


def test_words_of_the_message_are_kept_and_not_said() -> None:
    refusal = answer("554 5.7.1 spam: 'Open: ZH-012'", "message").refusal(Sent.UNKNOWN)
    assert isinstance(refusal, Rejected)
    assert (str(refusal), refusal.answer) == ("554 5.7.1 message refused", "554 5.7.1 spam: 'Open: ZH-012'")


def test_a_server_may_say_as_much_as_it_likes() -> None:
    refusal = answer("550 " + "\u00e9\udcff \n" * 100_000).refusal(Sent.NOTHING)
    assert isinstance(refusal, Rejected)
    assert 1000 < len(refusal.answer.encode()) <= 1024


@pytest.mark.parametrize(
    ("line", "text"),
    [
        ("250 2.0.0 Ok: queued as 4FxZq81Jx1z", "250 2.0.0 queued as 4FxZq81Jx1z"),
        ("250 Ok 010201849e-0bd7-000000", "250 queued as 010201849e-0bd7-000000"),
        ("250 OK id=1rXyz7-0003AB-2f", "250 queued as 1rXyz7-0003AB-2f"),
        ("250 2.0.0 OK  1699999999 q12-20020a05.98 - gsmtp", "250 2.0.0 queued as 1699999999"),
        ("250 2.0.0 45Q8abc012345 Message accepted for delivery", "250 2.0.0 queued as 45Q8abc012345"),
        (
            "250 2.6.0 <5f0e6f6e@alerts.example> [InternalId=901943132341, Hostname=x] Queued mail for delivery",
            "250 2.6.0 queued as 901943132341",
        ),
        ("250 2.1.5 OK bob.smith@example.com and his mail", "250 2.1.5"),
        ("250 2.0.0 kept as 5f0e6f6e-7d0b", "250 2.0.0 queued as 5f0e6f6e-7d0b"),
        ("250 ok", "250"),
    ],
)
def test_a_receipt_has_the_number_in_the_queue_and_nothing_personal(line: str, text: str) -> None:
    receipt = answer(line).receipt()
    assert receipt.text == text
    assert "bob" not in receipt.text


WORDS = [
    *(
        "4.7.0 ",
        "rate ",
        "exceeded ",
        "limit ",
        "again in ",
        "5 ",
        "minutes",
        "300s",
        "00:05:00",
        "99:99:99",
        "999999h",
    ),
    *("for ", "\u0663s", "\u0663\u0663:\u0663\u0663:\u0663\u0663", "id=", "as ", "ok: ", "1234567", "message accepted"),
    *(BOB, BOB.upper(), f"<{BOB}>", BOB.replace("@", "%40"), "@", "\n", "\r", "\x00", "\x85", "\ud800", "\xe9", "("),
]
SAID = st.text() | st.lists(st.sampled_from(WORDS), max_size=12).map(" ".join)


@given(
    st.integers(-1, 1000),
    SAID,
    st.sampled_from(["recipient", "message", "sender", "connection"]),
    st.sampled_from(Sent),
)
def test_whatever_a_server_says_it_is_understood_and_tells_no_address(
    code: int, said: str, step: str, sent: Sent
) -> None:
    spoken = Answer(code, said, step, BOB)
    receipt, refusals = spoken.receipt(), (spoken.refusal(sent), spoken.no_connection())
    assert len(receipt.text) <= MAX_RECEIPT
    for kept in (getattr(it, "answer", "") for it in refusals):
        assert len(kept.encode()) <= MAX_ANSWER_BYTES
        assert kept == " ".join(kept.split())
    told = " ".join([receipt.text, *map(str, refusals), *(getattr(it, "answer", "") for it in refusals)])
    assert "bob" not in told.lower()
    for refusal in refusals:
        assert isinstance(refusal, Rejected | SendFailed | SlowDown)
        pause = refusal.seconds if isinstance(refusal, SlowDown) else getattr(refusal, "retry_after", None) or 0.0
        assert math.isfinite(pause)
        assert pause >= 0


@pytest.mark.parametrize(
    "piece", ["a", "1", "as ", "as 1", "=", "id=", "@", "a@", "retry ", "exceeded ", "for  ", "9 "]
)
def test_no_answer_takes_long_to_understand(piece: str) -> None:
    said = (piece * 4 * MAX_ANSWER_BYTES)[: 4 * MAX_ANSWER_BYTES]
    begun = time.process_time()
    for step in ("recipient", "connection"):
        Answer(450, said, step, BOB).refusal(Sent.NOTHING)
        Answer(250, said, step, BOB).receipt()
    assert time.process_time() - begun < 0.25
