"""One odd case while it is made: a work unit, what the APIs say of it, and how its receiver answers.

A kind of oddness is one function that makes one thing of a ``Draft`` odd: ``@messages.kind`` and a name is all.
"""

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import orjson

from tests.strangers.wire import table

Record = dict[str, Any]
NOW = 1_772_785_560.0
DAWN = "2026-03-06T08:00:00Z"
ENDS = frozenset({"refused", "delivered", "suppressed", "dead", "put off"})
"""``refused``: RabbitMQ did not take the message from its publisher."""


@dataclass(frozen=True, slots=True)
class Ground:
    """Where the receivers listen; all that differs between two runs of one seed."""

    inbox: Callable[[str], str]
    """The URL of a webhook receiver that is well, by destination id."""
    odd: Callable[[int], str]
    """The URL of an odd one, by case."""
    named: Callable[[int], str]
    """A URL with a name that only the odd name server knows, by case; it leads to the inbox."""
    now: float = NOW
    """Epoch seconds at the beginning of the run."""


@dataclass(slots=True)
class Draft:
    """What a kind may change. Everything is well before it does.

    ``properties``: encoded values by name; ``headers``: the encoded fields of the message's header table.
    """

    number: int
    kind: str
    whose: str
    """The id of its organization; every other id of it ends so."""
    dice: random.Random
    ground: Ground
    unit: Record
    organization: Record
    incident: Record
    asset: Record
    properties: dict[str, bytes] = field(default_factory=dict)
    headers: list[bytes] = field(default_factory=list)
    raw: bytes | None = None
    """The body, in place of the unit."""
    copies: int = 1
    answer: Any = None
    """Of an odd receiver (``http_answers.Answer``)."""
    dialogue: Any = None
    """Of the mail server (``smtp_dialogues.Dialogue``)."""
    resolved: Any = None
    """Of the name server (``dns_answers.Answer``)."""
    stored: list[tuple[Any, ...]] = field(default_factory=list)
    """Commands of Redis that write before it comes; the key, in the second place, lacks the prefix."""
    now: float = NOW
    """Of what is stored, epoch seconds."""
    refused_ids: set[str] = field(default_factory=set)
    """Ids that make the API refuse a bulk call."""
    ends: frozenset[str] = ENDS
    """Those that are right. Most kinds leave all of them."""

    @property
    def body(self) -> bytes:
        return orjson.dumps(self.unit) if self.raw is None else self.raw

    @property
    def encoded(self) -> dict[str, bytes]:
        """Properties, with the header table among them."""
        beside = {"headers": table(b"".join(self.headers))} if self.headers else {}
        return {"content_type": b"\x10application/json", "delivery_mode": b"\x02"} | beside | self.properties

    @property
    def destination(self) -> Record:
        """The first of the unit."""
        first: Record = self.unit["destinations"][0]
        return first

    @property
    def address(self) -> str:
        return f"odd-{self.number}@example.com"

    def by_email(self) -> None:
        email = {"destination_id": f"odd-{self.number}", "channel": "email", "to": self.address}
        self.unit["destinations"] = [email | {"template": "intel"}]

    def by_record(self) -> None:
        """To the destinations of the organization's record."""
        self.organization["destinations"] = self.unit.pop("destinations")

    def fresh(self) -> None:
        """The incident's own call, not the current entry."""
        self.organization["metadata"] = {}


@dataclass(frozen=True, slots=True)
class Kind:
    name: str
    make: Callable[[Draft], None]
    rare: bool = False
    """Once in a long run: it is large."""


class Family:
    """The kinds of one file, by name."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.kinds: list[Kind] = []

    def kind(self, make: Callable[[Draft], None]) -> Callable[[Draft], None]:
        return self.add(make.__name__.replace("_", "-"), make)

    def rare(self, make: Callable[[Draft], None]) -> Callable[[Draft], None]:
        return self.add(make.__name__.replace("_", "-"), make, rare=True)

    def add(self, name: str, make: Callable[[Draft], None], *, rare: bool = False) -> Callable[[Draft], None]:
        self.kinds.append(Kind(f"{self.name}.{name}", make, rare))
        return make


def draft(seed: int, number: int, kind: str, ground: Ground) -> Draft:
    """Case ``number`` of a seed, before anything is odd."""
    whose = f"odd-{seed}-{number}"
    incident_id, asset_id = f"inc-{whose}", f"ast-{whose}"
    hook = {"destination_id": f"odd-{number}", "channel": "webhook", "template": "intel"}
    unit = {
        "work_unit_id": f"wu-{whose}",
        "organization_id": whose,
        "event": "incident.updated",
        "incident_id": incident_id,
        "fingerprint": DAWN,
        "destinations": [hook | {"url": ground.inbox(f"odd-{number}")}],
    }
    dice = random.Random(f"{seed}/{number}/{kind}")
    cached = {"use_current_incidents_cache": True} if dice.random() < 1 / 2 else {}
    organization = {
        "organization_id": whose,
        "name": f"Stranger {number}",
        "timezone": "Europe/Berlin",
        "metadata": cached,
        "destinations": [],
    }
    asset = {
        "asset_id": asset_id,
        "organization_id": whose,
        "asset_name": "Mast 1",
        "asset_type_name": "Mast",
        "geojson": {"type": "Point", "coordinates": [13.4, 52.5]},
        "thoroughfare": "Torstraße 1",
    }
    outage = {"outage_id": f"out-{whose}", "organization_id": whose, "outage_type": "power", "status": "open"}
    incident = {
        "incident_id": incident_id,
        "organization_id": whose,
        "status": "open",
        "created": DAWN,
        "modified": DAWN,
        "location": {
            "location_id": f"loc-{whose}",
            "geojson": {"type": "Point", "coordinates": [13.4, 52.5]},
            "thoroughfare": "Torstraße 1",
        },
        "outages": [outage | {"provider": "Netz", "summary": "Power is off", "started": DAWN}],
        "internet_outages": [],
        "assets": [{"asset_id": asset_id}],
    }
    return Draft(number, kind, whose, dice, ground, unit, organization, incident, asset, now=ground.now)
