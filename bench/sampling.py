"""Where a worker's time goes: looks at its stack every few ms of CPU time, and writes what it saw when it ends.

``python -m bench.sampling FILE COMMAND…`` is ``notification-sender COMMAND…`` looked at. A look costs a few µs, where
a tracing profiler would double what it measures. Kernels look at CPU timers at their clock tick (1 to 4 ms).
"""

import asyncio
import atexit
import signal
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from types import CodeType, FrameType

from notification_sender.cli import main

INTERVAL = 0.001
ROWS = 30
TURN = asyncio.Handle._run.__code__  # noqa: SLF001 - where the loop calls what is ready


class Sampling:
    """Counts looks: by what the loop had called, by every function on the stack, by the line at the top."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._looks = 0
        self._called: Counter[CodeType] = Counter()
        self._on_stack: Counter[CodeType] = Counter()
        self._on_top: Counter[tuple[CodeType, int]] = Counter()

    def start(self) -> None:
        signal.signal(signal.SIGPROF, self._look)
        signal.setitimer(signal.ITIMER_PROF, INTERVAL, INTERVAL)
        atexit.register(self._write)

    def _look(self, _: int, frame: FrameType | None) -> None:
        stack = list(_upwards(frame))
        codes = [it.f_code for it in stack]
        # The start is not what a message costs.
        if TURN not in codes or any(code.co_filename.startswith("<frozen importlib") for code in codes):
            return
        self._looks += 1
        self._called[codes[max(codes.index(TURN) - 1, 0)]] += 1
        self._on_stack.update(set(codes[: codes.index(TURN)]))
        self._on_top[codes[0], stack[0].f_lineno] += 1

    def _write(self) -> None:
        signal.setitimer(signal.ITIMER_PROF, 0)
        lines = [
            f"{self._looks} looks; what the loop had called",
            *(_row(seen / self._looks, code, code.co_firstlineno) for code, seen in self._called.most_common(ROWS)),
            "on the stack",
            *(
                _row(seen / self._looks, code, code.co_firstlineno)
                for code, seen in self._on_stack.most_common(4 * ROWS)
            ),
            "the line at the top",
            *(_row(seen / self._looks, code, line) for (code, line), seen in self._on_top.most_common(ROWS)),
        ]
        self._file.write_text("\n".join(lines) + "\n")


def _upwards(frame: FrameType | None) -> Iterator[FrameType]:
    while frame is not None:
        yield frame
        frame = frame.f_back


def _row(share: float, code: CodeType, line: int) -> str:
    file = "/".join(Path(code.co_filename).parts[-3:])
    return f"{share:7.1%}  {code.co_qualname}  {file}:{line}"


if __name__ == "__main__":
    Sampling(Path(sys.argv[1])).start()
    sys.argv[1:] = sys.argv[2:]
    main()
