"""``python -m bench.diagnose.alert``: 5 s on 1 % of the calls of one API, seen by a Prometheus with the shipped rules.

Prints how much the mean of all steps moved, and after how many seconds which alert fired. Exit code 1 where the mean
moved by 2 % or more, no alert of that API fired, or one fired before the fault began.
"""

import argparse
import asyncio
import logging
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from random import Random
from typing import Any

import aiohttp
import orjson
from prometheus_client.parser import text_string_to_metric_families

from bench.diagnose.faults.limits import RECEIVERS
from bench.diagnose.faults.upstreams import ONE_PERCENT
from bench.diagnose.scene import Scene, scene
from bench.diagnose.units import REGULAR, Record
from notification_sender.telemetry.declared import PREFIX
from tests.services.program import HOST, Program, answer, find, free_port
from tools.observability.objectives import FOLDER

API = "api.assets"
STAGES = f"{PREFIX}stage_seconds"
RATE = 6.0
"""Units a second."""

SHARE_OF_CACHED = 0.8
"""Of the units. The others call every API: with one unit in five a call of 1 % is one unit of 500."""

SLOTS = "50"
"""Of a worker. So many are there that a slow call lets nothing else wait: that would be another fault."""

Sums = dict[str, tuple[float, float]]
"""Seconds and observations, by step."""

NOTHING = (0.0, 0.0)
SCRAPE = "2s"
LOOK = 2.0
ALLOWED = 1.02
"""Times the mean of before."""


async def main(seconds: float) -> int:
    logging.disable()
    with tempfile.TemporaryDirectory(prefix="alert-") as made:
        async with scene(Path(made), Random(1)) as prepared, aiohttp.ClientSession() as session:
            load = prepared.load
            with (
                load.times(0.0),
                load.beside(RATE, lambda: _unit(prepared, Random())),
                prepared.receivers_take(RECEIVERS),
            ):
                await asyncio.gather(*(it.restart(NS_CONCURRENCY=SLOTS) for it in prepared.members))
                async with _prometheus(Path(made), [it.address for it in prepared.members]) as url:
                    return await _watched(prepared, session, url, seconds)


async def _watched(prepared: Scene, session: aiohttp.ClientSession, prometheus: str, seconds: float) -> int:
    addresses = [it.address for it in prepared.members]
    await asyncio.sleep(seconds / 10)  # the caches fill
    first = await _sums(session, addresses)
    await asyncio.sleep(seconds / 3)
    second, early = await _sums(session, addresses), await _alerts(session, prometheus)
    began = time.monotonic()
    async with ONE_PERCENT.cause(prepared):
        fired = None
        while time.monotonic() - began < seconds:
            await asyncio.sleep(LOOK)
            if fired is None and await _alerts(session, prometheus):
                fired = time.monotonic() - began
        third, alerts = await _sums(session, addresses), await _alerts(session, prometheus)
    usual, ill = _grown(first, second), _grown(second, third)
    before, after = _mean(usual), _mean(ill)
    moved = after / before
    for step in sorted(ill, key=lambda it: -ill[it][0]):
        means = [_mean({step: it.get(step, NOTHING)}) for it in (usual, ill)]
        print(f"{step:<28}{means[0]:>9.1f} ms, with the fault {means[1]:>9.1f} ms of {ill[step][1]:.0f}")
    print(f"the mean of all steps: {before:.2f} ms, with the fault {after:.2f} ms")
    print(f"it moved by {moved - 1:.2%} (allowed: less than {ALLOWED - 1:.0%})")
    print(f"alerts of {API} before the fault: {early or 'none'}; with it: {alerts or 'none'}")
    if fired is not None:
        print(f"the first fired {fired:.0f} s after the fault began")
    return 0 if moved < ALLOWED and alerts and not early else 1


def _unit(prepared: Scene, dice: Random) -> Record:
    if dice.random() < SHARE_OF_CACHED:
        return prepared.units.of(dice.randrange(REGULAR))
    return prepared.units.other()


async def _sums(session: aiohttp.ClientSession, addresses: Sequence[str]) -> Sums:
    """Seconds and observations of all workers, by step."""
    found: Sums = {}
    for address in addresses:
        async with session.get(f"http://{address}/metrics") as scraped:
            families = text_string_to_metric_families(await scraped.text())
            for sample in (it for family in families if family.name == STAGES for it in family.samples):
                seconds, number = found.get(sample.labels["stage"], (0.0, 0.0))
                seconds += sample.value if sample.name == f"{STAGES}_sum" else 0.0
                number += sample.value if sample.name == f"{STAGES}_count" else 0.0
                found[sample.labels["stage"]] = (seconds, number)
    return found


def _grown(before: Sums, after: Sums) -> Sums:
    return {
        step: (seconds - before.get(step, NOTHING)[0], number - before.get(step, NOTHING)[1])
        for step, (seconds, number) in after.items()
    }


def _mean(sums: Sums) -> float:
    """Milliseconds of all steps together."""
    number = sum(number for _, number in sums.values())
    return 1000 * sum(seconds for seconds, _ in sums.values()) / number if number else 0.0


async def _alerts(session: aiohttp.ClientSession, url: str) -> list[str]:
    """The names of the alerts of the API that fire."""
    async with session.get(f"{url}/api/v1/alerts") as said:
        found: list[dict[str, Any]] = (await said.json())["data"]["alerts"]
    return [it["labels"]["alertname"] for it in found if it["state"] == "firing" and it["labels"].get("step") == API]


@asynccontextmanager
async def _prometheus(folder: Path, addresses: Sequence[str]) -> AsyncIterator[str]:
    port, configuration = free_port(), folder / "prometheus.json"
    jobs = [{"job_name": "workers", "static_configs": [{"targets": list(addresses)}]}]
    times = {"scrape_interval": SCRAPE, "evaluation_interval": SCRAPE}
    content = {"global": times, "rule_files": [str(FOLDER / "rules.yaml")], "scrape_configs": jobs}
    configuration.write_bytes(orjson.dumps(content))
    places = (f"--config.file={configuration}", f"--storage.tsdb.path={folder / 'tsdb'}")
    command = [find("prometheus"), *places, f"--web.listen-address={HOST}:{port}"]
    program = Program(command, {}, folder / "prometheus.log")
    await asyncio.to_thread(program.start, lambda: b"200" in answer(port, b"GET /-/ready HTTP/1.0\r\n\r\n"))
    try:
        yield f"http://{HOST}:{port}"
    finally:
        await asyncio.to_thread(program.stop)


if __name__ == "__main__":
    options = argparse.ArgumentParser(prog="python -m bench.diagnose.alert", description=__doc__)
    options.add_argument("--seconds", type=float, default=360.0, help="of the fault (default: %(default)g)")
    sys.exit(asyncio.run(main(options.parse_args().seconds)))
