"""Tests wait for what should come, and give up by a clock that goes as slowly as the machine."""

import asyncio
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests import patience

ROOT = Path(__file__).parent
REAL = ("adapters", "cli", "contract", "e2e", "faults", "sandbox", "services", "strangers")
"""Where tests talk to real processes or sockets; elsewhere clocks are virtual."""
FIXED = re.compile(
    r"asyncio\.(timeout|timeout_at|wait_for)\(|(?:iterator\(|text=True, )timeout=\d|AsyncClient\(\)|httpx\.get\([^,]*\)"
)


@pytest.fixture
def slowness(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Turned by changing its one member."""
    turned = [1.0]
    monkeypatch.setattr(patience, "slowness", lambda: turned[0])
    return turned


def test_nobody_waits_for_a_real_process_by_seconds_of_a_quiet_machine() -> None:
    files = [file for folder in REAL for file in (ROOT / folder).rglob("*.py")]
    found = [
        f"{file.relative_to(ROOT)}: {line.strip()}" for file in files for line in _lines(file) if FIXED.search(line)
    ]
    assert found == [], "use patience.patience, which is stretched where others work, too"


def test_nothing_is_stretched_before_its_test_begins() -> None:
    """What is stretched when a module is read is of another machine than what is stretched in its tests."""
    early = re.compile(r"^(?:\w+ = |    \").*\b(?:option|patient|stretched|slowness)\(")
    files = [file for folder in REAL for file in (ROOT / folder).rglob("*.py")]
    found = [f"{file.relative_to(ROOT)}: {line}" for file in files for line in _lines(file) if early.search(line)]
    assert found == []


def _lines(file: Path) -> list[str]:
    return file.read_text().splitlines()


async def test_patience_ends_in_the_seconds_that_are_written_where_the_machine_is_quiet(slowness: list[float]) -> None:
    with pytest.raises(TimeoutError):
        async with patience.patience(0.05):
            await asyncio.Event().wait()
    assert slowness == [1.0]


async def test_patience_is_stretched_when_the_machine_becomes_slow_meanwhile(slowness: list[float]) -> None:
    loop = asyncio.get_running_loop()
    begun = loop.time()
    loop.call_later(0.01, slowness.__setitem__, 0, 3.0)
    with pytest.raises(TimeoutError):
        async with patience.patience(0.2):
            await asyncio.Event().wait()
    assert loop.time() - begun >= 0.6


async def test_patience_that_is_not_needed_leaves_nothing_behind() -> None:
    before = asyncio.all_tasks()
    async with patience.patience(60):
        pass
    await asyncio.sleep(0)
    assert asyncio.all_tasks() == before


def test_a_machine_is_never_faster_than_a_quiet_one_and_never_hopeless(monkeypatch: pytest.MonkeyPatch) -> None:
    seconds = iter((patience.QUIET / 10, patience.QUIET * 3, patience.QUIET * 1000))
    monkeypatch.setattr(patience, "_work", lambda: next(seconds))
    monkeypatch.setattr(patience, "_wanted", lambda: 0.0)
    assert [patience.Machine().slowness() for _ in range(3)] == [1.0, 3.0, patience.MOST]


def test_what_is_measured_holds_for_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    machine = patience.Machine()
    first = machine.slowness()
    monkeypatch.setattr(patience, "_work", lambda: pytest.fail("measured again at once"))
    assert machine.slowness() == first


def test_the_options_of_a_test_are_stretched_by_what_the_machine_was_when_it_began(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(patience, "_machine", machine := patience.Machine())
    monkeypatch.setattr(patience, "FRESH", 0.0)
    monkeypatch.setattr(patience, "_wanted", lambda: 0.0)
    slow = iter((2.0, 3.0, 4.0))
    monkeypatch.setattr(patience, "_work", lambda: patience.QUIET * next(slow))
    machine.begin()
    assert [patience.option(1), patience.patient(1), patience.option(1.1)] == ["2.000s", 3.0, "2.200s"]
    machine.begin()
    assert patience.option(1) == "4.000s"


def test_a_command_on_a_slow_machine_has_a_clock_as_slow() -> None:
    environ = {"PYTHONPATH": str(ROOT / "e2e" / "slow_clock"), "TESTS_SLOWNESS": "1000"}
    program = [sys.executable, "-c", "import time; print(time.monotonic(), time.time())"]
    ended = subprocess.run(program, env=environ, capture_output=True, text=True, check=True)  # noqa: S603 - ours
    slow, wall = map(float, ended.stdout.split())
    assert 0 < slow <= time.monotonic() / 1000
    assert wall > 10**9
