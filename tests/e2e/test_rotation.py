"""Keys and certificate authorities are changed by the operator while the worker is busy, and nobody restarts it."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from itertools import count
from pathlib import Path
from typing import Any

from standardwebhooks import Webhook, WebhookVerificationError

from notification_sender.sandbox.inbox.inbox import Inbox, ReceivedWebhook
from notification_sender.sandbox.inbox.keys import signing_key
from notification_sender.sandbox.sandbox import Sandbox
from tests.e2e.broker import Broker
from tests.e2e.fleet import fleet
from tests.e2e.listener import listening
from tests.e2e.reading import headers, reasons
from tests.faults.rows import row
from tests.patience import patience
from tests.services.certificates import certificate
from tests.services.program import free_port

Make = Callable[..., dict[str, Any]]

OLD, NEW = signing_key("old"), signing_key("new")
UNDER_WAY = 40
"""Units that are published and not accepted, for as long as it takes: a change is seen some time, and not before."""


def put(file: Path, *lines: str) -> None:
    """At once: whoever reads it sees it as it was or as it is."""
    draft = file.with_suffix(".draft")
    draft.write_text("\n".join(lines))
    draft.replace(file)


def verified_by(post: ReceivedWebhook) -> set[str]:
    found = set()
    for key in (OLD, NEW):
        try:
            Webhook(key).verify(post.body, headers(post))
        except WebhookVerificationError:
            continue
        found.add(key)
    return found


@asynccontextmanager
async def load(inbox: Inbox, broker: Broker, made: Callable[[], dict[str, Any]]) -> AsyncIterator[None]:
    async def publish() -> None:
        half = UNDER_WAY // 2
        for published in count(half, half):
            await broker.publish([made() for _ in range(half)])
            await inbox.accepts(published - half)

    publishing = asyncio.create_task(publish())
    try:
        yield
    finally:
        publishing.cancel()
        await asyncio.gather(publishing, return_exceptions=True)


@row(70, "key rotation under load")
async def test_a_key_is_rotated_under_load_and_each_post_is_good_to_who_has_either(
    sandbox: Sandbox, environment: dict[str, str], broker: Broker, unit: Make, hook: Make
) -> None:
    inbox, told = sandbox.inbox, hook("noc", secret="rotated")
    file = Path(environment["NS_SECRETS_DIR"]) / unit()["organization_id"] / "rotated"
    put(file, OLD)
    async with fleet(environment), patience(60), load(inbox, broker, lambda: unit(destinations=[told])):
        await inbox.receives(20)
        put(file, NEW, OLD)
        while verified_by(inbox.webhooks[-1]) != {OLD, NEW}:
            await inbox.receives(len(inbox.webhooks) + 1)
        await inbox.receives(len(inbox.webhooks) + 50)
        known_to_all = len(inbox.webhooks)
        put(file, NEW)
        while verified_by(inbox.webhooks[-1]) != {NEW}:
            await inbox.receives(len(inbox.webhooks) + 1)
        await inbox.receives(len(inbox.webhooks) + 50)
    by = [verified_by(post) for post in inbox.webhooks]
    assert set() not in by
    assert {OLD, NEW} in by
    assert all(OLD in keys for keys in by[:known_to_all])
    assert all(NEW in keys for keys in by[known_to_all:])
    assert by[-1] == {NEW}
    assert inbox.duplicates == 0


async def test_an_authority_that_is_put_there_late_is_trusted_at_the_next_try(
    *, hasty: dict[str, str], broker: Broker, unit: Make, hook: Make, tmp_path: Path
) -> None:
    port, made = free_port(), certificate(tmp_path / "made", "DNS:localhost")
    (tmp_path / "ca").mkdir()
    url = f"https://localhost:{port}/"
    told = [hook("trusting", url=url, ca="intranet"), hook("public", url=url)]
    async with (
        listening(port, "127.0.0.1", tls=made.serving()) as receiver,
        fleet(hasty | {"NS_CA_DIR": str(tmp_path / "ca")}) as (worker,),
        patience(40),
    ):
        await broker.publish([unit(destinations=told)])
        said = await worker.says("destination.ca_missing", destination_id="trusting")
        assert f"there is no {tmp_path / 'ca' / 'intranet'}" in said["error"]
        await worker.says("notification.deferred", times=2, destination_id="trusting", reason="ca_missing")
        put(tmp_path / "ca" / "intranet", made.certificate.read_text())
        delivered = await worker.says("notification.delivered", destination_id="trusting")
        assert delivered["attempt"] == 1
        letters = await broker.dead(1)
    assert reasons(letters) == {"public": "exhausted"}
    assert "certificate" in str(letters[0].headers["x-detail"])
    assert len(receiver.dialled) == 1
