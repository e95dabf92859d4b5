"""What an organization's record of a destination holds besides what we know is nobody's reason not to send."""

from collections.abc import Callable
from typing import Any

import pytest

from notification_sender.sandbox.sandbox import Sandbox
from tests.e2e.broker import Broker
from tests.e2e.fleet import fleet
from tests.e2e.reading import posts_at
from tests.patience import patience

Make = Callable[..., dict[str, Any]]


def nested(depth: int) -> Any:
    value: Any = "at the bottom"
    for _ in range(depth):
        value = [value]
    return value


ODD: list[dict[str, Any]] = [
    {"number": 2**63 - 1, "deep": nested(60), "notes": "n" * 5_000_000},
    {"control": "\x01" * 700_000},
]


@pytest.mark.parametrize("fields", ODD, ids=["numbers, depth, length", "control characters"])
async def test_what_was_parked_with_an_odd_record_is_delivered_at_its_next_attempt(
    *, sandbox: Sandbox, hasty: dict[str, str], broker: Broker, about: Make, fields: dict[str, Any]
) -> None:
    [owner, *_] = sandbox.world.organizations
    record = sandbox.world.organizations[owner]["destinations"][0]
    record |= fields
    sandbox.inbox.behaviours[record["destination_id"]].script.append(503)
    async with fleet(hasty), patience(60):
        await broker.publish([about(0)])
        await sandbox.inbox.accepts(1)
    assert [post.answered for post in posts_at(sandbox.inbox, record["destination_id"])] == [503, 200]
