"""``python -m tests.faults``: break everything, a row after the other, and write what came of it."""

import argparse
import os
import random
import subprocess
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tests.faults import page

ROOT = Path(__file__).parents[2]

PAGE = ROOT / "docs" / "reference" / "faults.md"
SECONDS = {False: 240, True: 1200}
"""Of one test at most, by day and at night."""


def main() -> int:
    """The exit code of the tests."""
    options = _options()
    now = datetime.now(UTC)
    print(f"seed {options.seed}{', at night' if options.night else ''}", flush=True)  # noqa: T201 - to replay it
    run = page.circumstances(options.seed, night=options.night, date=f"{now:%Y-%m-%d %H:%M} UTC")
    code, run["tests"] = _run(options)
    PAGE.write_text(page.page(run, PAGE.read_text() if options.add else ""))
    return code


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__)
    parser.add_argument("--rows", default="all", help="of the fault matrix: 18,22-25")
    parser.add_argument("--seed", type=int, default=random.randrange(1_000_000), help="of every dice, to replay a run")
    parser.add_argument(
        "--night", action="store_true", help="faults last as long as it takes to know, not 20 s at most"
    )
    parser.add_argument("--add", action="store_true", help="to the page as it is, in place of a page of its own")
    return parser.parse_args()


def _run(options: argparse.Namespace) -> tuple[int, dict[str, Any]]:
    with tempfile.TemporaryDirectory() as folder:
        record = Path(folder) / "record"
        record.touch()
        told = {"FAULTS_RECORD": str(record), "FAULTS_SEED": str(options.seed), "FAULTS_NIGHT": str(int(options.night))}
        command = [
            sys.executable,
            "-m",
            "pytest",
            "--rows",
            options.rows,
            "-o",
            f"timeout={SECONDS[options.night]}",
            "-v",
        ]
        code = subprocess.run(command, cwd=ROOT, env=os.environ | told, check=False).returncode  # noqa: S603 - ours
        return code, page.tests(record)


if __name__ == "__main__":
    sys.exit(main())
