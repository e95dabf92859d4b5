"""Which pause holds a unit or a notification back, and when it is looked at again."""

from collections.abc import Iterable, Mapping

from notification_sender.model.override import Override, PauseScope

SHORTEST = 30.0
"""Seconds after which a paused message is looked at again at least."""

SPREAD = 0.1
"""Part of the delay by which they come apart: all that was paused at once must not come back in one moment."""


def by_subject(overrides: Iterable[Override]) -> dict[str, Override]:
    """The pauses among ``overrides``."""
    return {it.subject: it for it in overrides if it.kind == "pause"}


def covering(
    pauses: Mapping[str, Override], now: float, organization_id: str, channel: str = "", destination_id: str = ""
) -> Override | None:
    """The pause that lasts longest of those that hold this back; None if none does. Of a unit only the organization is
    known: a pause of a channel holds back its notifications, one by one.
    """
    scopes = [PauseScope(), PauseScope(organization_id)]
    if channel:
        scopes += PauseScope(channel=channel), PauseScope(organization_id, channel=channel)
        scopes.append(PauseScope(organization_id, destination_id))
    found = [it for scope in scopes if (it := pauses.get(scope.subject)) and it.until > now]
    return max(found, key=lambda it: it.until, default=None)


def look_again(pause: Override, now: float, dice: float) -> float:
    """Seconds until it is looked at again: as long as the pause has lasted already, and not beyond its end.

    So each is looked at a few times, however many there are and however long the pause lasts. ``resume`` brings them
    back at once; one that it misses waits about as long again as the pause had lasted.
    """
    waits = min(max(now - pause.since, SHORTEST), max(pause.until - now, 0.0))
    return waits * (1 + SPREAD * dice) + dice
