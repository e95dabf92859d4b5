"""The work unit: an event that recipients should be notified of, and how it is read from a message."""

import hashlib
from datetime import datetime
from functools import lru_cache
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)

from notification_sender.model.destination import Identifier
from notification_sender.model.errors import SchemaViolation
from notification_sender.model.strict_json import MAX_BYTES, read_json
from notification_sender.model.timestamps import in_utc, parse_rfc3339

MAX_SLICE_BYTES = 2 * MAX_BYTES
"""Of a slice. It repeats fields of a unit that was within ``MAX_BYTES``, and adds which part it is."""
MAX_ASSETS = 1000
"""As many as the worker fetches of a subject's dependents: ten calls of an API."""
MAX_DESTINATION_IDS = 10_000
MAX_CHANNELS = 16
MAX_BATCH = 100_000_000
MAX_REPORTED_FAULTS = 20
"""Of one message. The header that carries them is cut after a few anyway."""
SLICE_VERSION = 2
"""The version of slices. A worker that knows no slices makes one a dead letter, and does not take it for its unit."""
RECIPIENT_FIELDS = {"channels", "destination_ids", "destinations", "batch", "slice", "schema_version"}
"""Fields that say who receives the unit, or how it was published; not what it is about."""
MAX_SLICE = 256
"""Destinations of a slice, which is not cut again: eight times as many as our slices have. A slice that somebody else
wrote must not hold a worker for longer.
"""
MAX_DETAIL = 500
"""Characters that explain why a destination cannot be read."""
_SLICE = b'{"_slice":'
"""How each slice of a worker begins. Another message may be half as long at most."""


def _in_utc(moment: datetime) -> datetime:
    # A time of the year 1 with an offset may lie before the year 1 in UTC, and cannot be written there.
    try:
        return in_utc(moment)
    except OverflowError:
        raise ValueError("outside the years 1 to 9999 in UTC") from None


Moment = Annotated[AwareDatetime, AfterValidator(_in_utc)]


class Batch(BaseModel):
    """For the audit: the publisher announces ``size`` work units under this id."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    id: Identifier
    size: Annotated[int, Field(ge=1, le=MAX_BATCH)]


class Slice(BaseModel):
    """A part of a unit with many destinations: a message and a ledger record of its own. Only workers make slices."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    name: Identifier
    """A hash of the ids in it, so that cutting a unit again after a crash makes the same slice or another one."""
    # A closed list of reasons, because each is a series of its own in the metrics.
    faults: dict[
        Identifier,
        tuple[Identifier, Literal["schema", "forbidden_address"], Annotated[str, Field(max_length=MAX_DETAIL)]],
    ] = Field(default_factory=dict)
    """Destinations that cannot be read, by id: the channel, and reason and detail of the dead letter."""

    @field_validator("faults", mode="before")
    @classmethod
    def _few(cls, value: Any) -> Any:
        # Before pydantic checks each one: reporting thousands of faults would hold the event loop.
        if isinstance(value, dict) and len(value) > MAX_SLICE:
            raise ValueError(f"{len(value)} of them, at most {MAX_SLICE}")
        return value


class WorkUnit(BaseModel):
    """One event. The same id with the same fingerprint is the same work, however often it is published."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    schema_version: Annotated[int, Field(strict=True, ge=1, le=SLICE_VERSION)] = 1
    work_unit_id: Identifier
    organization_id: Identifier
    kind: Identifier = "intel"
    event: Annotated[str, Field(min_length=1, max_length=256)] = "incident.updated"
    incident_id: Annotated[str, Field(min_length=1, max_length=256)] | None = None
    intel_request_id: Annotated[str, Field(min_length=1, max_length=256)] | None = None
    asset_ids: Annotated[
        tuple[Annotated[str, Field(min_length=1, max_length=256)], ...], Field(max_length=MAX_ASSETS, fail_fast=True)
    ] = ()
    fingerprint: Annotated[str, Field(max_length=1024)] | None = None
    occurred_at: Moment | None = None
    not_before: Moment | None = None
    expires_at: Moment | None = None
    channels: Annotated[tuple[Identifier, ...], Field(max_length=MAX_CHANNELS, fail_fast=True)] | None = None
    # A set, because the worker looks up thousands of destinations among thousands of ids.
    destination_ids: (
        Annotated[
            frozenset[Annotated[str, Field(max_length=128)]], Field(max_length=MAX_DESTINATION_IDS, fail_fast=True)
        ]
        | None
    ) = None
    destinations: tuple[Any, ...] | None = None
    """Unchecked: each is read by itself later, so that a bad one does not stop the others."""
    batch: Batch | None = None
    slice: Slice | None = Field(default=None, alias="_slice")

    @field_validator("slice", mode="before")
    @classmethod
    def _unknown_to_publishers(cls, value: Any, info: ValidationInfo) -> Any:
        """Ignore the field in a unit of version 1, like any unknown field."""
        return value if info.data.get("schema_version") == SLICE_VERSION else None

    @model_validator(mode="after")
    def _version_of_slices(self) -> Self:
        if self.schema_version == SLICE_VERSION and self.slice is None:
            raise ValueError(f"schema_version {SLICE_VERSION} is that of a slice, units have 1")
        if self.slice is None:
            return self
        if self.destination_ids is None:
            raise ValueError("a slice names its destinations: destination_ids is missing")
        if max(len(self.destinations or ()), len(self.destination_ids)) > MAX_SLICE:
            raise ValueError(f"a slice has {MAX_SLICE} destinations at most")
        return self

    @field_validator("destinations")
    @classmethod
    def _destinations_differ(cls, destinations: tuple[Any, ...] | None) -> tuple[Any, ...] | None:
        if destinations is None or len(destinations) < 2:  # noqa: PLR2004 - one has no other
            return destinations
        # Two destinations with one id would share one notification id, and one of them would get nothing.
        given = [it.get("destination_id") for it in destinations if isinstance(it, dict)]
        ids = [it for it in given if isinstance(it, str)]
        if len(ids) != len(set(ids)):
            raise ValueError("two of them have the same destination_id")
        return destinations


def identity(unit: WorkUnit) -> str:
    """Return the name in the ledger: the id, a hash of the fingerprint, and the name of the slice."""
    part = f"/{unit.slice.name}" if unit.slice else ""
    if not unit.fingerprint:
        return f"{unit.work_unit_id}{part}"
    return f"{unit.work_unit_id}@{_hashed(unit.fingerprint)}{part}"


@lru_cache(maxsize=1024)
def _hashed(fingerprint: str) -> str:
    """Kept: the units of one event have one fingerprint."""
    return hashlib.sha256(fingerprint.encode()).hexdigest()[:16]


def fingerprint_time(unit: WorkUnit) -> datetime | None:
    """Return the fingerprint as a time; None unless it is an RFC 3339 time with an offset."""
    return parse_rfc3339(unit.fingerprint, zoned=True)


def subject_fields(unit: WorkUnit) -> dict[str, Any]:
    """Return what the unit is about, as JSON that is a unit again. The recipients are left out: they are far longer."""
    return unit.model_dump(mode="json", exclude_defaults=True, exclude=RECIPIENT_FIELDS)


def only_destination(unit: WorkUnit) -> str | None:
    """Return the id of the only destination that it names, None where it names several, or leaves it to the record of
    its organization.
    """
    ids = unit.destination_ids
    if ids is not None:
        return next(iter(ids)) if len(ids) == 1 else None
    match unit.destinations:
        case [{"destination_id": str(name)}]:
            return name
    return None


def for_one(unit: WorkUnit, destination_id: str, record: Any) -> dict[str, Any]:
    """Return all that composing anew for one destination needs, as JSON that is a unit again.

    ``record`` is that destination, used only where the unit brought its destinations along. Otherwise the worker reads
    the organization's record again, which may be corrected by then.
    """
    recipients: dict[str, Any] = {"destination_ids": [destination_id]}
    if unit.destinations is not None:
        recipients["destinations"] = [record]
    return unit.model_dump(mode="json", exclude_defaults=True, exclude=RECIPIENT_FIELDS - {"channels"}) | recipients


def decode(body: bytes) -> WorkUnit:
    """Read a work unit.

    Raises:
        Malformed: the bytes are not the JSON of the contract.
        SchemaViolation: a field is missing or breaks its rule; names all such fields.

    """
    try:
        return WorkUnit.model_validate(read_json(body, MAX_SLICE_BYTES if body.startswith(_SLICE) else MAX_BYTES))
    except ValidationError as fault:
        raise SchemaViolation(explain(fault)) from None


def explain(fault: ValidationError) -> str:
    """Write up to ``MAX_REPORTED_FAULTS`` faults in one line: each field, and its fault."""
    errors = fault.errors(include_url=False, include_input=False)
    reported = [
        f"{'.'.join(str(part) for part in error['loc']) or 'message'}: {error['msg']}"
        for error in errors[:MAX_REPORTED_FAULTS]
    ]
    if len(errors) > MAX_REPORTED_FAULTS:
        reported.append(f"and {len(errors) - MAX_REPORTED_FAULTS} more")
    return "; ".join(reported)
