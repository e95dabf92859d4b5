"""One fault: its name, what is right to say of it and why, and how it is caused and ended."""

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass

from bench.diagnose.judge import Expected
from bench.diagnose.scene import Scene

Cause = Callable[[Scene], AbstractAsyncContextManager[Sequence[str]]]
"""Begins the fault and ends it. Gives names of the subject that are known only then, such as a process id."""

Begin = Callable[[Scene], AsyncIterator[None]]


@dataclass(frozen=True, slots=True)
class Fault:
    """``what``: what is done, for the page."""

    name: str
    what: str
    expected: Expected
    cause: Cause


def caused(begin: Begin) -> Cause:
    """A cause whose subject is known beforehand, from a function that yields between its beginning and its end."""
    manager = asynccontextmanager(begin)

    @asynccontextmanager
    async def cause(scene: Scene) -> AsyncIterator[Sequence[str]]:
        async with manager(scene):
            yield ()

    return cause
