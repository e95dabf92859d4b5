"""The time for which a command waits for a service."""

import asyncio
from collections.abc import Iterator

import pytest

from notification_sender.app import asking
from notification_sender.app.asking import ANSWER_SECONDS, LONGEST_SECONDS

SLICE = 0.5
"""Seconds that pass at each look at the clock."""


class Passing:
    """Each wait takes ``SLICE``; for ``waited`` of that time the command has no processor."""

    def __init__(self, waited: float) -> None:
        self.part = waited
        self.passed = 0.0

    async def wait(self, _tasks: object, timeout: float) -> None:  # noqa: ASYNC109 - as asyncio.wait
        assert timeout > 0
        self.passed += SLICE


@pytest.fixture(params=[(0.0, ANSWER_SECONDS), (0.5, 2 * ANSWER_SECONDS), (1.0, LONGEST_SECONDS)])
def passing(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Passing, float]]:
    part, longest = request.param
    clock = Passing(part)
    with monkeypatch.context() as patched:
        patched.setattr(asking.asyncio, "wait", clock.wait)
        patched.setattr(asking.time, "monotonic", lambda: clock.passed)
        patched.setattr(asking, "waited_seconds", lambda: clock.part * clock.passed)
        yield clock, longest


def test_a_command_gives_up_after_its_budget_without_the_time_for_which_it_had_no_processor(
    passing: tuple[Passing, float],
) -> None:
    clock, longest = passing

    async def ask() -> None:
        never: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        with pytest.raises(TimeoutError):
            await asking.within_budget(never)

    looking = ask()
    loop = asyncio.new_event_loop()
    try:
        loop.run_until_complete(looking)
    finally:
        loop.close()
    assert longest <= clock.passed <= longest + SLICE
