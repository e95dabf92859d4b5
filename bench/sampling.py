"""Where a worker's time goes: looks at its stack every few ms of CPU time, and writes what it saw when it ends.

``python -m bench.sampling FILE COMMAND…`` is ``notification-sender COMMAND…`` looked at. ``FILE.steps`` gets the share
of each step of a message's way, as JSON. A look costs a few µs, where
a tracing profiler would double what it measures. Kernels look at CPU timers at their clock tick (1 to 4 ms).
"""

import asyncio
import atexit
import json
import signal
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from types import CodeType, FrameType

import notification_sender
from bench.steps import OTHER, place, step
from notification_sender.cli import main

INTERVAL = 0.001
ROWS = 100
OURS = str(Path(notification_sender.__file__).parent)
LOOPS = frozenset((asyncio.Handle._run.__code__, asyncio.Runner.run.__code__))  # noqa: SLF001
"""What calls all that is ready: Python's own loop, and uvloop, whose calls leave no frame of their own."""


class Sampling:
    """Counts looks: by what the loop had called, by every function on the stack, by the innermost of ours.

    The last adds up to all of it: what libraries do counts for whom they do it.
    """

    def __init__(self, file: Path) -> None:
        self._file = file
        self._looks = 0
        self._called: Counter[CodeType] = Counter()
        self._on_stack: Counter[CodeType] = Counter()
        self._innermost: Counter[CodeType] = Counter()
        self._steps: Counter[str] = Counter()

    def start(self) -> None:
        signal.signal(signal.SIGPROF, self._look)
        signal.setitimer(signal.ITIMER_PROF, INTERVAL, INTERVAL)
        atexit.register(self._write)

    def _look(self, _: int, frame: FrameType | None) -> None:
        codes = list(_upwards(frame))
        # The start is not what a message costs.
        turn = next((place for place, code in enumerate(codes) if code in LOOPS), None)
        if turn is None or any(code.co_filename.startswith("<frozen importlib") for code in codes):
            return
        self._looks += 1
        codes = codes[: max(turn, 1)]
        self._called[codes[-1]] += 1
        self._on_stack.update(set(codes))
        self._innermost[next((code for code in codes if OURS in code.co_filename), codes[-1])] += 1
        self._steps[next(filter(None, (step(place(code)) for code in codes)), OTHER)] += 1

    def _write(self) -> None:
        signal.setitimer(signal.ITIMER_PROF, 0)
        tables = {
            "what the loop had called": self._called,
            "innermost of ours": self._innermost,
            "on the stack": self._on_stack,
        }
        lines = [f"{self._looks} looks"]
        for name, table in tables.items():
            lines += [f"\n{name}", *(_row(seen / self._looks, code) for code, seen in table.most_common(ROWS))]
        self._file.write_text("\n".join(lines) + "\n")
        shares = {name: seen / self._looks for name, seen in self._steps.items()}
        self._file.with_suffix(".steps").write_text(json.dumps(shares))


def _upwards(frame: FrameType | None) -> Iterator[CodeType]:
    while frame is not None:
        yield frame.f_code
        frame = frame.f_back


def _row(share: float, code: CodeType) -> str:
    file = "/".join(Path(code.co_filename).parts[-3:])
    return f"{share:7.1%}  {code.co_qualname}  {file}:{code.co_firstlineno}"


if __name__ == "__main__":
    Sampling(Path(sys.argv[1])).start()
    sys.argv[1:] = sys.argv[2:]
    main()
