"""The cause of a context failure: the source, the API, its status, and how far the call came."""

from collections.abc import Mapping
from contextvars import ContextVar
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any, Self


class Phase(StrEnum):
    """How far a call came."""

    SLOT = "slot"
    """The call waited for a slot: as many calls were under way as the limit allows."""
    CONNECT = "connect"
    """No connection came about, or none in time."""
    FIRST_BYTE = "first_byte"
    """The API received the request and did not answer."""
    BODY = "body"
    """The answer began and did not end."""
    READ = "read"
    """The API answered, and the answer is unusable: an error status, or no record."""
    BREAKER = "breaker"
    """The breaker was open, so the API was not called."""
    SHARED = "shared"
    """Another unit or another process had made the call already, and that call did not end in time."""


@dataclass(frozen=True, slots=True)
class Cause:
    """``source``: a source of the recipe, or ``token``. ``api``: its name in the settings. Empty or None: unknown."""

    source: str = ""
    api: str = ""
    status: int | None = None
    phase: Phase | None = None

    def __str__(self) -> str:
        return " ".join(str(it) for it in (self.source, self.api, self.status, self.phase) if it)

    def known(self) -> dict[str, Any]:
        """The known fields, by name."""
        return {name: value for name, value in asdict(self).items() if value}

    def completed(self, other: "Cause") -> "Cause":
        """Take the unknown fields from ``other``, but no status or phase of another API."""
        source, api = self.source or other.source, self.api or other.api
        if self.api and other.api and self.api != other.api:
            return Cause(source, api, self.status, self.phase)
        return Cause(source, api, self.status or other.status, self.phase or other.phase)

    @classmethod
    def of(cls, known: Any) -> Self:
        """Read what ``known`` returned, perhaps in another version. A field that cannot be read is unknown."""
        if not isinstance(known, Mapping):
            return cls()
        source, api, status, phase = (known.get(name) for name in ("source", "api", "status", "phase"))
        return cls(
            source if isinstance(source, str) else "",
            api if isinstance(api, str) else "",
            status if isinstance(status, int) else None,
            next((it for it in Phase if it == phase), None),
        )


NOBODY_KNOWS = Cause()


class CallProgress:
    """How far the calls for one fact have come.

    A caller that cancels a call gets no exception from it, and learns the cause from here.
    """

    __slots__ = ("at",)

    def __init__(self) -> None:
        self.at = NOBODY_KNOWS


_progress: ContextVar[CallProgress] = ContextVar("progress")


def track_progress() -> CallProgress:
    """Record the progress of this task and of the tasks that it starts from now on."""
    progress = CallProgress()
    _progress.set(progress)
    return progress


def record_progress(cause: Cause) -> None:
    """Record that a call has come this far: it may get no further."""
    if (progress := _progress.get(None)) is not None:
        progress.at = cause


def current_progress() -> Cause:
    """Return how far the calls of this task have come."""
    progress = _progress.get(None)
    return NOBODY_KNOWS if progress is None else progress.at
