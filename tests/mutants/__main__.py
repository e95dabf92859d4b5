"""``python -m tests.mutants``: take out what keeps the promise, piece by piece, and say which test misses it."""

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from tests.faults import page
from tests.mutants.table import MUTANTS, Mutant

ROOT = Path(__file__).parents[2]

PAGE = ROOT / "docs" / "reference" / "mutants.md"
LEFT_OUT = shutil.ignore_patterns(".*", "__pycache__", "build", "dist", "*.egg-info")
HEAD = """\
# Mutants

`make mutants` takes out what keeps the promise, piece by piece, in a copy of the whole tree, and runs the tests that
are to miss it: first on the copy as it is, where they pass, then on each mutant, where one of them fails. This page is
what it wrote.

"""


@dataclass(frozen=True, slots=True)
class Verdict:
    """``caught`` is the name of the test that failed, or nothing."""

    mutant: Mutant
    caught: str
    seconds: float


def main() -> int:
    """1 where a test fails on the copy as it is, or a mutant survives."""
    chosen = _chosen()
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / "copy"
        shutil.copytree(ROOT, copy, ignore=LEFT_OUT)
        _assert_its_own(copy)
        code, failed, seconds = _run(copy, sorted({test for mutant in chosen for test in mutant.tests}))
        if code != 0:
            print(f"on the copy as it is: {failed or f'pytest ended with {code}'}")  # noqa: T201 - what was asked for
            return 1
        print(f"as it is, all pass in {seconds:.0f} s", flush=True)  # noqa: T201 - as above
        verdicts = [_tried(copy, mutant) for mutant in chosen]
    if chosen == MUTANTS:
        PAGE.write_text(_page(verdicts))
    return 0 if all(it.caught for it in verdicts) else 1


def _chosen() -> tuple[Mutant, ...]:
    parser = argparse.ArgumentParser(prog="python -m tests.mutants", description=__doc__)
    parser.add_argument("--only", default="", help="those with this in their name; the page is left as it is")
    only = parser.parse_args().only
    return tuple(mutant for mutant in MUTANTS if only in mutant.name)


def _tried(copy: Path, mutant: Mutant) -> Verdict:
    before = mutant.put_into(copy)
    try:
        _, caught, seconds = _run(copy, mutant.tests)
    finally:
        (copy / mutant.file).write_text(before)
    print(f"{caught or 'SURVIVED':<90} {seconds:>4.0f} s  without {mutant.name}", flush=True)  # noqa: T201 - as above
    return Verdict(mutant, caught, seconds)


def _run(copy: Path, tests: Sequence[str]) -> tuple[int, str, float]:
    """Exit code, the name of the test that failed, seconds."""
    began = time.monotonic()
    command = [sys.executable, "-m", "pytest", "-x", "-q", "--tb=no", "-p", "no:cacheprovider", *tests]
    ended = subprocess.run(command, cwd=copy, env=_environment(copy), capture_output=True, text=True, check=False)  # noqa: S603 - ours
    # A mutant that cannot even be imported is not caught: pytest calls that an error, or says nothing at all.
    failed = re.search(r"^FAILED (?:tests/)?(\S+)", ended.stdout, re.MULTILINE)
    return ended.returncode, failed[1] if failed and ended.returncode == 1 else "", time.monotonic() - began


def _environment(copy: Path) -> dict[str, str]:
    """In which the copy is what is imported, by processes that the tests start too. Nothing compiled is kept: two
    versions of a file may have one length and one second.
    """
    return os.environ | {"PYTHONPATH": str(copy), "PYTHONDONTWRITEBYTECODE": "1"}


def _assert_its_own(copy: Path) -> None:
    asked = [sys.executable, "-c", "import notification_sender; print(notification_sender.__path__[0])"]
    found = subprocess.run(asked, env=_environment(copy), cwd="/", capture_output=True, text=True, check=True).stdout  # noqa: S603 - ours
    if Path(found.strip()).parent.resolve() != copy.resolve():
        raise RuntimeError(f"the copy would not be tested, but {found.strip()}")


def _page(verdicts: Sequence[Verdict]) -> str:
    caught = sum(bool(it.caught) for it in verdicts)
    rows = ["| taken out | in | missed by | seconds |", "|---|---|---|---|"]
    rows += [f"| {it.mutant.name} | `{it.mutant.file}` | {_said(it.caught)} | {it.seconds:.0f} |" for it in verdicts]
    stand = page.circumstances(0, night=False, date=f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC")
    told = (
        f"{stand['date']}, commit {stand['commit']}; {stand['versions']}: of {len(verdicts)}, a test missed {caught}."
    )
    return f"{HEAD}{told}\n\n" + "\n".join(rows) + "\n"


def _said(test: str) -> str:
    file, _, name = test.partition("::")
    return f"{name.partition('[')[0].removeprefix('test_').replace('_', ' ')} (`{file}`)" if test else "**nobody**"


if __name__ == "__main__":
    sys.exit(main())
