"""What a message takes of a real worker, in figures that do not depend on the machine. Ceilings: ``bench.ceilings``."""

import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from bench.ceilings import judged
from bench.counting import count
from bench.load import INCIDENTS, ORGANIZATIONS, Load
from bench.stage import without_ours
from bench.steps import BY_MESSAGE
from notification_sender.sandbox.sandbox import Sandbox
from tests.e2e.broker import Broker


@pytest.fixture
async def sandbox(tmp_path: Path) -> AsyncIterator[Sandbox]:
    """The world that the benchmark's units are about."""
    async with Sandbox(tmp_path, organizations=ORGANIZATIONS, incidents=INCIDENTS) as running:
        yield running


async def test_a_message_takes_no_more_calls_tasks_and_frames_than_its_ceilings(
    sandbox: Sandbox, environment: dict[str, str], broker: Broker, tmp_path: Path
) -> None:
    load = Load(ORGANIZATIONS, INCIDENTS)

    async def work(number: int) -> None:
        units = load.units(number, sandbox.inbox.webhook_url("costs"))
        await broker.publish(unit.body for unit in units)

    plain = without_ours() | environment | {"NS_LOG_LEVEL": "info"}
    counts = await count(plain, tmp_path, os.sched_getaffinity(0), work)
    figures = list(judged(counts))
    # With ``-s``: for whom lowers a ceiling.
    print("", *figures, sep="\n")  # noqa: T201
    assert [str(it) for it in figures if not it.good] == []
    # Else a module was renamed, and the budget counts it for another step.
    assert [step for step in BY_MESSAGE if not counts.steps.get(step)] == []
