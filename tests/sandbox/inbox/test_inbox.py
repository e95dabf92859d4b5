import asyncio
import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from email.message import EmailMessage
from pathlib import Path
from urllib.parse import urlsplit

import aiohttp
import aiosmtplib
import pytest
from standardwebhooks.webhooks import Webhook

from notification_sender.sandbox.inbox.inbox import Inbox
from notification_sender.sandbox.inbox.keys import signing_key, write_keys
from notification_sender.sandbox.inbox.verification import problem
from tests.patience import patience

BODY = '{"type":"incident.updated","timestamp":"2026-03-06T08:26:00Z","data":{"city":"Łódź"}}'


def signed(key: str, *, id_: str = "msg-1", body: str = BODY, at: float | None = None) -> dict[str, str]:
    """The headers that the reference implementation gives."""
    moment = datetime.fromtimestamp(int(at or time.time()), tz=UTC)
    return {
        "webhook-id": id_,
        "webhook-timestamp": str(int(moment.timestamp())),
        "webhook-signature": Webhook(key).sign(id_, moment, body),
    }


@pytest.fixture
async def inbox() -> AsyncIterator[Inbox]:
    async with Inbox() as inbox:
        yield inbox


@pytest.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as http:
        yield http


async def post(http: aiohttp.ClientSession, url: str, headers: dict[str, str]) -> int:
    async with http.post(url, data=BODY.encode(), headers=headers) as response:
        return response.status


def letter(message_id: str = "n-1") -> EmailMessage:
    message = EmailMessage()
    message["Message-ID"] = f"<{message_id}@notifications.example.com>"
    message["From"], message["To"], message["Subject"] = "noc@example.com", "x@example.com", "Łódź"
    message.set_content("Fibre cut.")
    message.add_alternative("<p>Fibre cut.</p>", subtype="html")
    return message


async def mail(inbox: Inbox, message: EmailMessage) -> None:
    at = urlsplit(inbox.smtp_url)
    await aiosmtplib.send(message, hostname=at.hostname, port=at.port, start_tls=False, timeout=5)


async def test_a_webhook_signed_by_the_reference_implementation_verifies(
    inbox: Inbox, http: aiohttp.ClientSession
) -> None:
    headers = signed(signing_key("hook-x"))
    assert await post(http, inbox.webhook_url("hook-x"), headers) == 200
    (kept,) = inbox.webhooks
    assert (kept.problem, kept.body.decode(), kept.notification_id) == (None, BODY, "msg-1")
    assert [name for name, _ in kept.headers if name.startswith("webhook-")] == list(headers)
    assert not inbox.unverified


async def test_a_bad_signature_is_kept_as_a_problem_and_does_not_change_the_answer(
    inbox: Inbox, http: aiohttp.ClientSession
) -> None:
    assert await post(http, inbox.webhook_url("hook-x"), signed(signing_key("hook-y"))) == 200
    assert [it.problem for it in inbox.unverified] == ["no signature matches"]


def test_verification_sees_what_a_customer_must_see() -> None:
    key, old = signing_key("a"), signing_key("b")
    good = signed(key)
    now = time.time()
    body = BODY.encode()
    assert problem(good, body, [old, key], now) is None
    both = {"webhook-signature": f"{signed(old)['webhook-signature']} {good['webhook-signature']}"}
    assert problem(good | both, body, [key], now) is None
    assert problem(good, body + b" ", [key], now) == "no signature matches"
    assert problem(good | {"webhook-id": "msg-2"}, body, [key], now) == "no signature matches"
    assert "whole number" in str(problem(good | {"webhook-timestamp": "1.5"}, body, [key], now))
    assert "old" in str(problem(signed(key, at=now - 400), body, [key], now))
    assert problem({}, body, [key], now) == "no webhook-id, webhook-timestamp, webhook-signature"


async def test_keys_of_ones_own_take_the_place_of_the_sandboxs(inbox: Inbox, http: aiohttp.ClientSession) -> None:
    inbox.keys["hook-x"] = [signing_key("other")]
    await post(http, inbox.webhook_url("hook-x"), signed(signing_key("other")))
    assert not inbox.unverified


def test_written_keys_are_one_file_a_name(tmp_path: Path) -> None:
    directory = write_keys(tmp_path / "secrets", ["hook-x", "hook-y"])
    assert {it.name: it.read_text() for it in directory.iterdir()} == {
        "hook-x": signing_key("hook-x") + "\n",
        "hook-y": signing_key("hook-y") + "\n",
    }


async def test_answers_are_programmed_by_destination(inbox: Inbox, http: aiohttp.ClientSession) -> None:
    inbox.behaviours["hook-x"].configure(script=[500, "close", 429], headers={"Retry-After": "7"})
    url, headers = inbox.webhook_url("hook-x"), signed(signing_key("hook-x"))
    assert await post(http, url, headers) == 500
    with pytest.raises(aiohttp.ClientError):
        await post(http, url, headers)
    async with http.post(url, data=BODY, headers=headers) as response:
        assert (response.status, response.headers["retry-after"]) == (429, "7")
    assert await post(http, url, headers) == 200
    assert await post(http, inbox.webhook_url("hook-y"), headers) == 200
    assert [it.answered for it in inbox.webhooks] == [500, "close", 429, 200, 200]


async def test_only_accepted_copies_are_duplicates(inbox: Inbox, http: aiohttp.ClientSession) -> None:
    inbox.behaviours["hook-x"].script.extend([500, 200, 204])
    url, headers = inbox.webhook_url("hook-x"), signed(signing_key("hook-x"))
    await post(http, url, headers)
    await post(http, url, headers)
    assert (inbox.accepted["msg-1"], inbox.duplicates) == (1, 0)
    await post(http, url, headers)
    assert inbox.duplicates == 1


async def test_a_webhook_whose_sender_did_not_wait_for_the_answer_was_read_all_the_same(
    inbox: Inbox, http: aiohttp.ClientSession
) -> None:
    inbox.behaviours["hook-x"].latency = 60
    sending = asyncio.create_task(post(http, inbox.webhook_url("hook-x"), signed(signing_key("hook-x"))))
    async with patience(5):
        await inbox.accepts(1)
    assert sending.cancel()


async def test_who_is_not_let_in_gets_401(inbox: Inbox, http: aiohttp.ClientSession) -> None:
    inbox.admits = lambda destination_id, authorization: (destination_id, authorization) == ("hook-x", "Bearer good")
    url, headers = inbox.webhook_url("hook-x"), signed(signing_key("hook-x"))
    assert await post(http, url, headers) == 401
    assert await post(http, url, headers | {"authorization": "Bearer good"}) == 200


async def test_a_letter_is_kept_whole(inbox: Inbox) -> None:
    await mail(inbox, letter())
    (kept,) = inbox.emails
    assert "message" not in vars(kept), "parsing it whole costs a tenth of the demo, and waits until somebody looks"
    assert (kept.sender, kept.recipients, kept.notification_id) == ("noc@example.com", ("x@example.com",), "n-1")
    html = kept.message.get_body(("html",))
    assert html is not None
    assert html.get_content().strip() == "<p>Fibre cut.</p>"
    assert kept.message["Subject"] == "Łódź"


@pytest.mark.parametrize("stage", ["rcpt", "data"])
async def test_a_mailbox_refuses_with_the_programmed_code(inbox: Inbox, stage: str) -> None:
    inbox.mailbox.stage = stage
    inbox.behaviours["x@example.com"].script.extend([451, 550, 250])
    for code in (451, 550):
        with pytest.raises((aiosmtplib.SMTPRecipientsRefused, aiosmtplib.SMTPDataError)) as refused:
            await mail(inbox, letter())
        assert str(code) in str(refused.value)
    assert not inbox.emails
    await mail(inbox, letter())
    assert len(inbox.emails) == 1


async def test_a_mailbox_may_drop_the_connection_after_the_letter(inbox: Inbox) -> None:
    inbox.behaviours["x@example.com"].script.append("close")
    with pytest.raises(aiosmtplib.SMTPServerDisconnected):
        await mail(inbox, letter())
    assert not inbox.emails


async def test_waiting_for_notifications_ends_when_the_last_came(inbox: Inbox, http: aiohttp.ClientSession) -> None:
    waiting = asyncio.ensure_future(inbox.accepts(2))
    await post(http, inbox.webhook_url("hook-x"), signed(signing_key("hook-x")))
    assert not waiting.done()
    await mail(inbox, letter())
    async with patience(5):
        await waiting
