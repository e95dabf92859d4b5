"""Faults of worker processes and of their machine."""

import os
import signal
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager

from bench.diagnose.faults.fault import Fault, caused
from bench.diagnose.judge import Expected
from bench.diagnose.outside.trial import COMPUTE
from bench.diagnose.scene import Scene
from bench.processes import running

BURN = "while True: pass"
BURNERS = 16
"""On one core, with both workers."""

BUSY = 4.0
"""Times the steady load: it needs more of the core than the burners leave."""

COMPUTING = 1.0
"""Units a second whose source computes: two processes spend 40 % of their time on it."""

OTHER = {"NS_SEND_TIMEOUT": "4s"}


@caused
async def burned(scene: Scene) -> AsyncIterator[None]:
    cores = os.sched_getaffinity(0)
    core = max(cores)
    async with AsyncExitStack() as opened:
        for member in scene.members:
            os.sched_setaffinity(member.pid, [core])
            opened.callback(os.sched_setaffinity, member.pid, cores)
        for _ in range(BURNERS):
            command, log = [sys.executable, "-c", BURN], scene.folder / "burner.log"
            await opened.enter_async_context(running(command, cores=[core], log=log))
        with scene.load.times(BUSY):
            yield


@caused
async def computing(scene: Scene) -> AsyncIterator[None]:
    with scene.load.beside(COMPUTING, lambda: scene.units.of_kind(COMPUTE)):
        yield


@asynccontextmanager
async def frozen(scene: Scene) -> AsyncIterator[Sequence[str]]:
    member = scene.members[0]
    member.signal(signal.SIGSTOP)
    yield [str(member.pid)]
    member.signal(signal.SIGCONT)


@caused
async def drift(scene: Scene) -> AsyncIterator[None]:
    async with scene.restarted(scene.members[0], **OTHER):
        yield


CPU = Fault(
    "CPU burned beside the worker",
    f"{BURNERS} processes compute on the one core that the workers are left, at four times the steady load",
    Expected("cpu"),
    burned,
)
LOOP = Fault(
    "event loop blocked",
    "a source of an outside package computes for 0.8 s at a time, once a second",
    Expected("loop"),
    computing,
)
FROZEN = Fault("one frozen process", "SIGSTOP to one of two workers", Expected("frozen"), frozen)
DRIFT = Fault(
    "two processes with different configuration",
    "one of two workers has another `NS_SEND_TIMEOUT`",
    Expected("drift"),
    drift,
)
