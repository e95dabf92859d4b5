"""Whom a mail server refuses: us, or this recipient and this message."""

import pytest
from aiosmtplib import SMTPResponseException

from notification_sender.adapters.smtp.replies import Answer
from notification_sender.model.errors import Rejected, SenderRefused, SendFailed, Sent

OF_US = [
    # our name
    ("greeting", "550 5.7.1 Access denied"),
    ("greeting", "501 5.5.4 Invalid domain name"),
    ("recipient", "504 5.5.2 <worker-7f9c>: Helo command rejected: need fully-qualified hostname"),
    ("recipient", "450 4.7.1 <worker-7f9c>: Helo command rejected: Host not found"),
    ("sender", "550 Bad HELO - host impersonating"),
    # our login
    ("login", "535 5.7.8 Error: authentication failed"),
    ("login", "454 4.7.0 Temporary authentication failure"),
    ("sender", "530 5.7.0 Must issue a STARTTLS command first"),
    ("sender", "530 5.7.57 Client not authenticated to send mail"),
    ("recipient", "503 5.5.1 Error: need MAIL command"),
    ("recipient", "550 5.7.1 Authentication required"),
    # who we may be, and whom we may write to
    ("sender", "553 5.7.1 <noc@example.com>: Sender address rejected: not owned by user worker"),
    ("recipient", "550 5.1.8 <noc@example.com>: Sender address rejected: Domain not found"),
    ("recipient", "454 4.7.1 <bob@example.org>: Relay access denied"),
    ("recipient", "550 5.7.1 Unable to relay"),
    ("recipient", "550 5.7.64 TenantAttribution; Relay Access Denied"),
    ("message", "550 5.7.60 SMTP; Client does not have permissions to send as this sender"),
    # our domain
    (
        "message",
        "550 5.7.515 Access denied, sending domain example.com does not meet the required authentication level.",
    ),
    (
        "message",
        "550-5.7.26 This mail has been blocked because the sender is unauthenticated.\n5.7.26 DKIM = did not pass",
    ),
    ("message", "550-5.7.1 Unauthenticated email from example.com is not accepted due to domain's DMARC policy"),
    ("recipient", "550 5.7.23 The message was rejected because of Sender Policy Framework violation"),
    ("message", "550 5.7.1 Message rejected for policy reasons"),
    # our address
    ("connection", "554 5.7.1 Your address is on a list"),
    ("recipient", "554 5.7.1 Service unavailable; Client host [192.0.2.1] blocked using zen.spamhaus.org"),
    ("sender", "550 5.7.606 Access denied, banned sending IP [192.0.2.1]"),
    ("recipient", "450 4.7.25 Client host rejected: cannot find your hostname, [192.0.2.1]"),
    ("message", "550 5.7.25 [192.0.2.1] The IP address sending this message does not have a PTR record"),
    # our share
    ("message", "550 5.4.5 Daily user sending quota exceeded"),
]
OF_OTHERS = [
    ("recipient", "550 5.1.1 <bob@example.com>: Recipient address rejected: User unknown in virtual mailbox table"),
    ("recipient", "550 5.4.1 Recipient address rejected: Access denied. AS(201806281)"),
    ("recipient", "550 No such user here"),
    ("recipient", "550 5.7.1 You do not have permission to send to this recipient"),
    ("recipient", "550 5.7.133 RESOLVER.RST.SenderNotAuthenticatedForGroup; authentication required for recipient"),
    ("recipient", "550 5.7.504 Recipient address rejected: access denied, banned recipient"),
    ("recipient", "554 5.7.1 <bob@example.com>: Recipient address rejected: Access denied"),
    ("recipient", "556 5.1.10 Domain does not accept mail (null MX)"),
    ("recipient", "550 5.2.1 The email account that you tried to reach is disabled"),
    ("recipient", "552 5.2.2 The email account that you tried to reach is over quota"),
    ("message", "554 5.7.1 spam: 'Open: ZH-012'"),
    ("message", "550 5.7.1 Message rejected by content policy: executable attachment"),
    ("message", "554 5.6.0 Message contains invalid header"),
    ("message", "552 5.3.4 Message size exceeds fixed limit"),
    ("sender", "552 5.3.4 Message size exceeds fixed maximum message size (10485760)"),
    ("message", "554 5.4.6 Too many hops"),
]


def refusal(step: str, line: str) -> Exception:
    code, words = int(line[:3]), line[4:]
    return Answer(code, SMTPResponseException(code, words).message, step, "bob@example.com").refusal(Sent.NOTHING)


@pytest.mark.parametrize(("step", "line"), OF_US)
def test_a_refusal_of_us_uses_no_attempt_of_a_message(step: str, line: str) -> None:
    fault = refusal(step, line)
    assert isinstance(fault, SenderRefused)
    assert fault.of_all is (step in {"connection", "greeting", "login", "sender"})


@pytest.mark.parametrize(("step", "line"), OF_OTHERS)
def test_a_refusal_of_one_recipient_or_one_message_is_its_own(step: str, line: str) -> None:
    assert isinstance(refusal(step, line), Rejected)


@pytest.mark.parametrize(
    "line", ["451 4.7.1 Greylisted", "450 4.2.0 mailbox busy", "451 4.3.0 local error", "452 4.2.2 Over quota"]
)
def test_a_wait_of_one_recipient_stays_a_try(line: str) -> None:
    fault = refusal("recipient", line)
    assert isinstance(fault, SendFailed)
    assert fault.sent is Sent.ANSWERED
