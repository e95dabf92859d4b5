"""How a simulated endpoint behaves: settings that may change while it runs, and its gauges."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Literal

Answer = int | Literal["hang", "close"]
"""A status (HTTP or SMTP), or no answer: ``hang`` never answers, ``close`` drops the connection after it has read
the request."""


class Signal:
    """Wakes all waiting tasks each time it fires."""

    def __init__(self) -> None:
        self._event = asyncio.Event()

    async def wait(self) -> None:
        await self._event.wait()

    def fire(self) -> None:
        fired, self._event = self._event, asyncio.Event()
        fired.set()


@dataclass(slots=True)
class Behaviour:
    """One endpoint of the platform, or one destination of the inbox. By default it answers successfully and at once."""

    latency: float = 0.0
    """Seconds between the end of a request and its answer."""
    every: int = 1
    """Only each so many-th call has the latency: 100 for one in a hundred."""
    script: deque[Answer] = field(default_factory=deque)
    """The next answers, in order. After them, ``answer`` applies."""
    answer: Answer | None = None
    """The answer to every call. None: the endpoint's own answer."""
    body: bytes | None = None
    """The body in place of the endpoint's own: for example, garbage with a 200."""
    headers: dict[str, str] = field(default_factory=dict)
    """Headers of the answers that are not its own, such as ``Retry-After``."""
    capacity: int | None = None
    """The calls that it processes at once. Further calls wait, as they do for a saturated pool."""
    calls: int = 0
    in_flight: int = 0
    """Calls in flight as callers count them: calls that wait for capacity are among them."""
    peak: int = 0
    _working: int = field(default=0, init=False)
    _moved: Signal = field(default_factory=Signal, init=False)

    @asynccontextmanager
    async def call(self) -> AsyncIterator[Answer | None]:
        """Process one call: count it, wait for capacity, yield the answer (None: the endpoint's own), wait.

        The work inside the block counts as done even if the caller does not wait for its answer.
        """
        self.calls += 1
        number = self.calls
        self.in_flight += 1
        self.peak = max(self.peak, self.in_flight)
        try:
            async with self._place():
                yield self.script.popleft() if self.script else self.answer
                if latency := self.latency_of(number):
                    await asyncio.sleep(latency)
        finally:
            self.in_flight -= 1

    def latency_of(self, call: int) -> float:
        """The latency of the call of this number, counted from 1."""
        return self.latency if call % self.every == 0 else 0.0

    def configure(self, **knobs: object) -> None:
        """Change several settings at once. A raised capacity lets waiting calls in.

        Raises:
            ValueError: there is no such setting.

        """
        for name, value in knobs.items():
            if name not in KNOBS:
                raise ValueError(f"{name} is no knob: there are {', '.join(KNOBS)}")
            setattr(self, name, deque(value) if name == "script" else value)  # type: ignore[call-overload]
        self._moved.fire()

    @asynccontextmanager
    async def _place(self) -> AsyncIterator[None]:
        while self.capacity is not None and self._working >= self.capacity:
            await self._moved.wait()
        self._working += 1
        try:
            yield
        finally:
            self._working -= 1
            self._moved.fire()


KNOBS = ("latency", "every", "script", "answer", "body", "headers", "capacity")
