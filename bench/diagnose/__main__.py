"""``python -m bench.diagnose``: 24 faults and 24 healthy stretches in a random order, each judged by ``why`` alone.

Exit code 1 where fewer were named rightly than needed, or there was a false alarm, or advice although stale.
"""

import argparse
import asyncio
import logging
import random
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from bench.diagnose import matrix
from bench.diagnose.faults import ALL, BESIDES, Fault
from bench.diagnose.order import in_order
from bench.diagnose.page import PAGE, page
from bench.diagnose.scene import scene
from bench.diagnose.trial import Lengths, Stretch, line, score, trial

USUAL = Lengths()


async def main(chosen: argparse.Namespace) -> int:
    print(f"seed {chosen.seed}", flush=True)
    logging.disable()  # the publisher's connection is cut and blocked on purpose
    faults = named(chosen.only)
    healthy = chosen.healthy if chosen.healthy is not None else sum(it in ALL for it in faults)
    lengths = Lengths(chosen.seconds, chosen.recovers, chosen.repeats)
    plan = in_order(faults, healthy, chosen.seed)
    stretches: list[Stretch] = []
    with _folder(chosen.logs) as folder:
        print(f"{len(plan)} stretches of {chosen.seconds:g} s", flush=True)
        async with scene(folder, random.Random(chosen.seed)) as prepared:
            async for stretch in trial(prepared, plan, lengths):
                stretches.append(stretch)
                print(line(len(stretches), stretch), flush=True)
                if chosen.show or not stretch.judgement.right:
                    print(f"    {stretch.printed.strip()}", flush=True)
    tell(stretches)
    result = score(stretches, BESIDES)
    if chosen.write:
        PAGE.write_text(page(stretches, (*ALL, *BESIDES), result, chosen.seed, lengths))
    return 0 if result.holds else 1


def tell(stretches: Sequence[Stretch]) -> None:
    pairs = [(it.caused, it.judgement.said) for it in stretches if it.counts]
    print(f"\n{matrix.plain(matrix.table(pairs))}\n")
    print("\n".join(score(stretches, BESIDES).lines))


@contextmanager
def _folder(given: Path | None) -> Iterator[Path]:
    if given is not None:
        given.mkdir(parents=True)
        yield given
    else:
        with tempfile.TemporaryDirectory(prefix="diagnose-") as made:
            yield Path(made)


def named(only: str | None) -> list[Fault]:
    """The faults whose name contains one of these, separated by commas; all of them where nothing is asked."""
    words = [it.strip().casefold() for it in (only or "").split(",")]
    found = [it for it in (*ALL, *BESIDES) if any(word in it.name.casefold() for word in words)]
    if not found:
        raise SystemExit(f"no fault has {only!r} in its name: {', '.join(it.name for it in (*ALL, *BESIDES))}")
    return found


def options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.diagnose", description=__doc__)
    parser.add_argument("--seed", type=int, default=random.randrange(1_000_000), help="of the order, to replay a run")
    parser.add_argument("--only", metavar="WORDS", help="faults with these words in their names, separated by commas")
    parser.add_argument("--healthy", type=int, metavar="N", help="healthy stretches (default: one for each fault)")
    parser.add_argument("--seconds", type=float, default=USUAL.seconds, help="of each stretch (default: %(default)g)")
    parser.add_argument(
        "--recovers",
        type=float,
        default=USUAL.recovers,
        help="seconds until all is as before a stretch, else it is made so; 0: go on at once (default: %(default)g)",
    )
    parser.add_argument(
        "--repeats", type=int, default=USUAL.repeats, help="of a disturbed stretch, at most (default: %(default)s)"
    )
    parser.add_argument("--show", action="store_true", help="print each answer, and not only those that are wrong")
    parser.add_argument("--logs", type=Path, metavar="FOLDER", help="where the logs stay (default: they do not)")
    parser.add_argument("--write", action="store_true", help=f"write {PAGE.name}")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(asyncio.run(main(options())))
