"""``python -m bench.commands``: a system in trouble, on which each command of the page is typed."""

import argparse
import asyncio
import logging
import random
import tempfile
from collections.abc import Sequence
from pathlib import Path

from bench.commands.page import PAGE, printed
from bench.commands.trouble import trouble
from bench.diagnose.page import in_production
from bench.diagnose.scene import Scene, scene

COLUMNS = "100"


async def main(chosen: argparse.Namespace) -> None:
    logging.disable()  # the publisher's connection is cut on purpose
    with tempfile.TemporaryDirectory(prefix="commands-") as folder:
        async with scene(Path(folder), random.Random(chosen.seed)) as prepared, trouble(prepared) as names:
            await asyncio.sleep(chosen.seconds)
            PAGE.write_text(await printed(PAGE.read_text(), names, Typist(prepared).type))


class Typist:
    """Types commands, and stops RabbitMQ for those that need it stopped."""

    def __init__(self, prepared: Scene) -> None:
        self._scene = prepared
        self._stopped = False

    async def type(self, words: Sequence[str], stopped: bool) -> str:  # noqa: FBT001 - as ``Type`` has it
        if stopped and not self._stopped:
            await asyncio.to_thread(self._scene.rabbitmq.stop)
            self._stopped = True
        print("$", *words, flush=True)
        return in_production(await self._scene.said(*words, COLUMNS=COLUMNS))


def options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.commands", description=__doc__)
    parser.add_argument("--seed", type=int, default=7, help="of the load (default: %(default)d)")
    parser.add_argument("--seconds", type=float, default=90.0, help="of trouble before the first one")
    return parser.parse_args()


if __name__ == "__main__":
    asyncio.run(main(options()))
