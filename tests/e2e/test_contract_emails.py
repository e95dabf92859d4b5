"""What stands in an email, and what a mail server's answer does."""

from collections.abc import Callable
from email.utils import parseaddr, parsedate_to_datetime
from typing import Any

from notification_sender.sandbox.sandbox import SENDER, Sandbox
from tests.e2e.broker import Broker
from tests.e2e.command import command
from tests.e2e.fleet import fleet
from tests.e2e.reading import reasons
from tests.patience import patience, patient

Make = Callable[..., dict[str, Any]]
LINK = "https://example.com/u/abc"


async def test_an_email_has_one_recipient_and_the_headers_of_the_contract(
    sandbox: Sandbox, environment: dict[str, str], broker: Broker, unit: Make, mail: Make
) -> None:
    made = unit(destinations=[mail("a", unsubscribe_url=LINK), mail("b")], channels=None)
    sandbox.world.incidents[made["incident_id"]]["modified"] = "2026-03-06T08:26:00Z"
    sandbox.world.organizations[made["organization_id"]]["timezone"] = "Asia/Tokyo"
    async with fleet(environment), patience(30):
        await broker.publish([made])
        await sandbox.inbox.accepts(2)
    letters = {letter.recipients: letter for letter in sandbox.inbox.emails}
    assert letters.keys() == {("a@example.com",), ("b@example.com",)}
    for (recipient,), letter in letters.items():
        message = letter.message
        assert (message["to"], message["from"]) == (recipient, SENDER)
        assert letter.sender == parseaddr(SENDER)[1]
        assert message.get_content_type() == "multipart/alternative"
        assert str(message["message-id"]) == f"<{letter.notification_id}@notifications.example.com>"
        assert abs(parsedate_to_datetime(message["date"]).timestamp() - letter.arrived) < patient(5)
        text, html = (part.get_content() for part in message.iter_parts())
        assert "17:26" in text
        assert "17:26" in html
    with_link, without = letters["a@example.com",].message, letters["b@example.com",].message
    assert with_link["list-unsubscribe"] == f"<{LINK}>"
    assert with_link["list-unsubscribe-post"] == "List-Unsubscribe=One-Click"
    assert not {"list-unsubscribe", "list-unsubscribe-post"} & {name.lower() for name in without}


async def test_a_4xx_of_the_mail_server_is_tried_again_and_a_5xx_is_dead(
    sandbox: Sandbox, hasty: dict[str, str], broker: Broker, unit: Make, mail: Make
) -> None:
    inbox = sandbox.inbox
    inbox.behaviours["greylisted@example.com"].script.append(451)
    inbox.behaviours["dropped@example.com"].script.append("close")
    inbox.behaviours["nobody@example.com"].answer = 550
    names = ("greylisted", "dropped", "nobody")
    async with fleet(hasty) as (worker,), patience(30):
        await broker.publish([unit(channels=None, destinations=[mail(name) for name in names])])
        letters = await broker.dead(1)
        await inbox.accepts(2)
        await worker.says("notification.failed", times=2)
    assert reasons(letters) == {"nobody": "rejected"}
    assert sorted(letter.recipients[0] for letter in inbox.emails) == ["dropped@example.com", "greylisted@example.com"]
    assert {name: inbox.behaviours[f"{name}@example.com"].calls for name in names} == {
        "greylisted": 2,
        "dropped": 2,
        "nobody": 1,
    }


async def test_who_is_on_the_suppression_list_gets_nothing_until_taken_off(
    sandbox: Sandbox, environment: dict[str, str], broker: Broker, unit: Make, mail: Make
) -> None:
    noc, ops = mail("noc", to="NOC@example.com"), mail("ops")
    first = unit(channels=None, destinations=[noc, ops])
    organization = ("--organization", first["organization_id"])
    added = await command(environment, "suppressions", "add", *organization, "-", stdin=b"noc@example.com\n")
    async with fleet(environment) as (worker,), patience(30):
        await broker.publish([first])
        await worker.says("notification.suppressed", reason="unsubscribed")
        await sandbox.inbox.accepts(1)
        removed = [await command(environment, "suppressions", "remove", *organization, "noc@example.com") for _ in "12"]
        await broker.publish([unit(channels=None, destinations=[noc])])
        await sandbox.inbox.accepts(2)
    assert [letter.recipients for letter in sandbox.inbox.emails] == [("ops@example.com",), ("NOC@example.com",)]
    assert [ended.code for ended in (added, *removed)] == [0, 0, 1]
    assert [line for line in worker.raw if "noc@example" in line.lower()] == []


async def test_a_server_that_is_asked_too_much_is_asked_again_without_an_attempt(
    sandbox: Sandbox, hasty: dict[str, str], broker: Broker, unit: Make, mail: Make
) -> None:
    behaviour = sandbox.inbox.behaviours["noc@example.com"]
    behaviour.configure(script=[454], body=b"4.7.0 Throttled, try again in 1 second")
    async with fleet(hasty) as (worker,), patience(30):
        await broker.publish([unit(channels=None, destinations=[mail("noc")])])
        await worker.says("notification.deferred", reason="slow_down")
        await sandbox.inbox.accepts(1)
    assert behaviour.calls == 2


async def test_without_a_mail_server_emails_are_dead_and_webhooks_are_sent(
    *, sandbox: Sandbox, environment: dict[str, str], broker: Broker, unit: Make, hook: Make, mail: Make
) -> None:
    environment = {name: value for name, value in environment.items() if name not in ("NS_SMTP_URL", "NS_EMAIL_FROM")}
    async with fleet(environment), patience(30):
        await broker.publish([unit(channels=None, destinations=[mail("noc"), hook("noc-hook")])])
        letters = await broker.dead(1)
        await sandbox.inbox.accepts(1)
    assert reasons(letters) == {"noc": "channel_not_configured"}
    assert len(sandbox.inbox.webhooks) == 1
