"""Where the processes of a fleet leave their reports, and where those are read."""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from notification_sender.model.process_report import ProcessReport
from notification_sender.policy.fleet_view import FleetView, Sample
from notification_sender.policy.objectives import Tallies


class Reports(Protocol):
    """The reports of a fleet. All methods raise Unready while the store is away."""

    async def write(self, report: ProcessReport, sample: str) -> float:
        """Replace the report of the process, and add ``sample`` to its ring. Returns the store's time, epoch s."""

    async def remove(self, process: str) -> None:
        """The process has stopped: its silence means nothing."""

    async def lead(self, process: str, seconds: float) -> bool:
        """Whether the process does for ``seconds`` what one does for all: no other one does it meanwhile."""

    async def add_sample(self, units: int, notifications: int, dead: int, ladder: Sequence[int]) -> Sequence[Sample]:
        """Add the depths of the queues now. Returns the latest samples, oldest first."""

    async def read(self) -> FleetView:
        """All reports and samples, with the store's time. Nothing is scanned."""

    async def count(self, observed: Tallies) -> None:
        """Add what a process has observed of each objective."""

    async def objectives(self) -> tuple[Tallies, Tallies]:
        """What all processes have observed in this hour and the one before, and in 30 days."""

    async def announce(self, summary: Mapping[str, Any], seconds: float) -> None:
        """Leave what one process made of all reports, for all others. It is forgotten after ``seconds``."""

    async def announced(self) -> Mapping[str, Any] | None:
        """The last summary; None: there is none, or it is old."""
