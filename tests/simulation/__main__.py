"""``python -m tests.simulation --seeds 100000``: a night of it; ``--seed N``: one seed with its whole history."""

import argparse
import sys
import time
from collections import Counter

from tests.simulation.invariants import wrong
from tests.simulation.running import all_played, played


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("--seeds", type=int, default=2000)
    parser.add_argument("--from", type=int, default=0, dest="first")
    parser.add_argument("--seed", type=int, default=None)
    parser.add_argument("--most", type=int, default=1, help="failing seeds after which it ends")
    asked = parser.parse_args()
    if asked.seed is not None:
        world = played(asked.seed)
        faults = wrong(world)
        print("\n".join(world.history.describe()))
        print(f"seed {asked.seed}:", faults or "nothing is wrong")
        return bool(faults)
    return _all(asked)


def _all(asked: argparse.Namespace) -> int:
    again: Counter[str] = Counter()
    seeds, failed, began = 0, 0, time.perf_counter()
    for some in all_played(range(asked.first, asked.first + asked.seeds)):
        seeds += some.seeds
        again += some.again
        failed += len(some.stories)
        print(*some.stories, sep="\n", end="\n" if some.stories else "", flush=True)
        if failed >= asked.most:
            break
    seconds = time.perf_counter() - began
    print(f"{seeds} seeds in {seconds:.1f} s, {failed} failed; accepted again: {dict(again)}")
    return failed > 0


if __name__ == "__main__":
    sys.exit(main())
