"""`explain` tells the whole story of a unit, whichever processes had it in hand, by each id that somebody may have."""

import json
from collections.abc import Callable
from typing import Any

from notification_sender.sandbox.sandbox import Sandbox
from tests.e2e.broker import Broker
from tests.e2e.command import command
from tests.e2e.fleet import Worker, fleet
from tests.e2e.reading import posts_at
from tests.patience import patience

Make = Callable[..., dict[str, Any]]
TOLD = ("name", "step", "outcome", "reason", "attempt")


async def explained(environment: dict[str, str], id_: str) -> dict[str, Any]:
    ended = await command(environment, "explain", id_, "--json")
    assert ended.code == 0, ended.err
    told: dict[str, Any] = json.loads(ended.out)
    return told


async def comes_due(broker: Broker) -> None:
    """The parked copy comes back before its time."""
    ladder = [f"delay.{step:02d}" for step in range(18)]
    [step] = [name for name, depth in (await broker.depths(ladder)).items() if depth]
    [parked] = await broker.take(step)
    await broker.publish([parked.body], lane="notifications", headers=parked.headers)


async def test_a_unit_that_was_deduplicated_throttled_failed_twice_and_delivered_by_three_processes_is_told_in_order(
    sandbox: Sandbox, hasty: dict[str, str], broker: Broker, unit: Make, hook: Make
) -> None:
    sandbox.inbox.behaviours["noc"].script.extend([500, 503])
    late = hasty | {"NS_RETRY_SCHEDULE": "1h 1h 1h"}
    slow = late | {"NS_THROTTLE_WEBHOOK": "2/hour burst 1"}
    filler = unit(destinations=[hook("first")])
    made = filler | {"work_unit_id": "wu-told", "destinations": [hook("noc")]}
    workers: list[Worker] = []
    async with patience(60):
        async with fleet(slow) as (worker,):
            workers.append(worker)
            await broker.publish([filler])
            await worker.says("notification.delivered")
            await broker.publish([made])
            await worker.says("unit.done", work_unit_id="wu-told")
            await broker.publish([made])
            await worker.says("unit.suppressed", reason="already_done")
            waiting = await explained(slow, "wu-told")
        async with fleet(late) as (worker,):
            workers.append(worker)
            await comes_due(broker)
            await worker.says("notification.failed")
        async with fleet(late) as (worker,):
            workers.append(worker)
            await comes_due(broker)
            await worker.says("notification.failed")
            await comes_due(broker)
            await worker.says("notification.delivered")
    [first, *_] = posts_at(sandbox.inbox, "noc")
    id_ = first.notification_id
    a, b, c = (it.process.pid for it in workers)
    told = await explained(hasty, "wu-told")
    # A worker that ends before its ack is out gives its copy to the next one, which drops it: that is told as well.
    events = [it for it in told["events"] if it["reason"] != "stale"]
    assert [(it["process"].rpartition(":")[2], *(it[name] for name in TOLD[1:])) for it in events] == [
        (str(a), "claim", "claimed", "", 1),
        (str(a), "admit", "deferred", "throttled", 1),
        (str(a), "end", "done", "", None),
        (str(a), "claim", "deduplicated", "already_done", None),
        (str(b), "send", "failed", "sent_answered", 1),
        (str(c), "send", "failed", "sent_answered", 2),
        (str(c), "send", "delivered", "", 3),
    ]
    times = [it["at"] for it in told["events"]]
    assert times == sorted(times)
    assert (told["id"], told["kind"], told["end"], told["now"]) == ("wu-told", "unit", "delivered", {})
    _, throttled, _, _, failed, *_ = told["events"]
    assert (throttled["limit"], throttled["name"]) == ("webhook", id_)
    assert throttled["until"] > throttled["at"]
    assert failed["sources"]["incident"].split()[0] in {"hit", "fetched"}
    assert failed["template_version"]
    assert (waiting["end"], waiting["now"]["name"], waiting["now"]["until"]) == ("waiting", id_, throttled["until"])
    for name in (id_, f"<{id_}@example.com>"):
        by_id = await explained(hasty, name)
        assert (by_id["kind"], by_id["end"], by_id["work_unit_id"]) == ("notification", "delivered", "wu-told")
        assert by_id["events"] == told["events"]
    shown = await command(hasty, "explain", "wu-told")
    print(shown.out)  # noqa: T201 - with ``-s``
    assert shown.out.startswith(f"unit wu-told, of {made['organization_id']}: delivered\n")
    assert "admit 1: deferred, throttled:webhook" in shown.out


async def test_of_an_id_that_nobody_knows_that_is_said(environment: dict[str, str]) -> None:
    ended = await command(environment, "explain", "wu-unknown")
    assert (ended.code, ended.out) == (1, "")
    assert "nothing is known of wu-unknown" in ended.err
    assert (await command(environment, "explain", "*")).code == 2
