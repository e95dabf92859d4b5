"""A worker whose function calls and tasks are counted: ``python -m bench.counted FILE COMMAND…``.

It is ``notification-sender COMMAND…``. At the n-th SIGUSR1 it writes ``FILE.n``, as JSON: the tasks so far, by the
function that they run, and for each function how often it was called, and how often it called each other function.
Functions of Python are counted, and those of C that Python calls; a coroutine counts again each time it goes on. Other
threads are not counted.
"""

import asyncio
import cProfile
import json
import signal
import sys
from collections import Counter
from collections.abc import Callable
from itertools import count
from pathlib import Path
from types import CodeType
from typing import Any

from bench.steps import place
from notification_sender.cli import main
from notification_sender.context.cache import local

KEPT_SECONDS = 3600.0


class Counting:
    """Counts from ``start`` on."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._numbers = count(1)
        self._profile = cProfile.Profile(subcalls=True, builtins=True)
        self._tasks: Counter[str] = Counter()

    def start(self) -> None:
        # A process looks its facts up again after 5 s. A slow machine would do so for every few messages.
        local.LONGEST = KEPT_SECONDS
        signal.signal(signal.SIGUSR1, self._write)
        asyncio.Runner = runner(self._make_task)  # type: ignore[misc,assignment]
        self._profile.enable()

    def _make_task(self, loop: asyncio.AbstractEventLoop, coroutine: Any, **more: Any) -> Any:
        # A generator has ``gi_code``, a coroutine of C neither.
        code = getattr(coroutine, "cr_code", None) or getattr(coroutine, "gi_code", None)
        self._tasks[name(code or repr(type(coroutine)))] += 1
        return asyncio.Task(coroutine, loop=loop, **more)

    def _write(self, _: int, __: Any) -> None:
        counted = {"tasks": self._tasks, "functions": functions(self._profile)}
        file = Path(f"{self._file}.{next(self._numbers)}")
        written = file.with_suffix(".part")
        written.write_text(json.dumps(counted))
        # Whole or not at all: it is read as soon as it is there.
        written.rename(file)


def runner(make_task: Callable[..., Any]) -> type[asyncio.Runner]:
    """A runner whose loop makes its tasks so, whichever loop it is."""

    class Runner(asyncio.Runner):
        def run(self, coroutine: Any, **more: Any) -> Any:
            self.get_loop().set_task_factory(make_task)
            return super().run(coroutine, **more)

    return Runner


def functions(profile: cProfile.Profile) -> dict[str, tuple[int, dict[str, int]]]:
    """By name: calls, and what it called how often."""
    found: dict[str, tuple[int, dict[str, int]]] = {}
    for entry in profile.getstats():
        number, called = found.get(name(entry.code), (0, {}))
        for below in entry.calls or ():
            called[name(below.code)] = called.get(name(below.code), 0) + below.callcount
        found[name(entry.code)] = number + entry.callcount, called
    return found


def name(code: CodeType | str) -> str:
    """``path:line:qualname`` of a function of Python, what the profiler calls it for one of C."""
    return code if isinstance(code, str) else place(code)


if __name__ == "__main__":
    Counting(Path(sys.argv[1])).start()
    sys.argv[1:] = sys.argv[2:]
    main()
