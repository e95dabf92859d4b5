"""What one worker process says of itself every few seconds. The verdict on the whole fleet is made of these.

Figures that end in a time (``slot_seconds``, ``calls`` …) are of the last ``window`` seconds, the others of the moment.
A report names organizations, APIs and hosts. It holds no addresses, no content and no secrets.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, TypeVar

PERIOD = 5.0
"""Seconds between two reports of a process."""

WINDOW = 40.0
"""Seconds that the figures of a report are about. A fault fills it within a minute, and is out of it within another."""

MAIL_SERVER = "mail server"
"""The subject of an email that failed: all go through the one mail server."""

FORM = 1
"""Of a report as it is written. A report of another form counts as missing."""

Part = TypeVar("Part")


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiUse:
    """The calls of one process to one internal API."""

    state: str = "well"
    limit: int = 0
    """Calls at once."""
    in_flight: int = 0
    waiting: int = 0
    """Calls that wait for a slot of the API."""
    calls: int = 0
    late: int = 0
    """Calls whose answer began after the objective."""
    failed: int = 0
    """Calls without a usable answer."""
    phases: Mapping[str, float] = field(default_factory=dict)
    """Seconds of all calls, by phase: ``wait``, ``connect``, ``first_byte``, ``body``."""
    servers: Mapping[str, float] = field(default_factory=dict)
    """Seconds that the API reports for its own work (Server-Timing), by its names."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WaitCause:
    """Deliveries that wait for one reason: they were deferred, or failed and wait for the next attempt."""

    reason: str
    subject: str = ""
    organization: str = ""
    count: int = 0
    """Deferrals and failed attempts in the window. One delivery may count several times."""
    waiting: float = 0.0
    """Deliveries that wait, on average over the window."""
    oldest: float = 0.0
    """Epoch time at which the oldest was first seen."""
    phase: str = ""
    """Of the API call that failed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LoopUse:
    """The event loop and its processor. All seconds are of the window."""

    lost: float = 0.0
    """Seconds for which due work waited because the loop was late."""
    own: float = 0.0
    """Seconds of turns in which the loop's own thread computed for long without a pause."""
    stalls: Mapping[str, int] = field(default_factory=dict)
    """Times that the loop was blocked for 250 ms or more, by cause."""
    ran: float = 0.0
    """Seconds for which the loop's thread had a processor."""
    waited: float = 0.0
    """Seconds for which the loop's thread was ready to run and had no processor."""
    turns: int = 0
    """Times that the loop's thread got a processor."""
    cpu: float = 0.0
    """Seconds of CPU time of the whole process."""
    throttled: float = 0.0
    """Seconds for which the CPU limit of the container stopped the process."""

    @property
    def wait_share(self) -> float:
        """For which part of the time in which it could run the loop's thread waited for a processor."""
        return self.waited / (self.ran + self.waited) if self.waited > 0 else 0.0

    @property
    def wait_ms(self) -> float:
        """How long the loop's thread waited for a processor each time, on average."""
        return 1000 * self.waited / self.turns if self.turns else 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessReport:
    """One worker process."""

    process: str
    """Its name in the fleet: host, process id and number."""
    host: str = ""
    number: int = 0
    """Of the worker in ``run --processes``; 0: there is no parent."""
    pid: int = 0
    version: str = ""
    configuration: str = ""
    """A hash over its settings."""
    started: float = 0.0
    """Epoch time."""
    window: float = WINDOW
    """Seconds that the figures are about: fewer while the process is young."""
    rss: int = 0
    """Bytes of memory."""
    clock_offset: float = 0.0
    last_delivery: float = 0.0
    """Epoch time; 0: none so far."""
    ready: bool = True
    slots: int = 0
    """Deliveries that the process works on at most (``NS_CONCURRENCY``)."""
    slots_allowed: int = 0
    """Deliveries that the process allows itself now: fewer than ``slots`` while its loop is late."""
    slots_used: int = 0
    slot_seconds: Mapping[str, float] = field(default_factory=dict)
    """Seconds that slots were busy, by step."""
    slots_in: Mapping[str, int] = field(default_factory=dict)
    """Slots in use now, by step."""
    lanes_waiting: int = 0
    """Deliveries that were taken and wait for a slot."""
    unsettled: int = 0
    """Deliveries that were taken and have not ended."""
    oldest_waiting: float = 0.0
    """Seconds that the oldest delivery has waited for a slot."""
    arrived: int = 0
    """Work units that came for the first time."""
    outcomes: Mapping[str, int] = field(default_factory=dict)
    """Ends, by ``what outcome reason``."""
    apis: Mapping[str, ApiUse] = field(default_factory=dict)
    held: tuple[WaitCause, ...] = ()
    hosts_out: tuple[str, ...] = ()
    templates_failing: tuple[str, ...] = ()
    waiting_for_files: tuple[str, ...] = ()
    """``organization/destination: file``, of destinations that wait for a secret or a certificate."""
    loop: LoopUse = field(default_factory=LoopUse)
    redis_ms: float = 0.0
    """The shortest answer in the window, without the time in which the loop ran or waited for a processor."""
    broker_connected: bool = True
    broker_blocked: bool = False
    """RabbitMQ takes no publishes: it has an alarm."""

    @property
    def busy(self) -> float:
        """Slots in use, on average over the window."""
        return sum(self.slot_seconds.values()) / self.window if self.window > 0 else 0.0


def report_of(known: Mapping[str, Any]) -> ProcessReport:
    """Read a report that was written as JSON. A field of a later version is ignored, a missing one has its default.

    Raises:
        ValueError, TypeError: it is no report.
    """
    if known.get("form") != FORM:
        raise ValueError("a report of another form")
    apis = {str(name): _part(ApiUse, it) for name, it in dict(known.get("apis", {})).items()}
    held = tuple(_part(WaitCause, it) for it in known.get("held", ()))
    loop = _part(LoopUse, known.get("loop", {}))
    return _part(ProcessReport, {**known, "apis": apis, "held": held, "loop": loop})


def _part(kind: type[Part], known: Mapping[str, Any]) -> Part:
    names = {it.name for it in fields(kind)}  # type: ignore[arg-type]  # every part is a data class
    return kind(**{name: _value(it) for name, it in known.items() if name in names})


def _value(read: Any) -> Any:
    return tuple(read) if isinstance(read, list) else read
