"""Work units of the trial: the steady mix, and those that a fault publishes beside it."""

import secrets
from collections.abc import Sequence
from itertools import count
from random import Random
from typing import Any

from notification_sender.sandbox.platform.world import World

Record = dict[str, Any]

REGULAR = 6
"""Organizations that have units all the time. Their facts are in the cache."""

ORGANIZATIONS = 3000
"""The others have one unit each, one after the other: none of their facts is in the cache."""

SHARE_OF_REGULAR = 0.3
SHARE_OF_EMAILS = 0.2
MAILBOXES = [f"noc-{number}@example.com" for number in range(5)]
HOSTS = 50
SECRET = "trial"  # noqa: S105 - the name of one
ABSENT_SECRET = "absent"  # noqa: S105 - as above
KIND = "trial"
"""The recipe of the outside package."""

WRONG_TEMPLATE = "wrong"
REGULAR_HOSTS = [f"127.0.2.{number}" for number in range(1, REGULAR + 1)]
OTHER_HOSTS = [f"127.0.3.{number}" for number in range(1, HOSTS + 1)]
STEADY_HOSTS = REGULAR_HOSTS + OTHER_HOSTS
HANGING = [f"127.0.1.{number}" for number in range(1, HOSTS + 1)]
"""Hosts of destinations that only faults use."""


def world() -> World:
    return World(organizations=ORGANIZATIONS, incidents=ORGANIZATIONS, assets=2)


class Units:
    """``port``: of the recipients, on every loopback address."""

    def __init__(self, world: World, port: int, dice: Random) -> None:
        self._world = world
        self._port = port
        self._dice = dice
        self._incidents = list(world.incidents.values())
        self._turns = count()

    @property
    def organizations(self) -> Sequence[str]:
        """The regular ones."""
        return list(self._world.organizations)[:REGULAR]

    def steady(self) -> Record:
        """One of the mix."""
        return self.of(self._dice.randrange(REGULAR)) if self._dice.random() < SHARE_OF_REGULAR else self.other()

    def other(self) -> Record:
        """Of an organization whose facts nobody has fetched yet."""
        turn = next(self._turns) % (ORGANIZATIONS - REGULAR)
        return self._unit(self._incidents[REGULAR + turn], OTHER_HOSTS[turn % HOSTS])

    def of(self, number: int) -> Record:
        """Of the regular organization of this number."""
        return self._unit(self._incidents[number], REGULAR_HOSTS[number])

    def hook_of(self, number: int, address: str | None = None, **destination: Any) -> Record:
        """As ``of``, to a webhook; ``address``: another than its own, ``destination``: further fields of it."""
        incident, address = self._incidents[number], address or REGULAR_HOSTS[number]
        return self._about(incident, self._hook(address, **destination))

    def mail_of(self, number: int) -> Record:
        """As ``of``, to a mailbox."""
        return self._about(self._incidents[number], self._mail())

    def of_kind(self, event: str) -> Record:
        """Of the outside package's recipe. ``event`` says what its source does."""
        unit = self.hook_of(0, "127.0.2.99", template=KIND)
        return unit | {"kind": KIND, "event": event}

    def unreadable(self) -> Record:
        """It says neither whose it is nor what it is about."""
        return {"work_unit_id": f"wu-{secrets.token_hex(8)}"}

    def _unit(self, incident: Record, address: str) -> Record:
        mail = self._dice.random() < SHARE_OF_EMAILS
        return self._about(incident, self._mail() if mail else self._hook(address))

    def _about(self, incident: Record, destination: Record) -> Record:
        return {
            "schema_version": 1,
            "work_unit_id": f"wu-{secrets.token_hex(8)}",
            "organization_id": incident["organization_id"],
            "kind": "intel",
            "event": "incident.updated",
            "incident_id": incident["incident_id"],
            "fingerprint": incident["modified"],
            "destinations": [destination],
        }

    def _hook(self, address: str, **fields: Any) -> Record:
        id_ = hook_id(address)
        url = f"http://{address}:{self._port}/hooks/{id_}"
        own = {"destination_id": id_, "channel": "webhook", "url": url, "template": "intel", "secret": SECRET}
        return own | fields

    def _mail(self) -> Record:
        to = self._dice.choice(MAILBOXES)
        return {"destination_id": to.partition("@")[0], "channel": "email", "to": to, "template": "intel"}


def hook_id(address: str) -> str:
    """The id of the webhook destination on this address."""
    return f"hook-{address.replace('.', '-')}"
