"""``python -m bench.profile``: one run of the full job under the sampling profiler, and where its time went."""

import argparse
import asyncio
import sys
import tempfile
from pathlib import Path

from bench import report
from bench.__main__ import IN_FLIGHT
from bench.figures import figures
from bench.race import Runner, run
from bench.stage import UNITS, stage


async def main(messages: int) -> None:
    """Prints shares of the worker's CPU time; times CPU µs a message they are what a function costs each."""
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        looks = Path(folder) / "looks"
        command = [sys.executable, "-m", "bench.sampling", str(looks), "run"]
        async with stage(Path(folder)) as prepared:
            done = await run(prepared, Runner("full job", UNITS, lambda _: command), messages, 0.0)
        print(f"{report.HEAD}\n{report.line('full job, sampled', figures(done, IN_FLIGHT))}")
        print(f"{report.accounts([done])}\n\n{looks.read_text()}")


def options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.profile", description=__doc__)
    parser.add_argument("--messages", type=int, default=6000, metavar="N", help="default: %(default)s")
    return parser.parse_args()


if __name__ == "__main__":
    asyncio.run(main(options().messages))
