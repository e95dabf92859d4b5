"""Something happened and somebody must be told: the work unit, and how it is read from a message."""

import hashlib
import json
import math
from datetime import UTC, datetime
from typing import Annotated, Any, NoReturn

from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field, ValidationError, field_validator

from notification_sender.model.destination import Destination, Identifier
from notification_sender.model.errors import Malformed, SchemaViolation

MAX_BYTES = 256 * 1024
MAX_DEPTH = 32
LARGEST = 2**53 - 1
"""What every reader of JSON takes for the same integer (RFC 8259, section 6)."""
MAX_DIGITS = 20
_WHOM = {"channels", "destination_ids", "destinations", "batch"}


def _in_utc(moment: datetime) -> datetime:
    # An hour before the year 1 is a time with an offset, and cannot be written without one.
    try:
        return moment.astimezone(UTC)
    except OverflowError:
        raise ValueError("outside the years 1 to 9999 in UTC") from None


Moment = Annotated[AwareDatetime, AfterValidator(_in_utc)]


class Batch(BaseModel):
    """A publisher's promise for the audit: ``size`` work units under this id."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    id: Identifier
    size: Annotated[int, Field(ge=1)]


class WorkUnit(BaseModel):
    """One thing that happened. The same id with the same fingerprint is the same work, however often published."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    schema_version: Annotated[int, Field(strict=True, ge=1, le=1)] = 1
    work_unit_id: Identifier
    organization_id: Identifier
    kind: Identifier = "intel"
    event: Annotated[str, Field(min_length=1, max_length=256)] = "incident.updated"
    incident_id: Annotated[str, Field(min_length=1, max_length=256)] | None = None
    intel_request_id: Annotated[str, Field(min_length=1, max_length=256)] | None = None
    asset_ids: tuple[Annotated[str, Field(min_length=1, max_length=256)], ...] = ()
    fingerprint: Annotated[str, Field(max_length=1024)] | None = None
    occurred_at: Moment | None = None
    not_before: Moment | None = None
    expires_at: Moment | None = None
    channels: tuple[Identifier, ...] | None = None
    destination_ids: tuple[str, ...] | None = None
    destinations: tuple[Destination, ...] | None = None
    batch: Batch | None = None

    @field_validator("destinations")
    @classmethod
    def _destinations_differ(cls, destinations: tuple[Destination, ...] | None) -> tuple[Destination, ...] | None:
        # Two destinations of one id would share one notification id, and one of them would never be told.
        ids = [destination.destination_id for destination in destinations or ()]
        if len(ids) != len(set(ids)):
            raise ValueError("two of them have the same destination_id")
        return destinations


def identity(unit: WorkUnit) -> str:
    """Its name in the ledger: the id, and what tells its versions apart."""
    if not unit.fingerprint:
        return unit.work_unit_id
    return f"{unit.work_unit_id}@{hashlib.sha256(unit.fingerprint.encode()).hexdigest()[:16]}"


def fingerprint_time(unit: WorkUnit) -> datetime | None:
    """The fingerprint as a point in time, where it is an RFC 3339 time with an offset."""
    if not unit.fingerprint:
        return None
    try:
        moment = datetime.fromisoformat(unit.fingerprint)
        return moment.astimezone(UTC) if moment.tzinfo else None
    except (ValueError, OverflowError):
        return None


def told_about(unit: WorkUnit) -> dict[str, Any]:
    """What it is about, as JSON that is a unit again: without whom it is for, which is many times as long."""
    return unit.model_dump(mode="json", exclude_defaults=True, exclude=_WHOM)


def decode(body: bytes) -> WorkUnit:
    """Read a work unit.

    Raises:
        Malformed: the bytes are not the JSON of the contract.
        SchemaViolation: they are, and a field is missing or breaks its rule; says every one.

    """
    try:
        return WorkUnit.model_validate(read_json(body))
    except ValidationError as fault:
        raise SchemaViolation(explain(fault)) from None


def explain(fault: ValidationError) -> str:
    """One line for all faults: where, and what is wrong."""
    return "; ".join(
        f"{'.'.join(str(part) for part in error['loc']) or 'message'}: {error['msg']}"
        for error in fault.errors(include_url=False, include_input=False)
    )


def read_json(body: bytes, limit: int = MAX_BYTES) -> Any:
    """Read strict JSON: what another reader could understand differently is refused.

    Raises:
        Malformed: too large, a byte order mark, not UTF-8, not JSON, NaN or Infinity (also by overflow),
            lone surrogates, a name twice in one object, deeper than ``MAX_DEPTH``.

    """
    if len(body) > limit:
        raise Malformed(f"{len(body)} bytes, at most {limit} are read")
    if body.startswith(b"\xef\xbb\xbf"):
        raise Malformed("starts with a byte order mark")
    try:
        value = _STRICT.decode(body.decode("utf-8"))
    except UnicodeDecodeError as fault:
        raise Malformed(f"not UTF-8: {fault.reason} at byte {fault.start}") from None
    except RecursionError:
        raise Malformed(f"nested deeper than {MAX_DEPTH}") from None
    except ValueError as fault:
        raise Malformed(f"not JSON: {fault}") from None
    # UTF-8 itself has no surrogates, only an escape can name one; and nothing is deeper than it has brackets.
    if b"\\u" in body or body.count(b"[") + body.count(b"{") > MAX_DEPTH:
        _refuse_unspeakable(value, depth=0)
    return value


def _refuse_constant(name: str) -> NoReturn:
    raise Malformed(f"{name} is not JSON")


def _finite(digits: str) -> float:
    number = float(digits)
    if not math.isfinite(number):
        raise Malformed(f"the number {digits[:32]} is too large")
    return number


def _exact(digits: str) -> int:
    # Other readers take it for a float and lose the end of it; and we could not write it into a parked copy.
    number = int(digits) if len(digits) < MAX_DIGITS else LARGEST + 1
    if abs(number) > LARGEST:
        raise Malformed(f"the integer {digits[:MAX_DIGITS]} is too large, at most {LARGEST}")
    return number


def _distinct(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) != len(pairs):
        raise Malformed("a name stands twice in one object")
    return value


_STRICT = json.JSONDecoder(
    parse_constant=_refuse_constant, parse_float=_finite, parse_int=_exact, object_pairs_hook=_distinct
)


def _refuse_unspeakable(value: Any, depth: int) -> None:
    """Refuse what loads and then cannot be sent: lone surrogates, and depths that other readers refuse."""
    if depth > MAX_DEPTH:
        raise Malformed(f"nested deeper than {MAX_DEPTH}")
    if isinstance(value, str):
        _refuse_surrogates(value)
    elif isinstance(value, dict):
        for name, member in value.items():
            _refuse_surrogates(name)
            _refuse_unspeakable(member, depth + 1)
    elif isinstance(value, list):
        for member in value:
            _refuse_unspeakable(member, depth + 1)


def _refuse_surrogates(text: str) -> None:
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        raise Malformed("a lone surrogate is no character") from None
