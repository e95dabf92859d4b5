"""What a page that shows other people's bytes has to bear."""

from email.message import EmailMessage

import orjson

from notification_sender.sandbox.inbox.inbox import ReceivedWebhook
from notification_sender.sandbox.inbox.mailbox import ReceivedEmail

SCRIPT = "</script></pre></textarea><script>alert(1)</script><img src=x onerror=alert(1)>'\"{{7*7}}"
"""Leaves whatever element or attribute it may stand in."""


def post(
    body: bytes = b"{}", *, problem: str | None = None, destination: str = "hook-exemple-reseau"
) -> ReceivedWebhook:
    """A webhook as it is kept."""
    headers = (("Host", "127.0.0.1"), ("webhook-id", "n-1"), ("webhook-timestamp", "1"), ("webhook-signature", "v1,x"))
    return ReceivedWebhook(destination, headers, body, 0.0, 200, problem)


def hostile_post() -> ReceivedWebhook:
    """A webhook whose body, headers and destination are markup."""
    body = orjson.dumps({"type": SCRIPT, "data": {SCRIPT: SCRIPT, "incident": {"incident_id": SCRIPT}}})
    headers = (("webhook-id", SCRIPT), (f"x-{SCRIPT}", SCRIPT), ("x-surrogate", "\udcff"))
    return ReceivedWebhook(SCRIPT, headers, body, 2.0, 200, SCRIPT)


def letter(
    html: str | None = "<p>Fibre cut.</p>", *, subject: str = "Łódź", to: str = "noc@x.example"
) -> ReceivedEmail:
    """An email as it is kept."""
    message = EmailMessage()
    message["Message-ID"], message["Subject"], message["To"] = "<m-1@example.com>", subject, to
    message.set_content("Fibre cut.\n")
    if html is not None:
        message.add_alternative(html, subtype="html")
    return ReceivedEmail("noc@example.com", (to,), message.as_bytes(), 1.0)


def hostile_letter(html: str = SCRIPT) -> ReceivedEmail:
    """An email whose subject, recipient, header and parts are markup."""
    return letter(html, subject=SCRIPT, to=f"{SCRIPT}@x.example")
