"""``make incident``: both designs, one after the other, each with a platform, a queue and a store of its own."""

import argparse
import asyncio
import os
import sys
import tempfile
from pathlib import Path

from bench.incident.day import UNITS, Scale
from bench.incident.drawing import curve, picture, table
from bench.incident.replay import OURS, Replay, Run
from tests.services.rabbitmq import running_rabbitmq
from tests.services.redis import running_redis

THAT_DAY = "that day"
CONSUMERS, PROCESSES = 75, 4
AT_FULL_LENGTH = 75
"""Units of the second part: the time that the machine itself takes is not divided, so that a scaled median of a
busy machine says too much; these few do not keep it busy."""


def options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.incident", description=__doc__)
    parser.add_argument("--scale", type=float, default=50, help="every latency of that day is divided by it")
    parser.add_argument("--units", type=int, default=UNITS)
    parser.add_argument("--patience", type=float, default=600, help="seconds for each design")
    parser.add_argument("--png", type=Path, default=Path("incident.png"), help="where the picture goes")
    parser.add_argument("--only", choices=[THAT_DAY, OURS], help="one design alone")
    return parser.parse_args()


async def replay(asked: argparse.Namespace, name: str, size: int) -> Run:
    with (
        tempfile.TemporaryDirectory(prefix="incident-") as folder,
        running_rabbitmq() as broker,
        running_redis() as redis,
    ):
        run = Replay(
            folder=Path(folder),
            scale=Scale(asked.scale),
            units=asked.units,
            amqp_url=broker.url,
            redis_url=redis.url,
            cores=os.sched_getaffinity(0),
            patience=asked.patience,
        )
        return await run.of(name, size)


def both(asked: argparse.Namespace) -> list[Run]:
    designs = [it for it in ((THAT_DAY, CONSUMERS), (OURS, PROCESSES)) if asked.only in (None, it[0])]
    return [asyncio.run(replay(asked, name, size)) for name, size in designs]


def main() -> int:
    """The exit code: 1 where ours lost a unit."""
    asked = options()
    drain = both(asked)
    print(f"The backlog of {asked.units} units, latencies of that day divided by {asked.scale:g}\n")
    print(table(drain), curve(drain), sep="\n\n")
    asked.units, asked.scale = AT_FULL_LENGTH, 1.0
    print(f"\n{asked.units} units at full length: what one of them takes\n\n{table(both(asked))}")
    try:
        picture(drain, asked.png)
    except ImportError:
        print("no picture: pip install --require-hashes -r requirements/incident.lock", file=sys.stderr)
    else:
        print(f"\nthe queue as a picture: {asked.png}")
    return int(any(run.drained is None for run in drain if run.name == OURS))


if __name__ == "__main__":
    sys.exit(main())
