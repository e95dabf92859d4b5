"""How late the event loop is: what blocks it blocks every delivery of this process, its heartbeats and its health."""

import asyncio

from prometheus_client import Histogram

PERIOD = 0.02
"""Seconds between two looks: a block that is shorter may be missed, and matters to nobody. Costs half a thousandth."""


async def watch_lag(lag: Histogram) -> None:
    """To be run beside the work: observe how much later than asked the loop wakes us, s."""
    clock = asyncio.get_running_loop().time
    while True:
        due = clock() + PERIOD
        await asyncio.sleep(PERIOD)
        lag.observe(clock() - due)
