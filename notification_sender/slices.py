"""A unit with many destinations is cut into slices: messages that each name a part of its destinations.

A slice carries no content. It gathers its context (from the fleet's cache) and renders on its own, so no message and no
process holds thousands of bodies. It is the same work unit, so its notifications have the same ids, whichever worker
sends them and however often the unit was cut.
"""

import hashlib
from collections.abc import Iterator, Sequence
from typing import Any

import orjson

from notification_sender.model.outcome import Dead, Suppressed
from notification_sender.model.unit import MAX_DETAIL, RECIPIENT_FIELDS, SLICE_VERSION, WorkUnit
from notification_sender.targets import UNKNOWN, Target


def cut(unit: WorkUnit, targets: Sequence[Target], *, size: int, replays: int) -> Iterator[tuple[str, bytes]]:
    """Slices of ``size`` as pairs of name and message. ``replays``: how often the unit was moved back."""
    # Without its batch: the audit counts the unit, which names its slices.
    common = unit.model_dump(mode="json", exclude_defaults=True, exclude=RECIPIENT_FIELDS - {"channels"})
    for start in range(0, len(targets), size):
        part = targets[start : start + size]
        # A replay has slices of its own names: a slice that is done would not send again what was dead.
        named = "\n".join((str(replays), *(it.destination_id for it in part)))
        name = hashlib.sha256(named.encode()).hexdigest()[:16]
        yield name, orjson.dumps(_slice(name, part) | common | _whom(unit, part))


def _slice(name: str, part: Sequence[Target]) -> dict[str, Any]:
    """The first field, because the decoder knows a slice by it."""
    faults = {
        it.destination_id: (it.channel, it.end.reason, it.end.detail[:MAX_DETAIL])
        for it in part
        if isinstance(it.end, Dead)
    }
    return {"_slice": {"name": name, "faults": faults}, "schema_version": SLICE_VERSION}


def _whom(unit: WorkUnit, part: Sequence[Target]) -> dict[str, Any]:
    """The ids, because an organization's records may change until then; also the records that the unit brought."""
    well = [it for it in part if it.end is None]
    ids = {"destination_ids": [it.destination_id for it in well]}
    return ids if unit.destinations is None else ids | {"destinations": [it.record for it in well]}


def rest(unit: WorkUnit, selected: Sequence[Target]) -> Iterator[Target]:
    """The targets of a slice that get nothing: invalid when the unit was cut, or removed since then."""
    if unit.slice is None:
        return
    for name, (channel, reason, detail) in unit.slice.faults.items():
        yield Target.without_send(name, channel, Dead(reason, detail))
    there = {it.destination_id for it in selected}
    for name in sorted(unit.destination_ids or ()):
        if name not in there:
            yield Target.without_send(name, UNKNOWN, Suppressed("destination_removed"))
