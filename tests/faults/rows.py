"""Which row of the fault matrix a test is: ``@row(18, "Redis restarts without its data")``, wherever the test stands.

Imported by the tests' conftest: ``pytest --rows 18,22-25`` runs the tests of these rows, in their order. Without it,
those that say ``quick=False`` are left out. What comes of each is written down where the runner asks for it.
"""

import os
from collections.abc import Generator
from pathlib import Path
from typing import Any

import orjson
import pytest

ALL = range(1, 200)
MOST = 20.0
"""Seconds that a fault lasts at most, but at night."""


def row(number: int, fault: str, *, quick: bool = True) -> pytest.MarkDecorator:
    """``quick``: part of every run of the tests, not of ``make faults`` alone."""
    return pytest.mark.row(number, fault, quick=quick)


def at_night() -> bool:
    return os.environ.get("FAULTS_NIGHT") == "1"


def lasting(seconds: float) -> float:
    """How long a fault lasts for which the matrix says ``seconds``."""
    return seconds if at_night() else min(seconds, MOST)


def seed() -> int:
    """Of every dice thrown by a case; printed by the runner."""
    return int(os.environ.get("FAULTS_SEED", "1"))


def numbers(text: str) -> frozenset[int]:
    """Of rows: ``18,22-25``, ``all``."""
    if text == "all":
        return frozenset(ALL)
    spans = [part.partition("-") for part in text.split(",")]
    return frozenset(it for first, _, last in spans for it in range(int(first), int(last or first) + 1))


def record(**facts: Any) -> None:
    """What the running test found out, for the table; nothing where nobody makes one."""
    if file := os.environ.get("FAULTS_RECORD"):
        test = os.environ["PYTEST_CURRENT_TEST"].rpartition(" ")[0]
        with Path(file).open("ab") as lines:
            lines.write(orjson.dumps({"test": test, **facts}) + b"\n")


# --- hooks of pytest -----------------------------------------------------------------------------------------------


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--rows", type=numbers, help="tests of these rows of the fault matrix alone: 18,22-25 or all")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    wanted: frozenset[int] | None = config.getoption("rows")
    chosen = [it for it in items if (_quick(it) if wanted is None else _numbers(it) & wanted)]
    config.hook.pytest_deselected(items=[it for it in items if it not in chosen])
    items[:] = chosen if wanted is None else sorted(chosen, key=lambda it: min(_numbers(it)))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if report.when == "call" or not report.passed:
        rows = [mark.args for mark in item.iter_markers("row")]
        record(rows=rows, result=report.outcome, seconds=report.duration)
    return report


def _numbers(item: pytest.Item) -> frozenset[int]:
    return frozenset(mark.args[0] for mark in item.iter_markers("row"))


def _quick(item: pytest.Item) -> bool:
    return all(mark.kwargs["quick"] for mark in item.iter_markers("row"))
