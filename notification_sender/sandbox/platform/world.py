"""A small invented world: organizations, incidents, dependents, work units. One seed always gives the same world.

All data is plain and may be changed while the platform serves it.
"""

from collections import Counter
from collections.abc import Callable, Iterable
from math import hypot
from random import Random

from notification_sender.model.timestamps import format_rfc3339
from notification_sender.sandbox.platform import records
from notification_sender.sandbox.platform.dependencies import Dependencies
from notification_sender.sandbox.platform.places import PLACES
from notification_sender.sandbox.platform.records import DAWN, Record

CURRENT_DISTANCE = 5
"""The distance to which current entries include dependents."""

EVENTS = ("incident.created", "incident.updated", "incident.updated", "incident.updated")


def nowhere(destination_id: str) -> str:
    """A URL at which nothing listens, for a world without an inbox."""
    return f"https://hooks.example.com/hooks/{destination_id}"


class World:
    """Its sizes: ``organizations`` (the first have most of the incidents), ``incidents`` in total, ``assets`` for each.

    ``webhook_url`` returns the URL of a destination: ``Inbox.webhook_url``.
    """

    def __init__(
        self,
        *,
        seed: int = 1,
        organizations: int = 8,
        incidents: int = 100,
        assets: int = 40,
        webhook_url: Callable[[str], str] = nowhere,
    ) -> None:
        self.seed = seed
        made = [records.organization(number, webhook_url) for number in range(organizations)]
        self.organizations: dict[str, Record] = {it["organization_id"]: it for it in made}
        self.assets: dict[str, Record] = {}
        self._asset_ids: dict[str, list[str]] = {}
        self.incidents: dict[str, Record] = {}
        self.intel_requests: dict[str, Record] = {}
        self.dependencies = Dependencies()
        self.without_entry: set[str] = set()
        """Incidents that the current-incidents cache does not have."""
        self.with_old_entry: set[str] = set()
        """Incidents whose current entry is older than their last change."""
        for number, organization_id in enumerate(self.organizations):
            self._add_assets(number, organization_id, assets)
        for number in range(incidents):
            self._add_incident(number)

    @property
    def destinations(self) -> dict[str, Record]:
        """Destinations by id. In this world no two organizations share an id."""
        return {
            destination["destination_id"]: destination
            for organization in self.organizations.values()
            for destination in organization["destinations"]
        }

    @property
    def secrets(self) -> dict[str, list[str]]:
        """The names of the signing secrets of each organization: those that its destinations name."""
        return {
            organization_id: [it["secret"] for it in organization["destinations"] if "secret" in it]
            for organization_id, organization in self.organizations.items()
        }

    @property
    def secret_names(self) -> list[str]:
        """The names of all signing secrets."""
        return [name for names in self.secrets.values() for name in names]

    def owner(self, destination_id: str) -> str | None:
        """Return the organization that has this destination, or None."""
        return next(
            (
                organization_id
                for organization_id, organization in self.organizations.items()
                if any(it["destination_id"] == destination_id for it in organization["destinations"])
            ),
            None,
        )

    def dependents(self, record: Record, max_distance: int | None) -> list[Record]:
        """Return the rows of the recursive query for an incident or an intel request."""
        if "intel_request_type" in record:
            return self.dependencies.rows(record["intel_request_id"], "intel_requests", max_distance)
        return self.dependencies.rows(record["incident_id"], "incidents", max_distance)

    def current(self, incident_id: str) -> Record | None:
        """Return the current entry of an incident: all its records in one answer, as of the time of writing."""
        incident = self.incidents.get(incident_id)
        if incident is None or incident_id in self.without_entry:
            return None
        if incident_id in self.with_old_entry:
            incident = incident | {"status": "open", "modified": incident["created"]}
        reached = self.dependencies.reached(incident_id, CURRENT_DISTANCE)
        return {
            "incident": incident,
            "outages": incident["outages"],
            "assets": _known(self.assets, (it["asset_id"] for it in incident["assets"])),
            "intel_requests": _known(self.intel_requests, (id_ for id_, far in reached.items() if far == 1)),
            "parent_intel_requests": _known(self.intel_requests, (id_ for id_, far in reached.items() if far > 1)),
            "internet_outages": incident["internet_outages"],
            "cached_at": incident["modified"],
        }

    def address(self, latitude: float, longitude: float) -> str:
        """Return the address of the nearest place of this world."""
        place = min(PLACES, key=lambda it: hypot(it.latitude - latitude, it.longitude - longitude))
        return f"{place.street}, {place.city}, {place.country}"

    def work_units(self, count: int, *, batch_id: str | None = None) -> list[Record]:
        """Return ``count`` valid work units, one incident after the other. Each organization's units are one batch."""
        all_of_them = list(self.incidents.values())
        incidents = [all_of_them[number % len(all_of_them)] for number in range(count)]
        sizes = Counter(it["organization_id"] for it in incidents)
        id_ = batch_id or f"sandbox-{self.seed}"
        return [
            self._work_unit(number, it, {"id": id_, "size": sizes[it["organization_id"]]})
            for number, it in enumerate(incidents)
        ]

    def _work_unit(self, number: int, incident: Record, batch: Record) -> Record:
        unit = {
            "schema_version": 1,
            "work_unit_id": f"wu-{self.seed}-{number:06d}",
            "organization_id": incident["organization_id"],
            "kind": "intel",
            "event": EVENTS[number % len(EVENTS)],
            "incident_id": incident["incident_id"],
            "fingerprint": incident["modified"],
            "occurred_at": incident["modified"],
            "batch": batch,
        }
        if number % 10 == 0:
            unit["intel_request_id"] = self.dependencies.edges[incident["incident_id"]][0].dependent
        if number % 10 == 1:
            unit["asset_ids"] = [it["asset_id"] for it in incident["assets"]]
        return unit

    def add_incident(self, *, direct: int, further: int = 0) -> Record:
        """Add an incident of an organization without current entries.

        ``direct`` intel requests wait for the incident. Each of ``further`` others waits for all of these. So the
        recursive query has direct * (1 + further) rows.
        """
        organization_id = list(self.organizations)[2]
        incident_id = f"inc-{len(self.incidents):05d}"
        dice = self._dice("added", incident_id)
        incident = records.incident(dice, incident_id, organization_id, PLACES[2])
        self.incidents[incident_id] = incident
        nearest = [self._intel_request(dice, incident, number, []) for number in range(direct)]
        farther = [self._intel_request(dice, incident, direct + number, []) for number in range(further)]
        for intel_request_id in nearest:
            self.dependencies.add(incident_id, intel_request_id)
            for parent in farther:
                self.dependencies.add(intel_request_id, parent)
        return incident

    def _dice(self, *about: object) -> Random:
        return Random("/".join(map(str, (self.seed, *about))))

    def _add_assets(self, number: int, organization_id: str, count: int) -> None:
        place = PLACES[number % len(PLACES)]
        self._asset_ids[organization_id] = []
        for n in range(count):
            asset_id = f"ast-{number:03d}-{n:04d}"
            dice = self._dice("asset", asset_id)
            self.assets[asset_id] = records.asset(dice, asset_id, organization_id, place)
            self._asset_ids[organization_id].append(asset_id)

    def _add_incident(self, number: int) -> None:
        dice = self._dice("incident", number)
        owner = self._owner(dice, number)
        organization_id = list(self.organizations)[owner]
        incident_id = f"inc-{number:05d}"
        incident = records.incident(dice, incident_id, organization_id, PLACES[owner % len(PLACES)])
        own = self._asset_ids[organization_id]
        chosen = dice.sample(own, min(len(own), dice.randrange(1, 7)))
        incident["assets"] = [{"asset_id": asset_id} for asset_id in chosen]
        self.incidents[incident_id] = incident
        self._add_dependents(dice, incident, chosen)
        if number % 10 == 0:
            self.without_entry.add(incident_id)
        if number % 10 == 1:
            self.with_old_entry.add(incident_id)

    def _owner(self, dice: Random, number: int) -> int:
        count = len(self.organizations)
        if number < count:
            return number
        return dice.choices(range(count), [1 / (n + 1) for n in range(count)])[0]

    def _add_dependents(self, dice: Random, incident: Record, asset_ids: list[str]) -> None:
        """Add one to four intel requests that wait for the incident, and one that waits for two of them (a diamond)."""
        incident_id = incident["incident_id"]
        direct = [self._intel_request(dice, incident, n, asset_ids) for n in range(dice.randrange(1, 5))]
        for n, intel_request_id in enumerate(direct):
            deleted = format_rfc3339(DAWN) if n and dice.random() < 1 / 5 else None
            self.dependencies.add(incident_id, intel_request_id, deleted=deleted)
        if len(direct) > 1:
            parent = self._intel_request(dice, incident, len(direct), asset_ids)
            for intel_request_id in direct[:2]:
                self.dependencies.add(intel_request_id, parent)
            if dice.random() < 1 / 5:
                self.dependencies.add(parent, direct[0])  # a cycle: people who draw edges make some

    def _intel_request(self, dice: Random, incident: Record, number: int, asset_ids: list[str]) -> str:
        id_ = f"int-{incident['incident_id'].removeprefix('inc-')}-{number}"
        self.intel_requests[id_] = records.intel_request(dice, id_, incident, asset_ids[: dice.randrange(3)])
        return id_


def _known(by_id: dict[str, Record], ids: Iterable[str]) -> list[Record]:
    return [by_id[id_] for id_ in ids if id_ in by_id]
