"""What the processes of a fleet agree on, and tell each other."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class AllocationRequest:
    """Asks for a part of the calls that the fleet may make at once to one API."""

    budget: int
    """Calls of the whole fleet."""
    in_flight: int
    allocated: int
    """The part that was allocated to the process before."""
    wanted: int
    """Calls in flight, and calls that wait."""


@dataclass(frozen=True, slots=True)
class OpenCircuit:
    """A circuit that opened by itself, as one process knows it."""

    subject: str
    """``api/<name>``, or ``host/<organization>/<host>`` with ``*`` for all organizations."""
    since: float
    """Epoch seconds."""
    probe_in: float
    """Seconds until the next probe."""


class Fleet(Protocol):
    """Decides between the processes of a fleet about the APIs they call and the hosts they send to
    (``host:<organization>/<host>``). All methods raise Unready.
    """

    async def allocate(self, api: str, pod: str, request: AllocationRequest) -> int:
        """The part of the process from now on. The parts of all processes never add up to more than the budget."""

    async def try_acquire_probe(self, api: str, seconds: float) -> bool:
        """Whether the caller is the one process that probes; no other does for ``seconds``, or until the release."""

    async def release_probe(self, api: str) -> None:
        """The probe has ended."""


class IntakeGate(Protocol):
    """Decides whether a unit may be started while internal APIs are out: one that cannot be finished waits."""

    def admits(self) -> bool:
        """No while an API is out that a unit could not do without, but for one unit now and then that finds out."""

    def unit_started(self) -> None:
        """A unit was started."""

    def record_failure(self, error: Exception) -> None:
        """A unit was deferred because of this error."""

    async def changed(self) -> None:
        """Return when ``admits`` may have a new answer."""


class PubSub(Protocol):
    """Carries short texts from one process to all processes, by topic. A text may be lost: listeners find out later by
    themselves.

    Topics are names without a prefix. A listener is called in the loop, and must not raise.
    """

    async def publish(self, topic: str, text: str) -> None:
        """To every process that listens, this one included. While the store is away no process hears it."""

    def subscribe(self, topic: str, listener: Callable[[str], None]) -> None:
        """Call ``listener`` with every text of ``topic`` from now on, also where the process listens already."""
