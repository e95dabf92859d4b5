"""How a simulated endpoint behaves: knobs that may be turned while it runs, and its gauges."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Literal

Answer = int | Literal["hang", "close"]
"""A status (HTTP or SMTP), or none at all: ``hang`` never answers, ``close`` drops the connection once the
request was read."""


class Signal:
    """Wakes everybody who waits, each time it is fired."""

    def __init__(self) -> None:
        self._event = asyncio.Event()

    async def wait(self) -> None:
        await self._event.wait()

    def fire(self) -> None:
        fired, self._event = self._event, asyncio.Event()
        fired.set()


@dataclass(slots=True)
class Behaviour:
    """One endpoint of the platform, or one destination of the inbox. Left alone it answers well and at once."""

    latency: float = 0.0
    """Seconds from having read a call to answering it."""
    script: deque[Answer] = field(default_factory=deque)
    """The next answers, in order; when they are used up, ``answer``."""
    answer: Answer | None = None
    """None: what it would say by itself."""
    body: bytes | None = None
    """Instead of what an answer of ours would carry: garbage with a 200, say."""
    headers: dict[str, str] = field(default_factory=dict)
    """On the answers that are not its own, such as ``Retry-After``."""
    capacity: int | None = None
    """How many it works on at once; the rest wait, as before a saturated pool."""
    calls: int = 0
    in_flight: int = 0
    """As its callers see it: those that wait for capacity are in flight."""
    peak: int = 0
    _working: int = field(default=0, init=False)
    _moved: Signal = field(default_factory=Signal, init=False)

    @asynccontextmanager
    async def call(self) -> AsyncIterator[Answer | None]:
        """One call: counted, held back by capacity, told what to answer (None: the truth), answered after latency.

        Whatever is done inside was done even if the caller does not wait for its answer.
        """
        self.calls += 1
        self.in_flight += 1
        self.peak = max(self.peak, self.in_flight)
        try:
            async with self._place():
                yield self.script.popleft() if self.script else self.answer
                if self.latency:
                    await asyncio.sleep(self.latency)
        finally:
            self.in_flight -= 1

    def configure(self, **knobs: object) -> None:
        """Turn several knobs at once; a capacity raised like this lets those in who wait.

        Raises:
            ValueError: no such knob.

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


KNOBS = ("latency", "script", "answer", "body", "headers", "capacity")
