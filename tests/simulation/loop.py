"""An event loop in which time passes only when nothing else can happen, and always in the same order."""

import asyncio
from asyncio.base_events import BaseEventLoop
from collections.abc import Coroutine
from contextvars import Context
from itertools import count
from typing import Any


class Task(asyncio.Task[Any]):
    """Sets of tasks are walked by their hashes: by number, not by where they happen to lie in memory."""

    _numbers = count()

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self.number = next(Task._numbers)
        super().__init__(*args, **kwargs)

    def __hash__(self) -> int:
        return self.number


class _NoFiles:
    """In place of a selector: nothing is waited for but time, and that is skipped."""

    def __init__(self) -> None:
        self.now = 0.0

    def select(self, timeout: float | None) -> list[Any]:
        if timeout is None:
            raise RuntimeError("everybody waits for somebody else, and nobody for time")
        self.now += timeout
        return []


class Loop(BaseEventLoop):
    """Seconds since it was made are its time."""

    def __init__(self) -> None:
        super().__init__()
        self._selector = _NoFiles()
        self._clock_resolution = 1e-9
        Task._numbers = count()
        self.faults: list[str] = []
        """What nobody caught."""
        self.set_exception_handler(lambda _, context: self.faults.append(repr(context.get("exception") or context)))

    def time(self) -> float:
        return self._selector.now

    def make(self, work: Coroutine[Any, Any, Any], context: Context | None = None) -> Task:
        return Task(work, loop=self, context=context)

    def _process_events(self, events: list[Any]) -> None:
        """There are none."""

    def _write_to_self(self) -> None:
        """Nobody calls from another thread."""
