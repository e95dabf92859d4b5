"""What the records of a unit, of its slices and of its notifications say together."""

from collections.abc import Mapping, Sequence

from notification_sender.policy.audit import RecordedOutcome, recorded_outcome
from notification_sender.ports.ledger import SLICE


def own_parts(state: bytes | None, text: bytes | None, notifications: bytes | None) -> list[str | RecordedOutcome]:
    if state == b"done" and notifications:
        return [*notifications.decode().split(" ")]
    return [recorded_outcome(decoded(state), decoded(text))]


def is_slice(part: str | RecordedOutcome) -> bool:
    return isinstance(part, str) and part.startswith(SLICE)


def outcomes_of(
    name: str, parts: Mapping[str, Sequence[str | RecordedOutcome]], notifications: Mapping[str, RecordedOutcome]
) -> list[RecordedOutcome]:
    outcomes: list[RecordedOutcome] = []
    for part in parts[name]:
        if isinstance(part, RecordedOutcome):
            outcomes.append(part)
        elif is_slice(part):
            outcomes += outcomes_of(f"{name}{part}", parts, notifications)
        else:
            outcomes.append(notifications[part])
    return outcomes


def decoded(stored: bytes | None) -> str | None:
    return None if stored is None else stored.decode()
