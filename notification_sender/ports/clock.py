"""The time, and chance."""

from collections.abc import Callable
from typing import Protocol


class Clock(Protocol):
    """Wall time for what the world sees, monotonic time for durations."""

    def now(self) -> float: ...
    def monotonic(self) -> float: ...
    async def sleep(self, seconds: float) -> None: ...


Dice = Callable[[], float]
"""Uniform in [0, 1)."""
