"""``python -m bench.start``: from the start of a worker to its first delivery, with a backlog that waits for it.

The same rounds import the libraries alone, in a process of its own: those that a worker has imported when it is ready,
without what it leaves out. They are imported as any program imports them, with Python's collection of garbage; a worker
collects none meanwhile. Seconds are counted from before the process is made, so that Python's own start is in each.
"""

import argparse
import asyncio
import compileall
import json
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from statistics import median

import notification_sender
from bench.processes import FailedError, Running, running
from bench.race import Receiver, receiving
from bench.stage import UNITS, WORKER, Stage, stage
from notification_sender.cli.worker import UNUSED

BACKLOG = 300
"""Units that wait: more than a worker has slots."""

PATIENCE = 60.0
"""Seconds for the whole backlog."""

LOOK = 0.02
"""Seconds between two questions what came. The receiver notes the time, so this is no part of it."""

LIST = """
import atexit, sys
from notification_sender.cli import main
def listed():
    names = (name for name, it in list(sys.modules.items()) if "-packages" in (getattr(it, "__file__", None) or ""))
    print(*names, flush=True)
atexit.register(listed)
main(["run"])
"""
IMPORT = """
import sys, time
sys.modules.update(dict.fromkeys({left_out}))
for name in {names}:
    try:
        __import__(name)
    except ImportError:  # a part of an extension, which came with it
        pass
print(time.monotonic(), flush=True)
"""


@dataclass(frozen=True, slots=True)
class Start:
    """Seconds since the process was started, and of the libraries' process."""

    libraries: float
    ready: float
    delivered: float

    @property
    def ratio(self) -> float:
        return self.delivered / self.libraries

    def __str__(self) -> str:
        return f"{self.libraries:9.3f} {self.ready:12.3f} {self.delivered:15.3f} {self.ratio:7.2f}"


HEAD = f"{'':8}libraries worker.ready first delivery   ratio"


async def libraries(stage: Stage) -> str:
    """The program that imports what a worker has imported besides this package and Python's own."""
    log = stage.folder / "libraries.log"
    command = [sys.executable, "-c", LIST]
    cores = [stage.cores.worker]
    async with running(command, cores=cores, log=log, environment=stage.environment, talks=True) as worker:
        async with asyncio.timeout(PATIENCE):
            while '"worker.ready"' not in log.read_text():
                worker.check()
                await asyncio.sleep(LOOK)
        worker.process.terminate()
        names = (await worker.first_line()).split()
    return IMPORT.format(left_out=UNUSED, names=names)


async def started(stage: Stage, imports: str) -> Start:
    """One round.

    Raises:
        FailedError: the worker ended, or did not deliver the backlog.

    """
    began = time.monotonic()
    alone = float(await _said(stage, imports)) - began
    log = stage.folder / f"worker-{began}.log"
    async with receiving(stage, 0.0) as receiver:
        await stage.publisher.publish(UNITS, stage.load.units(BACKLOG, receiver.url))
        began, wall = time.monotonic(), time.time()
        cores = [stage.cores.worker]
        async with running([WORKER, "run"], cores=cores, log=log, environment=stage.environment) as worker:
            await _arrived(worker, receiver, BACKLOG)
            first = (await receiver.arrivals())[0][1]
    return Start(alone, _ready(log) - wall, first - began)


async def _arrived(worker: Running, receiver: Receiver, number: int) -> None:
    until = time.monotonic() + PATIENCE
    while await receiver.distinct() < number:
        worker.check()
        if time.monotonic() > until:
            raise FailedError(f"not all was delivered:\n{worker.tail}")
        await asyncio.sleep(LOOK)


async def _said(stage: Stage, code: str) -> str:
    """What a program prints, on the worker's core."""
    command = [sys.executable, "-c", code]
    log = stage.folder / "imports.log"
    async with running(command, cores=[stage.cores.worker], log=log, environment=stage.environment, talks=True) as it:
        return await it.first_line()


def _ready(log: Path) -> float:
    """Epoch seconds of ``worker.ready``."""
    lines = [json.loads(line) for line in log.read_text().splitlines() if '"worker.ready"' in line]
    return datetime.fromisoformat(lines[0]["timestamp"]).timestamp()


async def main(rounds: int) -> None:
    """Rounds one after the other, and their medians."""
    compileall.compile_dir(Path(notification_sender.__file__).parent, quiet=1)  # as it is installed
    with tempfile.TemporaryDirectory(prefix="bench-start-") as folder:
        async with stage(Path(folder)) as prepared:
            imports = await libraries(prepared)
            await started(prepared, imports)  # files and the shared cache become warm
            print(HEAD)
            runs = [await _shown(prepared, imports, number) for number in range(1, rounds + 1)]
            print(f"median  {_median(runs)}")


async def _shown(stage: Stage, imports: str, number: int) -> Start:
    run = await started(stage, imports)
    print(f"round {number:<2}{run}", flush=True)
    return run


def _median(runs: Sequence[Start]) -> str:
    """Of each column by itself: the ratio is not that of the other medians."""
    columns = ("libraries", "ready", "delivered")
    libraries, ready, delivered = (median(getattr(run, name) for run in runs) for name in columns)
    return f"{libraries:9.3f} {ready:12.3f} {delivered:15.3f} {median(it.ratio for it in runs):7.2f}"


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m bench.start", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5, metavar="R", help="default: %(default)s")
    asyncio.run(main(parser.parse_args().rounds))
