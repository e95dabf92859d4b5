"""That day: how long each call took, what the platform could bear, and what was in the queue."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import orjson

from notification_sender.sandbox.platform.world import World

UNITS = 7885
"""One of the three peaks of the backlog."""

INCIDENTS = 3000
ORGANIZATIONS = 8

SECONDS = {
    "INTEL_REQUEST": 5.0,
    "INCIDENT": 1.0,
    "ASSETS": 0.5,
    "REVERSE": 0.3,
    "INTEL_REQUESTS": 0.2,
    "TOKEN": 0.09,
    "ORGANIZATION": 0.05,
}
"""Of one call, unscaled: the fastest that were seen in the sample of 08:26, in sum with the locks 7.9 s a message."""

AAA = ("ORGANIZATION", "TOKEN")

POOL_BEFORE, POOL_AFTER = 2, 14
"""Calls of ours that the AAA API can work on at once: what the users' traffic leaves of 8 replicas, and of 20."""

SCALED_AT = 0.3
"""Share of the backlog after which the replicas are added."""


@dataclass(frozen=True, slots=True)
class Scale:
    """``by``: every latency of that day is divided by it. Ours and theirs alike."""

    by: float

    def seconds(self, unscaled: float) -> float:
        return unscaled / self.by


def bodies(number: int, url: str) -> Iterator[bytes]:
    """Work units as they came: several at a time about one incident, each about one of its intel requests too."""
    world = World(organizations=ORGANIZATIONS, incidents=INCIDENTS)
    units = sorted(world.work_units(number), key=lambda it: (it["incident_id"], it["work_unit_id"]))
    for unit in units:
        yield orjson.dumps(_whole(unit, world, url))


def _whole(unit: dict[str, Any], world: World, url: str) -> dict[str, Any]:
    del unit["batch"]
    intel_request = world.dependencies.edges[unit["incident_id"]][0].dependent
    destination = {"destination_id": "noc", "channel": "webhook", "url": url, "template": "intel"}
    return unit | {"event": "incident.updated", "intel_request_id": intel_request, "destinations": [destination]}
