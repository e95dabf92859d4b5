"""The targets of a unit. Each record of a destination is read by itself, so that a bad one fails alone."""

import re
from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import orjson
from pydantic import ValidationError

from notification_sender.checkpoint import Checkpoint
from notification_sender.model.destination import MAX_ID, Destination
from notification_sender.model.errors import Permanent, SchemaViolation
from notification_sender.model.outcome import Dead, Suppressed
from notification_sender.model.records import dataclass
from notification_sender.model.unit import MAX_REPORTED_FAULTS, WorkUnit, explain
from notification_sender.policy.destinations import check, wants
from notification_sender.ports.channels import Channel
from notification_sender.ports.clock import Clock

COMMON = frozenset(Destination.model_fields)
"""The fields that every destination may have."""

UNKNOWN = "unknown"
"""The channel of a record that names none."""

NAMELESS = "unreadable-"
"""Begins the id of a target whose own id is unreadable or taken; its place follows."""

MOST_KNOWN = 4096
LARGEST_KNOWN = 2560
"""Destinations that a process remembers, and the characters in the texts of each: about 40 MB if all were as long."""

_NAME = re.compile(rf"[A-Za-z0-9_:-]{{1,{MAX_ID}}}")


@dataclass(frozen=True, slots=True)
class Target:
    """One destination that a unit reaches."""

    destination: Destination
    """The fields of its record that its channel knows; of an invalid record its names alone."""
    end: Dead | Suppressed | None = None
    """Why nothing is sent there."""
    place: int = 0
    """Its place among the records that were offered."""

    @property
    def destination_id(self) -> str:
        return self.destination.destination_id

    @property
    def channel(self) -> str:
        return self.destination.channel

    @property
    def record(self) -> dict[str, Any]:
        """As JSON that is this destination again."""
        return self.destination.model_dump(mode="json", exclude_unset=True)

    @classmethod
    def without_send(cls, destination_id: str, channel: str, end: Dead | Suppressed, place: int = 0) -> "Target":
        """A target to which nothing is sent."""
        # Without validation: an unreadable record may have no id yet.
        return cls(Destination.model_construct(destination_id=destination_id, channel=channel), end, place)


class DestinationReader:
    """Reads records of destinations, each once: the units of an organization bring the same ones along."""

    def __init__(self, channels: Mapping[str, Channel]) -> None:
        self._channels = channels
        self._read: OrderedDict[bytes, Destination] = OrderedDict()

    def __call__(self, record: Any) -> Destination:
        """As ``read``. Records whose fields that count have the same JSON are the same destination, one object."""
        channel, kept = _fields(record, self._channels)
        text = _text(kept)
        if text is None:
            return _destination(channel, kept, self._channels)
        known = self._read.get(text)
        if known is None:
            self._read[text] = known = _destination(channel, kept, self._channels)
            if len(self._read) > MOST_KNOWN:
                self._read.popitem(last=False)
        return known


def _text(kept: Mapping[str, Any]) -> bytes | None:
    """The JSON of these fields; None if it may be long. The writer of a record decides how long it is, and writing
    megabytes would hold the event loop for each unit.
    """
    size = 0
    for value in kept.values():
        if isinstance(value, str):
            size += len(value)
        elif value is not None and not isinstance(value, bool):
            return None
    return _written(kept) if size <= LARGEST_KNOWN else None


def _written(kept: Mapping[str, Any]) -> bytes | None:
    try:
        return orjson.dumps(kept)
    except TypeError:  # half a surrogate pair
        return None


def read(record: Any, channels: Mapping[str, Channel]) -> Destination:
    """The destination that a record is: its channel exists, and it has the fields that this channel knows, no others.

    Raises:
        SchemaViolation: a field is missing or breaks its rule.
        ForbiddenAddress: it is in a notation that is never dialled.

    """
    return _destination(*_fields(record, channels), channels)


def _fields(record: Any, channels: Mapping[str, Channel]) -> tuple[Channel | None, dict[str, Any]]:
    """The channel of a record, and those of its fields that count there."""
    if not isinstance(record, dict):
        raise SchemaViolation("not a JSON object")
    channel = _channel(record, channels)
    fields: Mapping[str, int] = channel.fields if channel else {}
    return channel, {name: it for name, it in record.items() if name in COMMON or name in fields}


def _destination(channel: Channel | None, kept: dict[str, Any], channels: Mapping[str, Channel]) -> Destination:
    try:
        destination = Destination.model_validate(kept)
    except ValidationError as fault:
        raise SchemaViolation(explain(fault)) from None
    if channel is None:
        others = ", ".join(sorted(channels))
        raise SchemaViolation(f"channel: there is no {destination.channel!r}, only {others}")
    for name, value in destination.extra.items():
        _check(name, value, channel.fields[name])
    channel.address(destination)
    check(destination)
    return destination


def _channel(record: Mapping[str, Any], channels: Mapping[str, Channel]) -> Channel | None:
    name = record.get("channel")
    return channels.get(name) if isinstance(name, str) else None


def _check(name: str, value: object, longest: int) -> None:
    if value is not None and not isinstance(value, str):
        raise SchemaViolation(f"{name}: not a text")
    if value is not None and len(value) > longest:
        raise SchemaViolation(f"{name}: {len(value)} characters, at most {longest}")


class Targets:
    """Reads the records of destinations; ``most`` is the number that a unit may reach."""

    def __init__(self, *, channels: Mapping[str, Channel], most: int, clock: Clock) -> None:
        self._channels = channels
        self._read = DestinationReader(channels)
        self._most = most
        self._clock = clock

    async def check(self, given: Sequence[Any]) -> None:
        """Check that at least one of the destinations that a unit brings along is valid.

        Raises:
            SchemaViolation, ForbiddenAddress: none is.

        """
        faults: list[Permanent] = []
        checkpoint = Checkpoint(self._clock)
        for place, record in enumerate(given[: self._most]):
            await checkpoint()
            try:
                self._read(record)
            except Permanent as fault:
                if len(faults) < MAX_REPORTED_FAULTS:
                    faults.append(type(fault)(f"destinations.{place}: {fault}"))
            else:
                return
        if faults:
            raise type(faults[0])("; ".join(map(str, faults)))

    async def select(self, unit: WorkUnit, offered: Sequence[Any]) -> list[Target]:
        """The valid targets of the unit among ``offered``, each once; then the invalid ones.

        Raises:
            SchemaViolation: more than ``most``, or as ``check``.
            ForbiddenAddress: as ``check``.

        """
        well: dict[str, Target] = {}
        ended: list[Target] = []
        checkpoint = Checkpoint(self._clock)
        for place, record in enumerate(offered):
            await checkpoint()
            target = self._target(unit, place, record)
            if target is None:
                continue
            if target.end is None and well.setdefault(target.destination_id, target) is not target:
                # Two targets with one id would share one notification id, and one of them would get nothing.
                target = replace(target, end=Dead("schema", f"destination {place}: a second {target.destination_id!r}"))
            if target.end is not None:
                ended.append(target)
            if len(well) + len(ended) > self._most:
                raise SchemaViolation(
                    f"destinations: of {len(offered)} more than {self._most} are reached (NS_MAX_DESTINATIONS)"
                )
        if not well and unit.destinations is not None:
            await self.check(unit.destinations)
        return [*well.values(), *_named(ended, taken=set(well))]

    def _target(self, unit: WorkUnit, place: int, record: Any) -> Target | None:
        if unit.destination_ids is not None and _name(record, "destination_id") not in unit.destination_ids:
            return None
        try:
            destination = self._read(record)
        except Permanent as fault:
            name, channel = _name(record, "destination_id"), _name(record, "channel")
            if self._unasked(unit, record, channel):
                return None
            end = Dead(fault.reason, f"destination {place}: {fault}", fault)
            return Target.without_send(name or "", channel or UNKNOWN, end, place)
        return Target(destination, place=place) if wants(unit, destination) else None

    def _unasked(self, unit: WorkUnit, record: Any, channel: str | None) -> bool:
        """Whether the unit leaves this invalid record out anyway. A channel that does not exist is a mistake of the
        publisher, so a unit that lists its channels does not leave it out.
        """
        if isinstance(record, dict) and record.get("enabled") is False:
            return True
        slip = unit.destinations is not None and channel not in self._channels
        return unit.channels is not None and channel not in unit.channels and not slip


def _named(ended: Iterable[Target], taken: set[str]) -> Iterable[Target]:
    """Give each an id that no other has: each gets a ledger record and a dead letter of its own."""
    for target in ended:
        name = target.destination_id
        if not name or name in taken:
            name = f"{NAMELESS}{target.place}"
        taken.add(name)
        yield Target.without_send(name, target.channel, target.end, target.place) if target.end else target


def _name(record: Any, field: str) -> str | None:
    """The value of ``field`` if it is a valid identifier, else None."""
    value = record.get(field) if isinstance(record, dict) else None
    return value if isinstance(value, str) and _NAME.fullmatch(value) else None
