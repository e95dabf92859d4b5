"""Each second of a delivery belongs to one step, with real workers and a load of everything at once."""

import asyncio
from collections import defaultdict
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

from prometheus_client.parser import text_string_to_metric_families

from notification_sender.sandbox.platform.endpoints import Endpoint
from notification_sender.sandbox.sandbox import Sandbox
from tests.e2e.broker import Broker
from tests.e2e.fleet import Worker, fleet
from tests.patience import patience

Make = Callable[..., dict[str, Any]]
Line = dict[str, Any]

ENDS = {"notification.delivered", "notification.dead", "notification.suppressed"}
OF_A_MIXED_LOAD = {
    *("queue_wait", "claim", "context.incident", "render", "admit", "send.webhook", "send.email", "record"),
    *("throttle_wait", "retry_wait", "deferred.organization_full"),
}

LEAST, SLACK_MS = 0.98, 5.0
"""A part of the wall time; and what a busy machine may take between two readings of the clock, for a short delivery."""


def stories(workers: list[Worker]) -> dict[str, list[Line]]:
    """All lines about each notification that has ended, of all processes, those of its unit among them."""
    lines = [line for worker in workers for line in worker.events if "steps_ms" in line]
    own: dict[str, list[Line]] = defaultdict(list)
    for line in lines:
        own[line.get("notification_id", "")].append(line)
    units = own.pop("", [])
    return {
        name: [*its, *(it for it in units if it["work_unit_id"] == its[0]["work_unit_id"])] for name, its in own.items()
    }


def ended(workers: list[Worker]) -> int:
    return sum(line["event"] in ENDS for worker in workers for line in worker.events)


def summed(story: list[Line]) -> Mapping[str, float]:
    sums: dict[str, float] = defaultdict(float)
    for line in story:
        for step, milliseconds in line["steps_ms"].items():
            sums[step] += milliseconds
    return sums


async def publish(broker: Broker, *units: Line) -> None:
    """As a publisher that says when it saw them first."""
    await broker.publish(units, headers={"x-first-seen": datetime.now(UTC).isoformat()})


async def test_the_steps_of_every_notification_of_a_mixed_load_are_its_wall_time(  # noqa: PLR0917 - fixtures
    sandbox: Sandbox, hasty: dict[str, str], broker: Broker, about: Make, hook: Make, mail: Make
) -> None:
    sandbox.inbox.behaviours["flaky"].script.append(500)
    sandbox.inbox.behaviours["slow"].latency = 1.2
    sandbox.platform.behaviours[Endpoint.INCIDENT].latency = 0.3
    sandbox.platform.behaviours[Endpoint.CURRENT].latency = 0.3
    slow = [about(0, destinations=[hook("slow")]) for _ in range(12)]
    many = [hook(f"many-{number}") for number in range(5)] + [mail("many")]
    limited = hook("limited", rate={"per_minute": 60, "burst": 1})
    others = [
        *(about(number, destinations=[hook("fine")]) for number in range(1, 9)),
        *(about(number, destinations=[mail("noc")], channels=["email"]) for number in range(1, 5)),
        *(about(1, destinations=[limited]) for _ in range(3)),
        about(2, destinations=[hook("flaky")]),
        about(3, destinations=many, channels=["webhook", "email"]),
    ]
    async with fleet(hasty | {"NS_CONCURRENCY": "4", "NS_LOG_LEVEL": "info"}, size=2) as workers:
        await publish(broker, *slow)
        await publish(broker, *others)
        async with patience(90):
            while ended(workers) < len(slow) + len(others) + len(many) - 1:  # noqa: ASYNC110 - it can only be asked
                await asyncio.sleep(0.05)
        exposed = [(await worker.get("/metrics")).text for worker in workers]
    seen: set[str] = set()
    for story in stories(workers).values():
        [end] = [it for it in story if it["event"] in ENDS]
        steps, wall = summed(story), end["age_ms"]
        seen |= steps.keys()
        assert LEAST * wall - SLACK_MS <= sum(steps.values()) <= wall / LEAST + SLACK_MS, story
    assert seen >= OF_A_MIXED_LOAD
    assert busy(exposed).keys() >= {"claim", "render", "admit", "send.webhook", "send.email", "record"}


def busy(exposed: list[str]) -> Mapping[str, float]:
    """Slot-seconds by step."""
    sums: dict[str, float] = defaultdict(float)
    for text in exposed:
        for family in text_string_to_metric_families(text):
            for sample in family.samples:
                if sample.name == "notification_sender_slot_seconds_total":
                    sums[sample.labels["step"]] += sample.value
    return sums
