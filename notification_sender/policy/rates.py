"""The rates that operators set in place of the configured ones."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace

from notification_sender.model.override import Override
from notification_sender.policy.limits import ERA, SECOND, Limit

Rates = Mapping[tuple[str, str], Limit | None]
"""By organization and channel. None: there is no limit."""


def rate_of(override: Override) -> Limit | None:
    """The limit that an override of a rate sets. It shares no booking with the limit before it, nor with the next."""
    limit = Limit.parse(override.subject.partition("/")[2], override.value)
    return limit and replace(limit, era=f"{override.since * SECOND:.0f}")


def rates(overrides: Sequence[Override]) -> Rates:
    """The limits of these overrides."""
    found = {}
    for it in overrides:
        organization, _, channel = it.subject.partition("/")
        if it.kind == "rate":
            with suppress(ValueError):  # of another version: the configured rate holds
                found[organization, channel] = rate_of(it)
    return found


def in_force(organization_id: str, key: str, known: Rates) -> bool:
    """Whether a limit with this key is the one that counts now."""
    name = key.partition(ERA)[0]
    if (organization_id, name) not in known:
        return key == name
    limit = known[organization_id, name]
    return limit is not None and limit.key == key
