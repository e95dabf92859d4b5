"""``python -m bench.growth [NAME…]``: all of them, or those that are named; a table and a picture of all so far."""

import argparse
import asyncio
import json
import sys
from pathlib import Path

from bench import report
from bench.growth.drawing import picture, table
from bench.growth.measure import Result, measure
from bench.growth.points import GROWTH, TITLES
from bench.processes import FailedError

RESULTS = Path("build/growth.json")
PICTURE = Path("docs/images/growth.png")

Results = dict[str, list[Result]]


def options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.growth", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(GROWTH))
    parser.add_argument("--messages", type=int, default=4000, metavar="N", help="in each run (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=3, metavar="R", help="at each point (default: %(default)s)")
    parser.add_argument("--draw", action="store_true", help="measure nothing: draw what was measured")
    parsed = parser.parse_args()
    if unknown := [name for name in parsed.names if name not in GROWTH]:
        parser.error(f"{', '.join(unknown)}: there are {', '.join(GROWTH)}")
    return parsed


async def grow(name: str, messages: int, rounds: int) -> list[Result]:
    results = []
    for point in GROWTH[name]:
        print(f"\n{TITLES[name]}: {point.value:,}\n{report.HEAD}", flush=True)
        result = await measure(point, messages, rounds)
        print(f"to the floor {result.ratio:.2f}, function calls {result.calls:,.0f}", flush=True)
        results.append(result)
    return results


def read() -> Results:
    """What was measured before."""
    if not RESULTS.exists():
        return {}
    said = json.loads(RESULTS.read_text())
    return {name: [Result(**it) for it in said[name]] for name in GROWTH if name in said}


def keep(results: Results) -> None:
    RESULTS.parent.mkdir(exist_ok=True)
    said = {name: [it.as_json() for it in all_of] for name, all_of in results.items()}
    RESULTS.write_text(json.dumps(said, indent=1))


def main() -> int:
    """The exit code: 1 where a message was lost."""
    asked = options()
    results = read()
    for name in [] if asked.draw else asked.names or GROWTH:
        try:
            results[name] = asyncio.run(grow(name, asked.messages, asked.rounds))
        except FailedError as failed:
            print(failed, file=sys.stderr)
            return 1
        keep(results)
    results = {name: results[name] for name in GROWTH if name in results}
    print(f"\n{table(results)}")
    try:
        picture(results, PICTURE)
    except ImportError:
        print("no picture: pip install --require-hashes -r requirements/incident.lock", file=sys.stderr)
    else:
        print(f"\nas a picture: {PICTURE}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
