"""The recipe of the outside package. The event of a unit says what its source does."""

import os
import signal
import time

from notification_sender.recipes.authoring import Recipe, WorkUnit

COMPUTE, DIE = "trial.compute", "trial.die"
COMPUTES = 0.8
"""Seconds of a core for each unit, in one turn of the event loop."""

trial = Recipe("trial", subject=lambda _: "work")


@trial.fetched(ttl="1s")
async def work(unit: WorkUnit) -> str:
    """Never waits: nothing else of the process goes on meanwhile."""
    if unit.event == DIE:
        os.kill(os.getpid(), signal.SIGKILL)
    until, rounds = time.thread_time() + COMPUTES, 0
    while time.thread_time() < until:
        rounds += 1
    return "computed"
