"""``python -m tests.strangers``: odd cases of one seed after the other among good units, and the page about them."""

import argparse
import subprocess
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path

from tests.faults.page import circumstances
from tests.strangers import page
from tests.strangers.options import LONG, Options

ROOT = Path(__file__).parents[2]

PAGE = ROOT / "docs" / "reference" / "strangers.md"
TEST = (
    "tests/strangers/test_strangers.py::test_whatever_strangers_do_the_good_are_delivered_and_each_odd_case_has_an_end"
)


def main() -> int:
    """0 where no seed has a fault. The page is written where every case was run."""
    given = _given()
    now = f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC"
    seeds = [given.seed] if given.seed is not None else range(given.first, given.first + given.seeds)
    with tempfile.TemporaryDirectory() as folder:
        record = Path(folder) / "record"
        record.touch()
        codes = [_run(_options(given, seed, record)) for seed in seeds]
        reports = [dict(it) for it in page.read(record)]
    text = page.page(circumstances(0, night=False, date=now), reports)
    print(text.removeprefix(page.HEAD))  # noqa: T201 - the tables
    if not (given.only or given.without):
        PAGE.write_text(text)
    return max(codes)


def _given() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.strangers", description=__doc__)
    parser.add_argument("--seeds", type=int, default=1, help="how many")
    parser.add_argument("--from", type=int, default=1, dest="first", help="the first of them")
    parser.add_argument("--seed", type=int, help="this one alone")
    parser.add_argument("--count", type=int, default=LONG, help="odd cases, among as many good units")
    parser.add_argument("--only", default="", help="numbers of cases, names of kinds or families: 123,http.no-end,smtp")
    parser.add_argument("--without", default="", help="names of kinds or families that are left out")
    return parser.parse_args()


def _options(given: argparse.Namespace, seed: int, record: Path) -> Options:
    only, without = (frozenset(filter(None, it.split(","))) for it in (given.only, given.without))
    return Options(seed, given.count, only, without, str(record))


def _run(options: Options) -> int:
    command = [sys.executable, "-m", "pytest", "-q", "--tb=short", "--show-capture=no", TEST]
    return subprocess.run(command, cwd=ROOT, env=options.environ(), check=False).returncode  # noqa: S603 - ours


if __name__ == "__main__":
    sys.exit(main())
